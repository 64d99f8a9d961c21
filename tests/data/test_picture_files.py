"""Pictures in folders and archives are found alike; what is left out is named."""

import contextlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data import load
from zoo.files import limits

pytestmark = pytest.mark.host

SHADES = {"a": 10, "b": 90, "c": 170}


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (4, 4), shade).save(file, "PNG")
    return file.getvalue()


def pack(place: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(place, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo("x")
            info.filename = name  # unchanged: the constructor of ZipInfo repairs some
            archive.writestr(info, content)
    return place


def unpack(place: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = place / name.replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return place


def pictures(folders: dict[str, str]) -> dict[str, bytes]:
    """Makes three pictures per folder, in the shade of a class."""
    return {
        f"{folder}/{i}.png": png(SHADES[shade] + i)
        for folder, shade in folders.items()
        for i in range(3)
    }


JUNK = {
    "__MACOSX/._a.png": b"",
    "__MACOSX/d/._0.png": b"",
    "a/.hidden.png": b"",
    ".git/x/0.png": b"",
    "notes.txt": b"",
}
PARTS = {"trainA": "a", "trainB": "b", "testA": "a", "testB": "b"}
LAYOUTS = {
    "plain": {x: x for x in "abc"},
    "deep": {"a/1/2": "a", "a/1/3": "a", "b/x": "b", "c": "c"},
    "outer folders": {"x/y/a": "a", "x/y/b/1": "b", "x/y/c": "c"},
    "parts": {"train/a": "a", "train/b": "b", "test/a/1": "a", "test/b": "b"},
    "outer parts": {"x/train/a": "a", "x/train/b": "b", "x/val/b": "b"},
    # As strings, "a-1" sorts before "a/".
    "order": {"a": "a", "a-1": "b", "a/deep": "a", "a b": "c"},
}


def labelled(data):
    """Returns each part's shades by class name."""
    found = {}
    for part in ("train", "test"):
        images = getattr(data, f"{part}_images")[:, 0, 0, 0] // 80 * 80 + 10
        labels = getattr(data, f"{part}_labels")
        names = [data.class_names[label] for label in labels]
        found[part] = set(zip(names, images.tolist(), strict=True))
    return found


@pytest.mark.parametrize("slash", ["/", "\\"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_classes_are_alike_in_folder_and_archive(layout, slash, tmp_path):
    files = pictures(LAYOUTS[layout]) | JUNK
    named = {name.replace("/", slash): content for name, content in files.items()}
    folder = load("images", unpack(tmp_path / "folder", files))
    archive = load("images", pack(tmp_path / "it.zip", named))
    assert folder.sha256 == archive.sha256
    assert folder.class_names == archive.class_names
    # A picture's class is its outermost folder below the one that holds everything.
    expected = {
        ("order", "a-1"): SHADES["b"],
        ("order", "a b"): SHADES["c"],
    }
    seen = labelled(archive)
    for part, name, shade in [(p, *row) for p in seen for row in seen[p]]:
        assert shade == expected.get((layout, name), SHADES[name[0]]), (part, name)
    if "parts" in layout:
        assert folder.class_names == ("a", "b")
        assert len(folder.train_images) == 6
    # When Python unpacks, backslashes stay in file names.
    raw = tmp_path / "raw"
    zipfile.ZipFile(tmp_path / "it.zip").extractall(raw)
    assert load("images", raw).sha256 == folder.sha256


UNPAIRED = {
    "plain": PARTS,
    "deep": {f"{part}/{camera}": PARTS[part] for part in PARTS for camera in "xy"},
    "one deep": PARTS | {"trainA/x/y": "a", "testB/x": "b"},
    "outer": {f"x/{part}/1": shade for part, shade in PARTS.items()},
    "two": {"horse/1": "a", "horse/2": "a", "zebra": "b"},
    "two outer": {"x/horse/1": "a", "x/zebra/1": "b", "x/zebra/2": "b"},
    "parts": {"train/a/1": "a", "train/b/1": "b", "test/a": "a", "test/b": "b"},
}


@pytest.mark.parametrize("slash", ["/", "\\"])
@pytest.mark.parametrize("layout", UNPAIRED)
def test_domains_are_alike_in_folder_and_archive(layout, slash, tmp_path):
    files = pictures(UNPAIRED[layout]) | JUNK
    named = {name.replace("/", slash): content for name, content in files.items()}
    folder = load("unpaired", unpack(tmp_path / "folder", files))
    archive = load("unpaired", pack(tmp_path / "it.zip", named))
    assert folder.sha256 == archive.sha256
    assert folder.domains == archive.domains
    assert len(folder.domains) == 2 and "1" not in folder.domains
    for part, shade in PARTS.items():
        images = getattr(archive, f"{part[:-1]}_{part[-1].lower()}")
        assert abs(images.astype(int) - SHADES[shade]).max() < 3


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["trainA", "testA"], r"in the folders .*, got \['testA', 'trainA'\]"),
        (["train", "test"], r"in the folders .*, got no folder"),
        (["trainA/cam1", "trainA/cam2"], r"in the folders .*, got \['trainA'\]"),
        (["train/a", "train/b", "test/a", "test/c"], r", got \['a', 'b', 'c'\]"),
        (["test/a", "test/b"], "must have pictures in train, got some only in test"),
    ],
)
@pytest.mark.parametrize("form", [pack, unpack])
def test_parts_of_one_domain_are_not_two(folders, message, form, tmp_path):
    place = form(tmp_path / "it", pictures(dict.fromkeys(folders, "a")))
    with pytest.raises(ValueError, match=message):
        load("unpaired", place)


def test_what_is_left_out_beside_the_parts_is_named(tmp_path):
    folders = {"train/a": "a", "test/a": "a", "val/a": "a"}
    place = unpack(tmp_path, pictures(folders) | {"preview.png": png(0)})
    with pytest.warns(
        UserWarning, match="read as train and test; .*: preview.png, val"
    ):
        data = load("images", place)
    assert (len(data.train_images), len(data.test_images)) == (3, 3)
    # Without test, val takes its place; a class may have the name of a part.
    unpack(tmp_path / "1", pictures({"train": "a", "val": "b"}))
    assert load("images", tmp_path / "1").class_names == ()
    unpack(tmp_path / "2", pictures({"train": "a", "car": "b", "val": "c"}))
    assert load("images", tmp_path / "2").class_names == ("car", "train", "val")


def test_pictures_of_other_kinds_are_named(tmp_path):
    place = unpack(tmp_path / "1", pictures({"a": "a", "b": "b"}) | {"c/0.heic": b""})
    for form in (place, pack(tmp_path / "1.zip", {"c/0.HEIC": b"", "a/0.png": png(1)})):
        with pytest.warns(UserWarning, match=r"1 files such as .*c/0\.(heic|HEIC) are"):
            with contextlib.suppress(ValueError):  # one picture can't be split
                load("images", form)
    for form in (pack, unpack):
        with pytest.raises(FileNotFoundError, match=r"no picture, but .*x\.avif\. "):
            load("images", form(tmp_path / form.__name__, {"a/x.avif": b""}))


def test_names_may_be_deep(tmp_path):
    folders = {"x/" * 20_000 + letter: letter for letter in "abc"}
    data = load("images", pack(tmp_path / "it.zip", pictures(folders)))
    assert data.class_names == ("a", "b", "c")


# === Links ===


def test_links_are_followed(tmp_path):
    unpack(tmp_path / "else", pictures({"b": "b"}) | {"one.png": png(11)})
    place = unpack(tmp_path / "data", pictures({"a": "a", "c": "c"}))
    (place / "b").symlink_to(tmp_path / "else" / "b")
    (place / "a" / "one.png").symlink_to(tmp_path / "else" / "one.png")
    # Links back to a folder being read.
    (place / "c" / "loop").symlink_to(place)
    (place / "c" / "self").symlink_to(".")
    (tmp_path / "else" / "b" / "loop").symlink_to(place / "b")
    data = load("images", place)
    assert data.class_names == ("a", "b", "c")
    assert len(data.train_images) + len(data.test_images) == 10
    (tmp_path / "link").symlink_to(place)
    assert load("images", tmp_path / "link").sha256 == data.sha256
    pair = unpack(tmp_path / "pair", pictures({"a": "a"}))
    (pair / "b").symlink_to(tmp_path / "else" / "b")
    assert load("unpaired", pair).domains == ("a", "b")


@pytest.mark.parametrize("name", ["c", "a/9.png"])
def test_a_link_to_nowhere_is_named(name, tmp_path):
    place = unpack(tmp_path, pictures({"a": "a", "b": "b"}))
    (place / name).symlink_to("gone")
    with pytest.raises(FileNotFoundError, match=f"{name} is a symbolic link to gone"):
        load("images", place)


def test_a_link_in_an_archive_is_named(tmp_path):
    place = tmp_path / "it.zip"
    with zipfile.ZipFile(place, "w") as archive:
        for name, content in pictures({"a": "a", "b": "b"}).items():
            archive.writestr(name, content)
        link = zipfile.ZipInfo("c")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "../elsewhere")
    with pytest.raises(ValueError, match="it.zip:c is a symbolic link. Pack the files"):
        load("images", place)


def test_what_is_no_plain_file_is_named(tmp_path):
    place = unpack(tmp_path, pictures({"a": "a", "b": "b"}))
    os.mkfifo(place / "a" / "9.png")
    with pytest.raises(ValueError, match=r"9\.png must be a picture, got no"):
        load("images", place)


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    place = unpack(tmp_path, pictures({"a": "a", "b": "b"}))
    scandir = os.scandir

    def denied(folder):  # root may read all
        if Path(folder).name == "b":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(PermissionError, match="b'$"):
        load("images", place)


# === Archives ===


@pytest.mark.parametrize("name", ["images", "unpaired"])
def test_archives_that_are_none(name, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder or archive .*absent"):
        load(name, tmp_path / "absent")
    (tmp_path / "no.zip").write_bytes(b"zip")
    with pytest.raises(ValueError, match=r"no.zip must be a folder or a .zip"):
        load(name, tmp_path / "no.zip")
    for place in (pack(tmp_path / "empty.zip", {}), unpack(tmp_path, JUNK)):
        with pytest.raises(
            FileNotFoundError, match="holds no picture. Pictures must end"
        ):
            load(name, place)
    whole = pack(tmp_path / "it.zip", pictures({"a": "a", "b": "b"})).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:300] + whole[340:])
    with pytest.raises(ValueError, match=r"cut\.zip.* is damaged"):
        load(name, tmp_path / "cut.zip")
    for bad in ("../a/0.png", "/a/0.png", "..\\a\\0.png"):
        place = pack(tmp_path / "out.zip", pictures({"a": "a"}) | {bad: png(1)})
        with pytest.raises(ValueError, match="is a path outside of the archive"):
            load(name, place)


