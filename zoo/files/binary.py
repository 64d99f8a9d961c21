"""Files that are kept open: what happens to their names later is another file's."""

import io
import sys
from pathlib import Path
from typing import BinaryIO

from zoo.files import checked_reads
from zoo.files.limits import check_plain, read_bytes


class _Kept(io.BufferedReader):
    """A file that is closed when nobody has it any more."""

    def __del__(self) -> None:
        self.close()


def opened(file: Path) -> BinaryIO:
    """A file to read parts of, of any size; in memory where it must be checked.

    Raises:
        ValueError: it is a pipe or a device, or not what the check expects.
        FileNotFoundError: there is none.
    """
    if checked_reads.current() is not None:
        return io.BytesIO(read_bytes(file, sys.maxsize))
    check_plain(file)
    return _Kept(open(file, "rb", buffering=0))
