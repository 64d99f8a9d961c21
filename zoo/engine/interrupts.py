"""Interrupts wait for the end of a training step.

Ctrl-C raises wherever Python happens to be. In the middle of an update, half of the
variables are new, and on JAX the old values have already been donated.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

# Signals that can raise in running code: Ctrl-C, a scheduler, a time limit, a closed
# terminal.
NAMES = ("SIGINT", "SIGTERM", "SIGALRM", "SIGUSR1", "SIGHUP")
HALF_DONE = (
    "The update had begun: some weights are new and some are old. Resume from the "
    "last checkpoint."
)
SIGNALS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]


class _Watch:
    """Replaces the signal handlers; only the main thread may.

    Attributes:
        passes: while a step runs, says whether it can be interrupted right now; None
            between steps.
        waiting: the signals that arrived while it could not, with their frames.
    """

    def __init__(self) -> None:
        self.passes: Callable[[], bool] | None = None
        self.waiting: list[tuple[int, Any]] = []
        self.handlers: dict[int, Callable[..., Any]] = {}
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                self.handlers[number] = handler
                signal.signal(number, self._receive)

    def _receive(self, number: int, frame: Any) -> None:
        # A second signal does not wait.
        if self.passes is None or self.waiting or self.passes():
            self.handlers[number](number, frame)
        else:
            self.waiting.append((number, frame))

    def deliver(self) -> None:
        """Calls the handlers of the signals that waited."""
        while self.waiting:
            number, frame = self.waiting.pop(0)
            self.handlers[number](number, frame)

    def end(self) -> None:
        """Restores the handlers, except those that were replaced in the meantime."""
        for number, handler in self.handlers.items():
            if signal.getsignal(number) == self._receive:
                signal.signal(number, handler)


_watches: list[_Watch] = []


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Within, `held` can make interrupts wait.

    Entering costs microseconds, so do it once per `fit`.
    """
    if _watches or threading.current_thread() is not threading.main_thread():
        yield
        return
    _watches.append(_Watch())
    try:
        yield
    finally:
        _watches.pop().end()


@contextlib.contextmanager
def held(passes: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Within, an interrupt waits for the end of the block.

    A second interrupt does not wait, nor does one that arrives while `passes()` is
    true.
    """
    outer = not _watches or _watches[0].passes is not None
    if outer or threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _watches[0]
    watch.passes = passes
    try:
        yield
    finally:
        watch.passes = None
        watch.deliver()
