"""One process at a time writes into a run's folder."""

import os
from pathlib import Path

from filelock import FileLock, Timeout


class Hold:
    """A lock on a folder, which ends with the process however that ends.

    Runs of the same process share it: they come one after the other.

    Raises:
        OSError: Another process has it.
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
                f"Another run is going on in {folder}. Wait until it has ended, or "
                "give this one another folder (--out)."
            ) from None
        self._file = os.stat(self._path)

    def held(self) -> bool:
        """Whether the folder is still the one that was locked."""
        try:
            return os.path.samestat(os.stat(self._path), self._file)
        except FileNotFoundError:
            return False
