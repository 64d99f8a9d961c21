"""Indices of TensorFlow checkpoints that claim more than they contain."""

import tracemalloc

import numpy as np
import pytest

from tests.presets.tensorflow_writer import (
    HEAD,
    block,
    tensor,
    varint,
    write,
    write_index,
)
from zoo.files.tensorflow_files import entries

pytestmark = pytest.mark.host

KEYS = block([(b"k%05d" % i, b"") for i in range(20_000)])
LONG = block([(bytes(10**5), b""), *((b"%04d" % i, b"") for i in range(5000))], 10**5)


def test_a_whole_one(tmp_path):
    arrays = {"b/c": np.arange(6.0, dtype="float32").reshape(2, 3), "a": np.array(7)}
    write(tmp_path / "m.ckpt", arrays)
    found = entries(tmp_path / "m.ckpt")
    assert set(found) == set(arrays)
    for name, x in arrays.items():
        np.testing.assert_array_equal(found[name].array(), x)


@pytest.mark.parametrize(
    ("inner", "handles", "cause"),
    [
        (block([HEAD, (b"w", b"\x08" + b"\xff" * 3_000_000)]), (), "64 bits"),
        (KEYS, [varint(0) + varint(len(KEYS))] * 20_000, "blocks are larger"),
        (LONG, (), "names are many times"),
        (block([HEAD, (b"w", tensor([2**20] * 1000, 9))]), (), "at most .* got 1000"),
        (block([(b"w", tensor([2], 8))]), (), "KeyError"),
        (block([HEAD, (b"w", tensor([2, 3], 4))]), (), "w of shape .2, 3. must"),
    ],
    ids=["number", "shared blocks", "long names", "axes", "no head", "size"],
)
def test_an_index_beyond_itself(inner, handles, cause, tmp_path):
    index = write_index(tmp_path / "m.ckpt", inner, handles)
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"m.ckpt.index is damaged: .*{cause}"):
        entries(tmp_path / "m.ckpt")
    assert tracemalloc.get_traced_memory()[1] < 20 * index.stat().st_size + 1e6
    tracemalloc.stop()


@pytest.mark.parametrize("power", [20, 50, 61])
def test_a_tensor_beyond_its_file(power, tmp_path):
    size = 2**power
    write_index(tmp_path / "m.ckpt", block([HEAD, (b"w", tensor([size], 4 * size))]))
    (tmp_path / "m.ckpt.data-00000-of-00001").write_bytes(bytes(100))
    (entry,) = entries(tmp_path / "m.ckpt").values()
    with pytest.raises(ValueError, match="00001 is damaged: .* bytes, got 100"):
        entry.array()
