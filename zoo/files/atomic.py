"""Atomic writes: files are the old ones or the new ones, never partial or mixed.

A file is written beside its final place, under a random name and locked by its writer.
A killed writer's lock is released, so the next writer knows that it can delete the
leftovers. Everything is synced to disk before it takes its place.
"""

import contextlib
import glob
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from zoo.files.locks import (
    FOLDER,
    LOCK,
    NO_LINK,
    lock,
    locked,
    opens_folders,
)

# A folder of files that will replace those beside it, all together; a name with the
# suffix GONE marks a file to delete.
COMMITTED = ".committed"
GONE = ".gone"
TEMPORARY = r"^\..*\.[0-9a-f]{16}\.tmp$"


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a temporary file beside `path` that replaces it if the block succeeds.

    Args:
        path: the file to write; its folder is made if missing.

    Yields:
        A binary file; write through this object, not by name.

    Raises:
        OSError: the file can't be written, or `path` is a folder or a device.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise OSError(f"{path} can't be written: it exists and is not a regular file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, descriptor = _beside(path)
    try:
        with open(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
            if not opens_folders():  # Windows, which moves no open file
                file.close()
            os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_files(
    folder: str | os.PathLike[str], gone: Collection[str] = ()
) -> Iterator[Path]:
    """Makes an empty folder, whose files then replace those of `folder` all together.

    One rename commits: a writer killed before it leaves the old files, and after it the
    new ones, which the next `unchanged` or write moves into place. Other files in the
    folder are left alone.

    Args:
        folder: to write into; made if missing.
        gone: names of files that are deleted unless they are written.

    Yields:
        The folder to write files or folders of files to, under their final names.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder / "files") as new:
        yield new
        for name in gone:
            if not (new / name).exists():
                mark = new / f"{name}{GONE}"
                mark.parent.mkdir(parents=True, exist_ok=True)
                mark.touch()
        _settle(new)
        with locked(folder):
            _complete(folder)
            os.rename(new, folder / COMMITTED)
            _sync_folder(folder)
            _complete(folder)


@contextlib.contextmanager
def replacing_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a path for a folder that then becomes `folder`, which is new or empty."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder) as temporary:
        new = temporary / "new"
        yield new
        _settle(new)
        if folder.is_dir() and not opens_folders():  # Windows replaces no folder
            folder.rmdir()
        os.replace(new, folder)
        _sync_folder(folder.parent)


@contextlib.contextmanager
def unchanged(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Within, a folder's files are those of one writer: other writers wait.

    Raises:
        OSError: the last writer was killed while it moved files into place, and that
            can't be completed.
    """
    folder = Path(folder)
    with contextlib.ExitStack() as reading:
        reading.enter_context(locked(folder, shared=True))
        while _is_pending(folder):
            reading.close()
            try:
                with locked(folder):
                    _complete(folder)
            except OSError as error:
                raise OSError(
                    f"{folder} was not fully written: the files in "
                    f"{folder / COMMITTED} belong in it but can't be moved there "
                    f"({error}). Read it where the folder is writable, or save it "
                    "again."
                ) from error
            reading.enter_context(locked(folder, shared=True))
        yield


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but killed writers' leftovers."""
    with unchanged(folder):
        names = [file.name for file in folder.iterdir()]
    return all(name == LOCK or re.search(TEMPORARY, name) for name in names)


@contextlib.contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path`, deleted at the end or, after a kill, by the next call."""
    temporary, descriptor = _beside(path, folder=True)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if descriptor >= 0:
            os.close(descriptor)


def _beside(path: Path, folder: bool = False) -> tuple[Path, int]:
    """Makes a temporary file or folder that is locked while its descriptor is open.

    The descriptor is -1 for a folder that the system can't open.
    """
    _sweep(path)
    flags = FOLDER if folder else os.O_RDWR | os.O_CREAT | os.O_EXCL
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        if folder:
            temporary.mkdir()
            if not opens_folders():
                return temporary, -1
        try:
            descriptor = os.open(temporary, flags | NO_LINK, 0o666)
        except FileNotFoundError:
            if folder and path.parent.is_dir():
                continue  # swept before it was opened
            raise
        lock(descriptor)
        if os.path.lexists(temporary):
            return temporary, descriptor
        os.close(descriptor)  # swept before it was locked


def _sweep(path: Path) -> None:
    """Deletes what killed writers of a file have left beside it."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError):  # gone, a link, or another user's
            descriptor = os.open(left, os.O_RDONLY | NO_LINK)
            try:
                if lock(descriptor, wait=False):
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
            finally:
                os.close(descriptor)


def _settle(folder: Path) -> None:
    """Gives all files the mode of new files, and syncs them to disk."""
    mode = folder.stat().st_mode & 0o666  # some libraries write owner-only files
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(parent, name)
            path.chmod(mode)
            if not name.endswith(GONE):
                # Windows syncs only what is open for writing.
                _sync(path, os.O_RDONLY if opens_folders() else os.O_RDWR)
        _sync_folder(Path(parent))


def _is_pending(folder: Path) -> bool:
    committed = folder / COMMITTED
    return committed.is_dir() and not committed.is_symlink()


def _complete(folder: Path) -> None:
    """Moves the committed files into place, those that have not been moved yet."""
    if not _is_pending(folder):
        return
    committed = folder / COMMITTED
    for parent, _, names in os.walk(committed, topdown=False):
        place = folder / Path(parent).relative_to(committed)
        # The folder may come from elsewhere: no link in it may lead outside.
        if not place.resolve().is_relative_to(folder.resolve()):
            raise OSError(f"{place} leads out of {folder}.")
        for name in names:
            if name.endswith(GONE):
                (place / name.removesuffix(GONE)).unlink(missing_ok=True)
                os.unlink(Path(parent, name))
            else:
                place.mkdir(parents=True, exist_ok=True)
                os.replace(Path(parent, name), place / name)
        if place.is_dir():
            _sync_folder(place)
    shutil.rmtree(committed)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Syncs a folder's list of files to disk, where the system can."""
    if opens_folders():
        _sync(folder, FOLDER)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
