"""Ensures that one process at a time writes into a run's folder."""

import os
from pathlib import Path

from filelock import FileLock, Timeout


class Hold:
    """A lock on a folder, released when the process ends for any reason.

    Runs of the same process share the lock, since they run one after the other.

    Args:
        folder: the folder, created if missing.

    Raises:
        OSError: another process holds the lock.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder.resolve() / "run.lock"
        self._lock = FileLock(
            self._path, timeout=0, thread_local=False, is_singleton=True
        )
        try:
            self._lock.acquire()
        except Timeout:
            raise BlockingIOError(
                f"Another run is active in {folder}. Wait until it ends, or give this "
                "run another folder (--out)."
            ) from None
        self._file = os.stat(self._path)

    def held(self) -> bool:
        """Whether the folder still exists as it was locked."""
        try:
            return os.path.samestat(os.stat(self._path), self._file)
        except FileNotFoundError:
            return False
