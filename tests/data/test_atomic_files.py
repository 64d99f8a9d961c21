"""Files are either the old ones or the new ones, whatever happens in between."""

import json
import os
import shutil
import stat
import subprocess
import sys
import threading

import pytest

from zoo.files import atomic as atomic_files
from zoo.files import locks
from zoo.files.atomic import (
    is_empty,
    replacing,
    replacing_files,
    replacing_folder,
    unchanged,
)

pytestmark = pytest.mark.host

# Overwrites a folder in separate processes, each killed one file operation later than
# the one before, and prints the contents of the folder after each, until one process
# completes; then once more without a kill.
KILLS = """
import json, os, shutil, signal, sys
from pathlib import Path
from zoo.files.atomic import unchanged, replacing, replacing_files

folder = Path(sys.argv[1])

def write(version):
    if sys.argv[2] == "file":
        with replacing(folder / "a") as file:
            file.write(version.encode())
        return
    with replacing_files(folder, gone=["c"]) as new:
        (new / "a").write_text(version)
        (new / "inner").mkdir()
        (new / "inner" / "b").write_text(version)
        if version == "old":
            (new / "c").write_text(version)

def contents():
    with unchanged(folder):
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_text() for path in files}

def counted(operation, last):
    def call(*args, **options):
        global done
        done += 1
        if done == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return operation(*args, **options)
    return call

at, done, code = 0, 0, 1
while code:
    write("old")
    at += 1
    if not (child := os.fork()):
        for name in ("replace", "rename", "unlink", "mkdir", "fsync", "open", "chmod"):
            setattr(os, name, counted(getattr(os, name), at))
        shutil.rmtree = counted(shutil.rmtree, at)
        write("new")
        os._exit(0)
    code = os.waitpid(child, 0)[1]
    print(json.dumps(contents()))
write("new")
print(json.dumps(contents()))
"""


