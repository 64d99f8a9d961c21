"""No more of a file is read than its kind can need."""

import os

import pytest

from zoo.files import limits

pytestmark = pytest.mark.host


def test_a_file_up_to_a_limit(tmp_path):
    file = tmp_path / "a.json"
    file.write_bytes(b"12345")
    assert limits.read_bytes(file, 5) == b"12345"
    with pytest.raises(ValueError, match="a.json must have at most 4 bytes, got 5"):
        limits.read_bytes(file, 4)
    with pytest.raises(FileNotFoundError, match="b.json"):
        limits.read_bytes(tmp_path / "b.json", 5)


def test_what_has_no_end(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(ValueError, match=f"{name} must be a regular file"):
            limits.read_bytes(tmp_path / name, 5)


def test_small_compressed_files_may_grow_and_large_ones_only_so_far():
    assert limits.grown_limit(100) == limits.SMALL_BYTES
    assert limits.grown_limit(10**7) == 10**9