@pytest.mark.parametrize("name", ["images", "unpaired"])
def test_encrypted_archives(name, tmp_path):
    place = pack(tmp_path / "it.zip", pictures({"a": "a", "b": "b"}))
    content = bytearray(place.read_bytes())
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content[at + 8] |= 1
        at = content.find(b"PK\x01\x02", at + 4)
    place.write_bytes(content)
    with pytest.raises(ValueError, match=r"it\.zip:a/0\.png is encrypted. Unpack it"):
        load(name, place)


@pytest.mark.parametrize("name", ["images", "unpaired"])
def test_archives_that_grow(name, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SMALL_BYTES", 1000)
    place = tmp_path / "bomb.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in "ab":
            archive.writestr(f"{folder}/0.bmp", bytes(300_000))
    with pytest.raises(ValueError, match=r"bomb.zip must unpack to at.*got 600,000"):
        load(name, place)
    # Unzipping and decoding together may grow data no more than decoding alone.
    pixels = io.BytesIO()
    Image.new("L", (300, 300)).save(pixels, "BMP")
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("large.txt", np.random.default_rng(0).bytes(10_000))
        for file in ("a/0.bmp", "a/1.bmp", "b/0.bmp", "b/1.bmp"):
            archive.writestr(file, pixels.getvalue())
    with pytest.raises(ValueError, match=r"zip:a/..bmp is too large: .* pixels, got"):
        load(name, place)


def test_a_part_of_an_archive_is_read_alone(tmp_path):
    files = pictures({"a": "a", "b": "b", "c": "c"})
    data = load("images", pack(tmp_path / "it.zip", files), most=2)
    assert len(data.train_images) == 2
    assert np.unique(data.test_images).size == 1
