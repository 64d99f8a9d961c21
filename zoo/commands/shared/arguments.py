"""Arguments that several commands share, and checks that need no backend."""

import contextlib
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import tyro

from zoo.store.names import PresetName

Name = Annotated[PresetName, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
"""A preset's name or folder."""
Subject = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
"""A preset's name or folder, or the name of a model's class."""
Json = Annotated[
    bool,
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.arg(help="print JSON, for other programs."),
]
"""The flag `--json`."""

STANDARD = "-"
"""The name of standard input and standard output, where a file or text is expected."""


def text_or_input(text: str) -> str:
    """The text, or standard input for `-`, without a line break at its end.

    Raises:
        ValueError: standard input is not UTF-8.
    """
    if text != STANDARD:
        return text
    try:
        read = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"Standard input must be UTF-8 text: {error}") from error
    return read.removesuffix("\n").removesuffix("\r")


def whole(name: str, value: int | None, least: int) -> None:
    """Raises ValueError unless the number is at least `least`, or None."""
    if value is not None and value < least:
        raise ValueError(f"{name} must be a whole number from {least}, got {value}.")


def between(
    name: str, value: float, least: float, most: float, *, open_below: bool = False
) -> None:
    """Raises ValueError unless the number is within the limits; `most` is included."""
    inside = least < value if open_below else least <= value
    if not (inside and value <= most and math.isfinite(value)):
        wanted = f"in {'(' if open_below else '['}{least:g}, {most:g}]"
        if most == math.inf:
            wanted = f"{least:g} or more"
        raise ValueError(f"{name} must be {wanted}, got {value}.")


def readable_file(path: str | os.PathLike[str]) -> None:
    """Raises OSError unless there is a file that can be read; `-` always can."""
    if os.fspath(path) == STANDARD:
        return
    with open(path, "rb"):
        pass


def writable_file(path: Path | None) -> None:
    """Raises OSError unless a file can be written there; `-` always can."""
    if path is None or os.fspath(path) == STANDARD:
        return
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; a file to write is needed.")
    _writable_parent(path)


def writable_folder(path: Path) -> None:
    """Raises OSError unless files can be written into a folder of that name."""
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file; a folder to write is needed.")
    _writable_parent(path / "file")


def _writable_parent(path: Path) -> None:
    """Checks the nearest folder above that exists."""
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise NotADirectoryError(f"{path} can't be written: {parent} is a file.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{path} can't be written: {parent} is read-only.")


@contextlib.contextmanager
def file_or_output(path: Path) -> Iterator[Path]:
    """Yields the path of a file to write; for `-`, standard output gets its content."""
    if os.fspath(path) != STANDARD:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        yield (file := Path(folder) / "output")
        sys.stdout.buffer.write(file.read_bytes())
        sys.stdout.buffer.flush()


def not_both(config: Any, path: Path | None) -> None:
    """Raises ValueError if JSON and a file would both go to standard output."""
    if config.json and path is not None and os.fspath(path) == STANDARD:
        raise ValueError("--json and a file to standard output (-) exclude each other.")
