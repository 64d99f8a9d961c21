"""Lets a run continue when its standard output is lost."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class _Steadfast:
    """A stream that discards its text once it can't be written.

    The reader closed the pipe early (a closed terminal, `| head`), or the log's disk is
    full.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._unless_lost():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._unless_lost():
            self._stream.flush()

    @contextlib.contextmanager
    def _unless_lost(self) -> Iterator[None]:
        try:
            yield
        except UnicodeError:
            raise
        except (OSError, ValueError):  # ValueError: closed in Python
            _lead_nowhere(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def outlive_output() -> None:
    """From now on, losing standard output raises no error in this process."""
    stream = sys.stdout
    if isinstance(stream, _Steadfast):
        return
    if stream is None or stream.closed:
        sys.stdout = open(os.devnull, "w")
        return
    try:
        os.fstat(stream.fileno())
    except (OSError, ValueError):
        # Otherwise the next file opened would get its descriptor, and its output.
        _lead_nowhere(stream)
    sys.stdout = _Steadfast(stream)


def _lead_nowhere(stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):  # a notebook's stream has none
        descriptor = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
