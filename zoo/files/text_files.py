"""Text from files: which encodings are read, and how bad lines are handled.

Files are UTF-8, or UTF-16 or UTF-32 with a byte order mark, which is not part of the
text. Lines end in a line feed, or a carriage return and a line feed.
"""

import codecs
import gzip
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from zoo.files import limits
from zoo.files.surrogates import half_in

OnBad = Literal["error", "skip"]
SKIP = 'on_bad="skip" (--on-bad skip) leaves out what is bad'

# In this order: the little-endian UTF-32 mark begins with the UTF-16 one.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass
class BadLines:
    """Handles lines, or other entries of files, that can't be used.

    Attributes:
        on_bad: "error" raises at the first; "skip" leaves them out and counts them.
        count: how many were left out.
        first: what is wrong with the first of them, and where it is.
    """

    on_bad: OnBad = "error"
    count: int = 0
    first: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for another policy."""
        if self.on_bad not in get_args(OnBad):
            raise ValueError(
                f"on_bad must be one of {get_args(OnBad)}, got {self.on_bad!r}."
            )

    def found(self, problem: str) -> None:
        """Records a line that can't be used, or raises.

        Args:
            problem: names the file and the line, and says what was expected.

        Raises:
            ValueError: `on_bad` is "error".
        """
        if self.on_bad == "error":
            raise ValueError(f"{problem}. {SKIP}")
        self.count += 1
        self.first = self.first or problem

    def warn(self, name: str) -> None:
        """Warns how many lines of a dataset were left out, and quotes the first."""
        if self.count:
            warnings.warn(
                f"{self.count:,} bad lines or entries of {name!r} are left out; the "
                f"first: {self.first}",
                stacklevel=2,
            )


def read_text(file: Path, bad: BadLines) -> str:
    """A file's text without its bad lines.

    Raises:
        ValueError: a line is bad, and `bad` does not skip.
    """
    text = _decoded(file)
    if _is_clean(text):
        return text
    lines = _checked(file, text, bad)
    return "\n".join(line for line in lines if line is not None)


def read_lines(file: Path, bad: BadLines) -> list[str | None]:
    """A file's lines, with None for each that is left out.

    A file whose name ends in .gz is decompressed.

    Raises:
        ValueError: the file is empty, or a line is bad and `bad` does not skip.
    """
    text = _decoded(file)
    if not text:
        raise ValueError(f"{file} is empty; expected some lines.")
    text = text.removesuffix("\n")
    lines = [*text.split("\n")] if _is_clean(text) else _checked(file, text, bad)
    return [line and line.removesuffix("\r") for line in lines]


def read_whole(file: Path, limit: int | None = None) -> str:
    """A file's text, for formats such as JSON where no line can be left out.

    Args:
        file: the file's path.
        limit: the most bytes that it may have; None for no limit.

    Raises:
        ValueError: the file is not text, or is larger.
    """
    text = _decoded(file, None if limit is None else limits.read_bytes(file, limit))
    if not _is_clean(text):
        raise ValueError(next(filter(None, _problems(file, text.split("\n")))))
    return text


def _decoded(file: Path, data: bytes | None = None) -> str:
    """A file's text; bytes that can't be decoded become lone surrogates."""
    data = file.read_bytes() if data is None else data
    if file.suffix == ".gz":
        data = _decompressed(file, data)
    marks = (mark for mark in MARKS if data.startswith(mark))
    if mark := next(marks, None):
        try:
            text = data.decode(MARKS[mark], "surrogatepass")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{file} starts as {MARKS[mark].upper()} text but is damaged: "
                f"{error.reason} at byte {error.start}. Convert it to UTF-8."
            ) from error
    else:
        text = data.decode("utf-8-sig", "surrogateescape")
    return text


def _decompressed(file: Path, data: bytes) -> bytes:
    limit = limits.grown_limit(len(data))
    try:
        with gzip.open(file) as opened:
            text = opened.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{file} is a damaged gzip file: {error}") from error
    if len(text) > limit:
        raise ValueError(
            f"{file} has {len(data):,} bytes and grows to more than {limit:,} "
            "(the limits are in zoo/files/limits.py). Decompress it first."
        )
    return text


def _is_clean(text: str) -> bool:
    return "\0" not in text and not half_in(text)


def _checked(file: Path, text: str, bad: BadLines) -> list[str | None]:
    lines: list[str | None] = [*text.split("\n")]
    for place, problem in enumerate(_problems(file, text.split("\n"))):
        if problem:
            bad.found(problem)
            lines[place] = None
    return lines


def _problems(file: Path, lines: list[str]) -> Iterator[str]:
    """For each line, why it is not text; "" if it is."""
    for number, line in enumerate(lines, 1):
        place = f"line {number} of {file}"
        if found := half_in(line):
            code = ord(found[0])
            what = f"has half of a surrogate pair (U+{code:04X})"
            if 0xDC80 <= code <= 0xDCFF:  # from "surrogateescape"
                byte = len(line[: found.start()].encode())
                what = f"is not UTF-8 text: its byte {byte} (0x{code - 0xDC00:02x})"
            yield f"{place} {what}; convert the file to UTF-8"
        elif "\0" in line:
            yield (
                f"{place} has a NUL character after {line.index(chr(0))} others: the "
                "file is not text, or is UTF-16 without a byte order mark; convert it "
                "to UTF-8"
            )
        else:
            yield ""
