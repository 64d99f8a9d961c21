"""One error for the many that parsers raise on a damaged file.

A parser that meets unexpected bytes may raise anything: KeyError, TypeError,
struct.error, zipfile.BadZipFile, RuntimeError (h5py and encrypted zips),
RecursionError, MemoryError, Rust panics. Within `reading` each of them becomes a
ValueError that names the file, what was expected of it, and what to do.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import NoReturn

LONGEST = 300  # characters of a cause; parsers quote their input at any length
# Errors about the path, not the content: they say all there is to say.
PASSED_ON = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
)


@contextlib.contextmanager
def reading(
    file: str | os.PathLike[str],
    expected: str,
    advice: str = "Copy or save it again.",
) -> Iterator[None]:
    """Within, each error that a parser raises becomes a ValueError naming the file.

        with reading(path, "a JSON object with class_name and config"):
            config = json.loads(text)["config"]

    raises "PATH is damaged: expected a JSON object with class_name and config
    (KeyError: 'config'). Copy or save it again."

    Passed on unchanged: a ValueError that already names the file, such as a reader's
    own; errors about the path (no such file, no permission); and whatever ends the
    program or a test (KeyboardInterrupt, SystemExit).

    Args:
        file: the file to read; its name begins the message.
        expected: what it should hold, to follow the word "expected".
        advice: a sentence that says what to do.

    Raises:
        ValueError: the block raised an error.
    """
    try:
        yield
    except PASSED_ON:
        raise
    except Exception as error:
        named = isinstance(error, ValueError) and os.fspath(file) in str(error)
        if named and not isinstance(error, UnicodeError):
            raise
        _refuse(file, expected, advice, error)
    except BaseException as error:
        if not is_panic(error):
            raise
        _refuse(file, expected, advice, error)


@contextlib.contextmanager
def naming(file: str | os.PathLike[str]) -> Iterator[None]:
    """Within, a ValueError that does not name the file is prefixed with its name.

    For files that are readable but can't be used; `reading` would call them damaged.
    """
    try:
        yield
    except ValueError as error:
        if os.fspath(file) in str(error):
            raise
        raise ValueError(f"{os.fspath(file)}: {error}") from error


def is_panic(error: BaseException) -> bool:
    """Whether this is a Rust panic, which is not an `Exception`."""
    return type(error).__module__ == "pyo3_runtime"


def _refuse(
    file: str | os.PathLike[str], expected: str, advice: str, error: BaseException
) -> NoReturn:
    message = f"{os.fspath(file)} is damaged: expected {expected} ({cause(error)})."
    raise ValueError(f"{message} {advice}") from error


def cause(error: BaseException) -> str:
    """An error as one short, printable line without its full stop."""
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = " ".join(str(error).split()).removesuffix(".")
    if not isinstance(error, ValueError | OSError) or not text:
        text = f"{type(error).__name__}: {text}"
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}..."
    return printable(text)


def printable(text: str) -> str:
    """A text with everything escaped that can't be printed or moves the cursor."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
