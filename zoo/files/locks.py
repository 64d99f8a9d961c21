"""Locks on files and folders, which a process loses when it ends for any reason.

They are flock's. Windows has none and opens no folders: there, a file in the folder is
locked instead, readers wait for each other too, and what killed writers leave behind
stays. Not all file systems have locks: where there are none, nothing waits.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# Opens a folder rather than a file, and no link.
FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
# The file that is locked where a folder can't be; Windows deletes it when released.
LOCK = ".lock"


def opens_folders() -> bool:
    """Whether the system opens, locks and syncs folders as it does files."""
    return fcntl is not None


def lock(descriptor: int, shared: bool = False, wait: bool = True) -> bool:
    """Whether a lock on an open file or folder was acquired."""
    if fcntl is None:
        return False
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, how if wait else how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def locked(folder: Path, shared: bool = False) -> Iterator[None]:
    """Within, this process holds a lock on the folder, alone or with other readers."""
    if not opens_folders():
        with _locked_file(folder / LOCK):
            yield
        return
    descriptor = os.open(folder, FOLDER)
    try:
        lock(descriptor, shared)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked_file(path: Path) -> Iterator[None]:
    """Within, this thread holds a lock on the file; it may take it again."""
    from filelock import FileLock

    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent}.")
    held = FileLock(path, is_singleton=True)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # the folder is not writable
            stack.enter_context(held)
        yield
