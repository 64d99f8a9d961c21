"""Runs a command or recipe as a program: quiet, stoppable, with one-line errors."""

import contextlib
import importlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Errors that the user can do something about; any other one is a bug, and shows its
# traceback.
EXPECTED = (ValueError, OSError, ImportError, NotImplementedError, FloatingPointError)
# From Ctrl-C, `kill`, and a closed terminal (not on Windows).
SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
]


def quiet() -> None:
    """Silences TensorFlow's log, unless the user has set a log level.

    It prints its first lines, about oneDNN, before it reads the level. If it is the
    backend, it is imported here with standard error discarded.

    Only programs call this, before they import a backend; `import zoo` never does.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if asked_backend() != "tensorflow" or "tensorflow" in sys.modules:
        return
    with _no_errors_shown(), contextlib.suppress(ImportError):  # Keras explains better
        importlib.import_module("tensorflow")


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Within, a terminal shows what is being waited for; pipes and files do not."""
    error = sys.stderr
    if error is None or not error.isatty():
        yield
        return
    line = f"{what} ..."[: max(shutil.get_terminal_size().columns - 1, 0)]
    error.write(line)
    error.flush()
    try:
        yield
    finally:
        error.write(f"\r{' ' * len(line)}\r")
        error.flush()


def asked_backend() -> str:
    """The backend that Keras will use, determined as Keras does."""
    return os.environ.get("KERAS_BACKEND") or saved_backend() or "tensorflow"


def saved_backend() -> str | None:
    """The backend that Keras reads from `keras.json`; None without such a file."""
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    file = home / "keras.json"
    if not file.is_file():
        return None
    saved = {}
    with contextlib.suppress(OSError, ValueError):
        saved = json.loads(file.read_text("utf-8"))
    return str(saved.get("backend", "tensorflow"))


@contextlib.contextmanager
def _no_errors_shown() -> Iterator[None]:
    """Within, discards what C++ code writes to standard error."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def errors_in_one_line(name: str) -> Iterator[None]:
    """Within, an expected error ends the program with its message and status 1."""
    try:
        yield
    except BrokenPipeError:
        raise
    except EXPECTED as error:
        words = " ".join(str(error).split()) or type(error).__name__
        sys.exit(f"{name}: {words}")


@contextlib.contextmanager
def stoppable() -> Iterator[list[int]]:
    """Within, each of `SIGNALS` raises KeyboardInterrupt.

    Yields:
        The list of signals received so far.
    """
    received: list[int] = []

    def stop(number: int, frame: Any) -> None:
        del frame
        received.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
