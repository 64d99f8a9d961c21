"""One error for the many that parsers raise on a damaged file.

A parser that meets bytes it did not expect raises whatever its authors did not think
of: KeyError, TypeError, struct.error, zipfile.BadZipFile, RuntimeError (of h5py and of
encrypted zips), RecursionError, MemoryError, panics of Rust. Within `reading` each of
them becomes a ValueError that names the file, what was expected of it, and what to do.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import NoReturn

LONGEST = 300  # characters of a cause; parsers quote what they met, at any length
# About the path, not about what the file holds: these say all there is to say.
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
    advice: str = "Copy or save it anew.",
) -> Iterator[None]:
    """Within, each error of a parser becomes a ValueError that names the file.

        with reading(path, "a JSON object with class_name and config"):
            config = json.loads(text)["config"]

    raises "PATH is damaged: expected a JSON object with class_name and config
    (KeyError: 'config'). Copy or save it anew."

    What passes unchanged: a ValueError that names the file already, such as a reader's
    own; errors about the path (no such file, no permission); and whatever ends the
    program or a test (KeyboardInterrupt, SystemExit).

    Args:
        file: what is read; its name begins the message.
        expected: what it should hold, as it goes on after "expected".
        advice: a sentence, the way out.

    Raises:
        ValueError: what is within raised an error.
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
    """Within, a ValueError that does not name the file gets the name in front.

    For what is read right and can't be used, of which `reading` would say that it is
    damaged.
    """
    try:
        yield
    except ValueError as error:
        if os.fspath(file) in str(error):
            raise
        raise ValueError(f"{os.fspath(file)}: {error}") from error


def is_panic(error: BaseException) -> bool:
    """Whether Rust gave up; its exception is no Exception."""
    return type(error).__module__ == "pyo3_runtime"


def _refuse(
    file: str | os.PathLike[str], expected: str, advice: str, error: BaseException
) -> NoReturn:
    message = f"{os.fspath(file)} is damaged: expected {expected} ({cause(error)})."
    raise ValueError(f"{message} {advice}") from error


def cause(error: BaseException) -> str:
    """An error in one short line that can be printed."""
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    text = " ".join(str(error).split())
    if not isinstance(error, ValueError | OSError) or not text:
        text = f"{type(error).__name__}: {text}"
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}..."
    return printable(text)


def printable(text: str) -> str:
    """A text less what can't be printed, or would move a terminal's cursor."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
