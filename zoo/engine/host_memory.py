"""What the process's memory comes to, and what the C library does with freed memory.

By itself it returns large buffers to the system at once, and so fetches each step's
anew, page by page: a fifth of a step with large activations on a CPU.
"""

import contextlib
import ctypes
import sys

# glibc's names and numbers (malloc.h), and how much freed memory a process may keep.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
KEPT_BYTES = 1 << 30


def keep_freed() -> None:
    """Keeps freed memory in the process, for the next step to use."""
    _set_malloc(M_MMAP_THRESHOLD, KEPT_BYTES)
    _set_malloc(M_TRIM_THRESHOLD, KEPT_BYTES)


def share_between_threads() -> None:
    """One pool for all threads: a thread's own can't keep a buffer above 64 MB."""
    _set_malloc(M_ARENA_MAX, 1)


def peak_bytes() -> int | None:
    """The most memory that this process had so far; None where it isn't counted."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _set_malloc(parameter: int, value: int) -> None:
    """Nothing with another C library than glibc."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(parameter, value)
