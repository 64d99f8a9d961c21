"""A check of each file that is read, on the very bytes that are used.

Hashing a file and then reading it again leaves a moment in which another program may
change it. Within `checking` there is none: whatever is read whole by `read_bytes` or
`opened`, by whomever, is handed to the check and then used.
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

    A check within another takes its place.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def current() -> Check | None:
    """The check that is in force."""
    return _check.get()
