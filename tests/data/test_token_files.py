"""Token files: exact round trips by memory map, atomic writes, clear errors."""

import pickle

import numpy as np
import pytest

from zoo.data import read_tokens, token_files, write_tokens

pytestmark = pytest.mark.host


@pytest.mark.parametrize(
    ("largest", "dtype"),
    [(0, np.uint16), (65_535, np.uint16), (65_536, np.uint32), (2**31 - 1, np.uint32)],
)
def test_round_trip(tmp_path, largest, dtype):
    ids = np.array([1, largest, 0], np.int64)
    path = tmp_path / "new" / "tokens.npy"
    write_tokens(path, ids)
    tokens = read_tokens(str(path))
    assert isinstance(tokens, np.memmap)
    assert tokens.dtype == dtype
    assert tokens.tolist() == ids.tolist()
    assert not tokens.flags.writeable
    assert [p.name for p in path.parent.iterdir()] == ["tokens.npy"]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "tokens.npy"
    write_tokens(path, np.array([1, 2]))

    def fail(file, *args, **kwargs):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(token_files.np, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_tokens(path, np.array([3, 4]))
    assert [p.name for p in tmp_path.iterdir()] == ["tokens.npy"]
    assert read_tokens(path).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], r"shape \(0,\)"),
        ([[1, 2]], r"shape \(1, 2\)"),
        ([0.5], "float64"),
        ([3, -1], "range from -1 to 3"),
        ([2**31], "expected 0 to 2147483647"),
    ],
)
def test_write_refuses(tmp_path, ids, message):
    with pytest.raises(ValueError, match=message):
        write_tokens(tmp_path / "tokens.npy", np.array(ids))
    assert not list(tmp_path.iterdir())


def test_read_refuses(tmp_path):
    path = tmp_path / "tokens.npy"
    with pytest.raises(FileNotFoundError, match=r"no token file .*tokens\.npy; write"):
        read_tokens(path)
    for content in (b"", b"not numpy at all", pickle.dumps([1, 2])):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"not a whole \.npy file"):
            read_tokens(path)
    for array in (
        np.zeros(0, np.uint16),
        np.zeros((2, 2), np.uint16),
        np.zeros(3, np.int64),
    ):
        np.save(path, array)
        with pytest.raises(ValueError, match=f"holds {array.dtype} of shape"):
            read_tokens(path)
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"not a whole \.npy file"):
        read_tokens(path)
    with open(path, "wb") as file:
        np.savez(file, np.arange(3))
    with pytest.raises(ValueError, match="archive"):
        read_tokens(path)


def test_read_refuses_a_cut_off_file(tmp_path):
    path = tmp_path / "tokens.npy"
    write_tokens(path, np.arange(1000))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"not a whole \.npy file"):
        read_tokens(path)
