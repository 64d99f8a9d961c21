"""Checks each file that is read, on the very bytes that are used.

If a file is hashed and then read again, another program may change it in between.
Within `checking` it can't: the bytes of every file that `read_bytes` or `opened` reads,
whoever calls them, are checked and then used.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

Check = Callable[[Path, bytes], None]
_check: ContextVar[Check | None] = ContextVar("check", default=None)


@contextlib.contextmanager
def checking(check: Check) -> Iterator[None]:
    """Within, each file's path and bytes go to `check`, which raises if they are wrong.

    A nested check replaces the outer one.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def current() -> Check | None:
    """The check in force; None if there is none."""
    return _check.get()
