"""Indices of TensorFlow's checkpoints that claim more than they have."""

import struct
import tracemalloc

import pytest

from zoo.presets.tensorflow_files import MAGIC, entries

pytestmark = pytest.mark.host


def varint(number):
    data = b""
    while number > 127:
        data, number = data + bytes([number & 127 | 128]), number >> 7
    return data + bytes([number])


def block(items, shared=0):
    """Keys that keep `shared` bytes of the one before, and values."""
    data = b"".join(
        varint(shared if place else 0) + varint(len(key)) + varint(len(value)) + key
        + value
        for place, (key, value) in enumerate(items)
    )  # fmt: skip
    return data + struct.pack("<I", 0)


def written(folder, inner, handles=None):
    """An index of one block, to which another points; zero bytes are checksums."""
    handles = handles or [varint(0) + varint(len(inner))]
    outer = block([(b"", handle) for handle in handles])
    foot = varint(0) * 2 + varint(len(inner) + 5) + varint(len(outer))
    foot += bytes(40 - len(foot)) + struct.pack("<Q", MAGIC)
    index = folder / "m.ckpt.index"
    index.write_bytes(inner + bytes(5) + outer + bytes(5) + foot)
    return index


def message(*fields):
    """A protocol buffer of (number, whole number or bytes)."""
    data = b""
    for number, value in fields:
        if isinstance(value, int):
            data += varint(number << 3) + varint(value)
        else:
            data += varint(number << 3 | 2) + varint(len(value)) + value
    return data


def tensor(*dims, num_bytes=None):
    shape = message(*((2, message((1, dim))) for dim in dims))
    count = 1
    for dim in dims:
        count *= dim
    return message((1, 1), (2, shape), (5, num_bytes or 4 * count))


HEAD = (b"", message((1, 1)))
KEYS = block([(b"k%05d" % i, b"") for i in range(20_000)])
LONG = block([(bytes(10**5), b""), *((b"%04d" % i, b"") for i in range(5000))], 10**5)


@pytest.mark.parametrize(
    ("inner", "handles", "cause"),
    [
        (block([HEAD, (b"w", b"\x08" + b"\xff" * 3_000_000)]), None, "64 bits"),
        (KEYS, [varint(0) + varint(len(KEYS))] * 20_000, "blocks are larger"),
        (LONG, None, "names are many times"),
        (
            block([HEAD, (b"w", tensor(*[2**20] * 1000, num_bytes=9))]),
            None,
            "1000 axes",
        ),
        (block([(b"w", tensor(2))]), None, "KeyError"),
        (block([HEAD, (b"w", tensor(2, 3, num_bytes=4))]), None, "w of .2, 3. has"),
    ],
    ids=["number", "shared blocks", "long names", "axes", "no head", "size"],
)
def test_an_index_beyond_itself(inner, handles, cause, tmp_path):
    index = written(tmp_path, inner, handles)
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"m.ckpt.index is damaged: .*{cause}"):
        entries(tmp_path / "m.ckpt")
    assert tracemalloc.get_traced_memory()[1] < 20 * index.stat().st_size + 1e6
    tracemalloc.stop()


@pytest.mark.parametrize("power", [20, 50, 61])
def test_a_tensor_beyond_its_file(power, tmp_path):
    written(tmp_path, block([HEAD, (b"w", tensor(2**power))]))
    (tmp_path / "m.ckpt.data-00000-of-00001").write_bytes(bytes(100))
    (entry,) = entries(tmp_path / "m.ckpt").values()
    with pytest.raises(
        ValueError, match=r"00001 is damaged: .* it has 100 bytes of|it"
    ):
        entry.array()
