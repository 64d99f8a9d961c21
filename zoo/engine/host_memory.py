"""The process's memory use, and what the C library does with freed memory.

By default glibc returns large buffers to the system at once, and then faults each
step's buffers in again, page by page: on a CPU, a fifth of the time of a step with
large activations.
"""

import contextlib
import ctypes
import sys

# glibc's constants (malloc.h), and how much freed memory a process may keep.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
KEPT_BYTES = 1 << 30


def keep_freed() -> None:
    """Keeps freed memory in the process, so that the next step reuses it."""
    _set_malloc(M_MMAP_THRESHOLD, KEPT_BYTES)
    _set_malloc(M_TRIM_THRESHOLD, KEPT_BYTES)


def share_between_threads() -> None:
    """Uses one arena for all threads: per-thread arenas can't keep buffers > 64 MB."""
    _set_malloc(M_ARENA_MAX, 1)


def peak_bytes() -> int | None:
    """The process's peak memory so far, in bytes; None if the system doesn't count."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _set_malloc(parameter: int, value: int) -> None:
    """Sets a glibc option; does nothing with another C library."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(parameter, value)
