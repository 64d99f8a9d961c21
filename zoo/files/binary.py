"""Files that are kept open, so that replacing them by name does not affect readers."""

import io
import sys
from pathlib import Path
from typing import BinaryIO

from zoo.files import checked_reads
from zoo.files.limits import check_plain, read_bytes


class _Kept(io.BufferedReader):
    """A file that is closed when its last reference goes."""

    def __del__(self) -> None:
        self.close()


def opened(file: Path) -> BinaryIO:
    """Opens a file of any size to read parts of it; in memory if it must be checked.

    Raises:
        ValueError: it is a pipe or a device, or not what the check expects.
        FileNotFoundError: there is no such file.
    """
    if checked_reads.current() is not None:
        return io.BytesIO(read_bytes(file, sys.maxsize))
    check_plain(file)
    return _Kept(open(file, "rb", buffering=0))
