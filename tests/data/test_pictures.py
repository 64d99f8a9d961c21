"""Pictures: their metadata, and how much memory they may take."""

import io
import os
import resource
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from zoo.data import load
from zoo.data.images.pictures import Picture, _webp_size, decode
from zoo.files import limits

pytestmark = pytest.mark.host

PIXELS = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
FORMATS = ("BMP", "GIF", "JPEG", "MPO", "PNG", "TIFF", "WEBP")


def saved(kind: str, image: Image.Image | None = None, **options) -> bytes:
    file = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(file, kind, **options)
    return file.getvalue()


def one(content: bytes, size: int | None = None) -> np.ndarray:
    return decode([Picture(content, "it", 0)], size)[0]


# === EXIF ===


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(10))
def test_pictures_stand_as_they_were_taken(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(one(content), np.asarray(expected.convert("RGB")))


def exif_bytes(*entries) -> bytes:
    """Entries are (tag, kind, count, value); a value has four bytes or is an offset."""
    body = b"".join(
        struct.pack("<HHI", *entry[:3])
        + (entry[3] if isinstance(entry[3], bytes) else struct.pack("<I", entry[3]))
        for entry in entries
    )
    count = struct.pack("<H", len(entries))
    return b"Exif\0\0II*\0\x08\0\0\0" + count + body + bytes(4)


ODD = {
    "text for a resolution": (0x11A, 2, 1, b"x\0\0\0"),
    "text for a number": (0x100, 2, 4, b"wide"),
    "no value": (0x11A, 5, 0, 0),
    "a rational of nothing by nothing": (0x11A, 5, 1, 26),
    "an offset beyond the end": (0x11A, 5, 1, 2**31),
    "a huge count": (0x10F, 2, 2**31, 0),
    "an unknown kind": (0x10F, 99, 1, 0),
    "an IFD that is its own": (0x8769, 4, 1, 8),
    "an IFD beyond the end": (0x8769, 4, 1, 2**32 - 1),
    "GPS that is text": (0x8825, 2, 1, b"x\0\0\0"),
    "a signed size": (0x101, 9, 1, 2**32 - 1),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_odd_notes_beside_the_rotation_do_not_count(name, kind):
    content = saved(kind, exif=exif_bytes((0x112, 3, 1, 6), ODD[name]))
    plain = saved(kind)
    np.testing.assert_array_equal(one(content), np.rot90(one(plain), -1))


@pytest.mark.parametrize(
    "entry",
    [(0x112, 2, 2, b"6\0\0\0"), (0x112, 3, 1, 999), (0x112, 5, 1, 2**30)],
    ids=["text", "an unknown one", "a rational beyond the end"],
)
def test_an_odd_rotation_is_none(entry):
    content = saved("JPEG", exif=exif_bytes(entry))
    np.testing.assert_array_equal(one(content), one(saved("JPEG")))


@pytest.mark.parametrize("notes", [b"", b"no TIFF at all", b"II*\0", b"MM\0*" * 9])
def test_notes_that_are_none_are_left_out_or_name_the_file(notes, tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_bytes(saved("JPEG"))
    odd = saved("JPEG", exif=b"Exif\0\0" + notes)
    (tmp_path / "odd.jpg").write_bytes(odd)
    try:
        found = load("images", tmp_path)
    except ValueError as error:
        assert "odd.jpg is damaged: expected a picture" in str(error)
    else:
        both = [*found.train_images, *found.test_images]
        assert len({image.tobytes() for image in both}) == 1


# === What they cost ===


def png_of(width: int, height: int, data: bytes = b"") -> bytes:
    """Makes a PNG that claims a size, at one bit per pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(data, 9))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [None, 8])
@pytest.mark.parametrize(
    "sides", [(13000, 13000), (15000, 12000), (20000, 20000), (2**31 - 1, 9)]
)
def test_large_pictures_are_refused_by_name(sides, size, tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(saved("PNG"))
    (tmp_path / "huge.png").write_bytes(png_of(*sides))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"huge\.png is too large.*Make it smaller"):
        load("images", tmp_path, size=size)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_small_but_claims_much_is_refused(kind, monkeypatch):
    monkeypatch.setattr(limits, "SMALL_BYTES", 1000)
    monkeypatch.setattr(limits, "MAX_EXPANSION", 1)
    flat = Image.new("RGB", (300, 300))
    content = saved(kind, flat)
    if kind in ("BMP", "TIFF"):  # as large as they say
        assert one(content).shape == (300, 300, 3)
        return
    with pytest.raises(ValueError, match=r"it is too large: .*pixels, got 300 x 300"):
        one(content)
    monkeypatch.setattr(limits, "SMALL_BYTES", 400_000)
    assert one(content).shape == (300, 300, 3)


@pytest.mark.parametrize("options", [{"lossless": True}, {}, {"exif": b"Exif\0\0"}])
def test_webp_says_its_size(options):
    content = saved("WEBP", Image.new("RGB", (301, 402)), **options)
    assert _webp_size(content[:30]) == (301, 402)
    assert _webp_size(saved("PNG")[:30]) is None


def test_pictures_that_do_not_fit_into_memory():
    class Many(list):
        def __len__(self):
            return 2**40

    picture = Picture(png_of(1000, 1000, bytes(126 * 1000)), "it", 0)
    with pytest.raises(ValueError, match="do not fit into memory.*Pass size="):
        decode(Many([picture]))


def test_no_pictures():
    with pytest.raises(ValueError, match="at least one picture to decode, got none"):
        decode([])


# === Damage ===


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_pictures_are_named(kind):
    content = saved(kind, Image.fromarray(np.tile(PIXELS, (9, 9, 1))))
    for length in (0, 1, 10, len(content) // 3, len(content) * 2 // 3):
        with pytest.raises(ValueError, match="it is damaged: expected a picture that"):
            one(content[:length])


def test_other_formats_are_not_parsed(tmp_path):
    """A page of PostScript in a file called .png would be run by Ghostscript."""
    content = saved("EPS")
    assert content.startswith(b"%!PS")
    for other in (content, saved("PPM"), saved("ICO")):
        with pytest.raises(ValueError, match="cannot identify image file"):
            one(other)


def test_a_pipe_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"x\.png must be a picture, got no regular"):
        decode([Picture(tmp_path / "x.png", "x.png", 0)])
    with pytest.raises(FileNotFoundError, match=r"absent\.png"):
        decode([Picture(tmp_path / "absent.png", "absent.png", 0)])
