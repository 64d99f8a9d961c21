"""Token files: exact round trips by memory map, atomic writes, clear errors."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from zoo.data import read_tokens, write_tokens
from zoo.data.text import token_files

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
        ([3, -1], "got -1 to 3"),
        ([2**31], "must be from 0 to 2147483647"),
    ],
)
def test_write_refuses(tmp_path, ids, message):
    with pytest.raises(ValueError, match=message):
        write_tokens(tmp_path / "tokens.npy", np.array(ids))
    assert not list(tmp_path.iterdir())


def test_read_refuses(tmp_path):
    path = tmp_path / "tokens.npy"
    with pytest.raises(FileNotFoundError, match=r"no token file .*tokens\.npy\. Write"):
        read_tokens(path)
    for content in (b"", b"not numpy at all", pickle.dumps([1, 2])):
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"must be a \.npy file, got another or a dam"
        ):
            read_tokens(path)
    for array in (
        np.zeros(0, np.uint16),
        np.zeros((2, 2), np.uint16),
        np.zeros(3, np.int64),
    ):
        np.save(path, array)
        with pytest.raises(ValueError, match=f"must hold .*got {array.dtype} of shape"):
            read_tokens(path)
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"must be a \.npy file, got another or a dam"):
        read_tokens(path)
    with open(path, "wb") as file:
        np.savez(file, np.arange(3))
    with pytest.raises(ValueError, match="archive"):
        read_tokens(path)


def test_read_refuses_a_cut_off_file(tmp_path):
    path = tmp_path / "tokens.npy"
    write_tokens(path, np.arange(1000))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"must be a \.npy file, got another or a dam"):
        read_tokens(path)


def test_read_takes_nanogpts_file_as_it_is(tmp_path):
    """Its prepare.py writes `np.array(ids, dtype=np.uint16).tofile("train.bin")`."""
    path = tmp_path / "train.bin"
    np.array([5, 0, 65_535], np.uint16).tofile(path)
    tokens = read_tokens(path)
    assert isinstance(tokens, np.memmap)
    assert (tokens.dtype, tokens.tolist()) == (np.uint16, [5, 0, 65_535])
    assert not tokens.flags.writeable
    for size in (0, 5):
        path.write_bytes(bytes(size))
        with pytest.raises(
            ValueError, match=f"one or more uint16 ids, got {size} bytes"
        ):
            read_tokens(path)


@pytest.mark.parametrize(("version", "dtype"), [(1, np.uint16), (7, np.uint32)])
def test_read_takes_llm_cs_files(tmp_path, version, dtype):
    path = tmp_path / "train.bin"
    header = np.zeros(256, np.int32)
    header[:3] = 20240520, version, 3
    data = header.tobytes() + np.array([7, 8, 9], dtype).tobytes()
    path.write_bytes(data)
    tokens = read_tokens(path)
    assert (tokens.dtype, tokens.tolist()) == (dtype, [7, 8, 9])
    path.write_bytes(data[:-1])
    with pytest.raises(ValueError, match="1024 bytes of llm.c's header and 3 uint"):
        read_tokens(path)
    header[1] = 2
    path.write_bytes(header.tobytes())
    with pytest.raises(ValueError, match="llm.c, must have version 1 or 7, got 2"):
        read_tokens(path)


def test_read_refuses_the_other_order_of_bytes(tmp_path):
    path = tmp_path / "tokens.npy"
    np.save(path, np.arange(3).astype(">u2"))
    with pytest.raises(ValueError, match=r"must hold .*got >u2 of shape \(3,\)"):
        read_tokens(path)
    write_tokens(path, np.arange(3).astype(">u2"))
    assert read_tokens(path).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<u2', 'shape': (",
        b"{'descr': '<u2', 'fortran_order': False, 'shape': (1099511627776,), }\n",
        b"(" * 9000,
        b"{'descr': '<u2', 'fortran_order': False, 'shape': (-1,), }\n",
        b"\xff\n",
    ],
)
def test_read_refuses_damaged_headers(tmp_path, header):
    path = tmp_path / "tokens.npy"
    size = len(header).to_bytes(2, "little")
    path.write_bytes(b"\x93NUMPY\x01\x00" + size + header + b"ab")
    with pytest.raises(ValueError, match=r"tokens\.npy"):
        read_tokens(path)


def test_eight_processes_write_one_file_at_once(tmp_path):
    """Each reader sees one writer's whole file, while others replace it."""
    path = tmp_path / "tokens.npy"
    code = (
        "import sys, numpy as np; from zoo.data import read_tokens, write_tokens\n"
        "number = int(sys.argv[2])\n"
        "for _ in range(20):\n"
        "    write_tokens(sys.argv[1], np.full(10_000 + number, number))\n"
        "    tokens = np.array(read_tokens(sys.argv[1]))\n"
        "    assert len(tokens) == 10_000 + tokens[0] and np.ptp(tokens) == 0\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, path, str(number)])
        for number in range(8)
    ]
    assert [process.wait(120) for process in processes] == [0] * 8
    assert [file.name for file in tmp_path.iterdir()] == ["tokens.npy"]
