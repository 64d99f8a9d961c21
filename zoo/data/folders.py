"""A folder that is read: each file whole, within limits, and checked as it is read."""

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from zoo.data.damaged import reading
from zoo.data.limits import MAX_CONFIG_BYTES, check_plain, read_bytes


class _Kept(io.BufferedReader):
    """A file that is closed when nobody has it any more."""

    def __del__(self) -> None:
        self.close()


class Folder:
    """A folder and a check of its files.

    What is checked is what is used: whoever reads a file gets the very bytes that the
    check has seen, and there is no second look at the file.

    Args:
        path: the folder, or another `Folder`, which is copied.
        check: raises for a file's name and bytes if they are not the right ones. None:
            any are.
    """

    def __init__(
        self,
        path: "str | os.PathLike[str] | Folder",
        check: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self.check: Callable[[str, bytes], None] | None = (
            path.check if isinstance(path, Folder) else check
        )
        self.path = Path(path).expanduser()

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.path / name).is_file()

    def read(self, name: str, limit: int = MAX_CONFIG_BYTES) -> bytes:
        """A file's bytes.

        Args:
            name: in the folder.
            limit: how many bytes it may have.

        Raises:
            ValueError: it is larger, or not what the check expects.
            FileNotFoundError: there is none.
        """
        data = read_bytes(self.path / name, limit)
        if self.check is not None:
            self.check(name, data)
        return data

    def open(self, name: str) -> BinaryIO:
        """A file of any size; where there is a check, one that lies in memory.

        Raises:
            ValueError: it is not what the check expects.
            FileNotFoundError: there is none.
        """
        if self.check is not None:
            return io.BytesIO(self.read(name, sys.maxsize))
        check_plain(self.path / name)
        return _Kept(open(self.path / name, "rb", buffering=0))

    def json(
        self,
        name: str,
        expected: str = "a JSON object",
        limit: int = MAX_CONFIG_BYTES,
    ) -> dict[str, Any]:
        """A file's JSON object.

        Args:
            name: in the folder.
            expected: what it should hold, for the error.
            limit: how many bytes it may have.

        Raises:
            ValueError: it holds something else, or what `read` raises.
        """
        data = self.read(name, limit)
        with reading(self.path / name, expected):
            found = json.loads(data)
            if not isinstance(found, dict):
                raise ValueError(f"it holds a {type(found).__name__}")
        return found