@pytest.fixture(params=["flock", "no flock"])
def system(request, monkeypatch):
    """This system, or one that, like Windows, can't lock, open or sync a folder."""
    if request.param == "flock":
        return
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(shutil, "_use_fd_functions", False)
    opened = os.open

    def opens_no_folder(path, flags, *args, **options):
        if os.path.isdir(path):
            raise PermissionError(path)
        return opened(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", opens_no_folder)


def after_kills(folder, what: str) -> list[dict[str, str]]:
    args = [sys.executable, "-c", KILLS, str(folder), what]
    done = subprocess.run(args, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def contents(folder) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != locks.LOCK)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_a_writer_killed_at_any_point_of_a_file(tmp_path):
    found = after_kills(tmp_path, "file")
    assert len(found) > 8
    assert {x["a"] for x in found} == {"old", "new"}
    assert found[-1] == contents(tmp_path) == {"a": "new"}  # leftovers are removed


def test_a_writer_killed_at_any_point_of_a_folder(tmp_path):
    (tmp_path / "mine").write_text("stays")
    old = {"a": "old", "inner/b": "old", "c": "old", "mine": "stays"}
    new = {"a": "new", "inner/b": "new", "mine": "stays"}
    found = after_kills(tmp_path, "files")
    whole = [{k: x for k, x in each.items() if ".tmp/" not in k} for each in found]
    assert len(found) > 30
    assert all(each in (old, new) for each in whole)
    is_new = [each == new for each in whole]
    assert is_new == sorted(is_new)  # at one point the old becomes the new
    assert not is_new[0]
    assert found[-1] == new  # leftovers are removed


def test_what_killed_writers_left_makes_no_folder_full(system, tmp_path):
    left = tmp_path / ".files.0123456789abcdef.tmp"
    left.mkdir()
    (left / "a").touch()
    assert is_empty(tmp_path)
    # All was written: only the renames remain.
    left.rename(tmp_path / atomic_files.COMMITTED)
    assert not is_empty(tmp_path)
    assert contents(tmp_path) == {"a": ""}


def test_one_that_is_still_at_work_is_not_swept(system, tmp_path):
    with replacing(tmp_path / "a") as first:
        first.write(b"first")
        with replacing(tmp_path / "a") as second:
            second.write(b"second")
        assert (tmp_path / "a").read_bytes() == b"second"
    assert (tmp_path / "a").read_bytes() == b"first"
    with replacing_files(tmp_path) as first:
        (first / "a").write_text("1")
        (first / "b").write_text("1")
        with replacing_files(tmp_path) as second:
            (second / "a").write_text("2")
        assert contents(tmp_path / second.name) == {}
        assert (tmp_path / "a").read_text() == "2"
    assert contents(tmp_path) == {"a": "1", "b": "1"}


def test_errors_leave_what_was_there(system, tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a") as file:
        file.write(b"new")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), replacing_files(tmp_path) as new:
        (new / "a").write_text("new")
        raise KeyboardInterrupt
    assert contents(tmp_path) == {"a": "old"}


def test_what_is_no_file_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(OSError, match="can't be written: it exists and is not a"):
            with replacing(path):
                pass
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_planted_links_are_not_followed(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    names = iter(["0" * 16, "1" * 16] * 2)
    monkeypatch.setattr(atomic_files.secrets, "token_hex", lambda _: next(names))
    # Even if the name can be guessed.
    os.symlink(victim, folder / f".a.{'0' * 16}.tmp")
    with pytest.raises(FileExistsError), replacing(folder / "a") as file:
        file.write(b"new")
    os.symlink(victim, folder / "a")
    with replacing(folder / "a") as file:
        file.write(b"new")
    assert (folder / "a").read_text() == "new"
    assert not (folder / "a").is_symlink()
    assert victim.read_text() == "precious"


def test_a_folder_from_elsewhere_reaches_nothing_else(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("precious")
    folder = tmp_path / "folder"
    (folder / ".committed" / "sub").mkdir(parents=True)
    (folder / ".committed" / "sub" / "secret").write_text("planted")
    (folder / ".committed" / "sub" / "secret.gone").write_text("")
    os.symlink(outside, folder / "sub")
    with pytest.raises(OSError, match="was not fully written.*leads out of"):
        with unchanged(folder):
            pass
    other = tmp_path / "other"
    other.mkdir()
    os.symlink(outside, other / ".committed")
    with unchanged(other):
        assert not (other / "secret").exists()
    assert contents(outside) == {"secret": "precious"}


def test_readers_see_one_version(system, tmp_path):
    def write(version: int) -> None:
        with replacing_files(tmp_path) as new:
            for name in "ab":
                (new / name).write_text(str(version))

    write(0)
    stop = threading.Event()

    def keep_writing() -> None:
        version = 0
        while not stop.is_set():
            write(version := version + 1)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        seen: set[str] = set()
        while len(seen) < 20:
            with unchanged(tmp_path):
                first, second = ((tmp_path / name).read_text() for name in "ab")
            assert first == second
            seen.add(first)
    finally:
        stop.set()
        writer.join()


def test_a_reader_can_read_within_a_read(system, tmp_path):
    with unchanged(tmp_path), unchanged(tmp_path):
        pass
    with pytest.raises(FileNotFoundError):
        with unchanged(tmp_path / "missing"):
            pass


def test_modes_and_folders(system, tmp_path):
    mask = os.umask(0o027)
    try:
        with replacing(tmp_path / "deep" / "a") as file:
            file.write(json.dumps([1]).encode())
        with replacing_files(tmp_path / "files") as new:
            (new / "b").write_text("")
            (new / "b").chmod(0o600)  # as some libraries do
        with replacing_folder(tmp_path / "whole") as new:
            new.mkdir()
            (new / "c").write_text("")
    finally:
        os.umask(mask)
    for name in ("deep/a", "files/b", "whole/c"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640, name
    assert {p.name for p in tmp_path.iterdir()} == {"deep", "files", "whole"}
    (tmp_path / "empty").mkdir()
    with replacing_folder(tmp_path / "empty") as new:
        new.mkdir()
        (new / "d").write_text("")
    assert contents(tmp_path / "empty") == {"d": ""}
    with pytest.raises(OSError, match="not empty"):
        with replacing_folder(tmp_path / "whole") as new:
            new.mkdir()
