"""A command or a recipe as a program: quiet, stoppable, with errors of one line."""

import contextlib
import importlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What its user can do something about; any other error is a fault of ours, and says
# where it lies.
EXPECTED = (ValueError, OSError, ImportError, NotImplementedError, FloatingPointError)
# Of Ctrl-C, of `kill`, and of a terminal that is closed (not on Windows).
SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
]


def quiet() -> None:
    """Keeps TensorFlow from speaking of itself, unless the user wants to hear it.

    Of its first lines, about oneDNN, it speaks before it looks at its log level: where
    it is the backend it is imported here, and they go nowhere.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if _asked_backend() != "tensorflow" or "tensorflow" in sys.modules:
        return
    with _no_errors_shown(), contextlib.suppress(ImportError):  # Keras says it better
        importlib.import_module("tensorflow")


def _asked_backend() -> str:
    """As Keras finds it out."""
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    saved = {}
    with contextlib.suppress(OSError, ValueError):
        saved = json.loads((home / "keras.json").read_text("utf-8"))
    return os.environ.get("KERAS_BACKEND") or saved.get("backend", "tensorflow")


@contextlib.contextmanager
def _no_errors_shown() -> Iterator[None]:
    """Leads what C++ writes to standard error nowhere."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
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
    """Ends the program with what an expected error says, and status 1."""
    try:
        yield
    except BrokenPipeError:
        raise
    except EXPECTED as error:
        words = " ".join(str(error).split()) or type(error).__name__
        sys.exit(f"{name}: {words}")


@contextlib.contextmanager
def stoppable() -> Iterator[list[int]]:
    """Lets each of `SIGNALS` raise KeyboardInterrupt; yields those that came."""
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
