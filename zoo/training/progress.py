"""A progress bar for a whole training run, not for each epoch."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import keras

from zoo.engine.current import engine

# The share of the newest update in the smoothed time per update.
NEWEST = 0.05


class ProgressBar(keras.callbacks.Callback):
    """Shows the progress of a whole `fit`: its rate, the time left, the newest losses.

        model.fit(x, epochs=5, verbose=0, callbacks=[zoo.training.ProgressBar()])

    In a terminal and in a notebook it is one line that is redrawn; in a file or a pipe
    it is a line now and then, and one per epoch. It waits for the device only to read
    the losses that it shows, a few times a second at most.

    Args:
        examples_per_update: what one update trains on, for a second rate; None for
            updates per second alone.
        unit: what `examples_per_update` counts.
        total: the number of updates; None to compute it from the epochs.
        start: the number of updates before this `fit`, of `total`.
        seconds_between_lines: seconds between two lines in a file or a pipe.
        losses: the most metrics to show.
    """

    def __init__(
        self,
        examples_per_update: int | None = None,
        unit: str = "examples",
        *,
        total: int | None = None,
        start: int = 0,
        seconds_between_lines: float = 30.0,
        losses: int = 4,
    ) -> None:
        super().__init__()
        self.examples_per_update, self.unit = examples_per_update, unit
        self.total, self.start = total, start
        self.seconds_between_lines, self.losses = seconds_between_lines, losses
        self._view: _View | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Chooses how to show the progress."""
        self._view = _view(self.seconds_between_lines) if engine().is_main else None
        self.done, self._ended = self.start, self.start
        self._first_epoch: int | None = None
        self._seconds: float | None = None  # per update, without evaluations
        self._between = 0.0  # seconds of all evaluations
        self._epochs_ended, self._shown = 0, ""
        self._begun = self._last = time.perf_counter()
        self._next = self._begun

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Learns how long the epochs are."""
        steps = self.params.get("steps") if self.params else None
        if self._first_epoch is None:
            self._first_epoch = epoch
        elif steps is None and self._epochs_ended:
            steps = (self.done - self.start) // self._epochs_ended
        if self.total is None and steps:
            epochs = self.params["epochs"] - self._first_epoch
            self._total = self.start + epochs * steps
        else:
            self._total = self.total or 0
        self._steps, self._ended, self._first = steps, self.done, True

    def on_train_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Counts the updates and, if it is time, shows the progress."""
        now = time.perf_counter()
        updates = self._ended + batch + 1 - self.done
        self.done += updates
        if not self._first and updates > 0:  # the first one of an epoch may compile
            took = (now - self._last) / updates
            share = 1 - (1 - NEWEST) ** updates
            before = took if self._seconds is None else self._seconds
            self._seconds = before + share * (took - before)
        self._first, self._last = False, now
        if self._view is not None and now >= self._next:
            self._show(logs)
            self._next = time.perf_counter() + self._view.every

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Shows the epoch's metrics, those of the evaluation among them."""
        self._between += time.perf_counter() - self._last
        self._epochs_ended += 1
        if self._view is not None:
            self._show(logs, evaluated=True)
            self._next = time.perf_counter() + self._view.every

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Leaves the last line where it is."""
        self.close()

    def close(self) -> None:
        """Ends the line, also of a `fit` that an error has ended."""
        view, self._view = self._view, None
        if view is not None:
            view.close()

    def _show(self, logs: Mapping[str, Any] | None, evaluated: bool = False) -> None:
        assert self._view is not None
        if logs:
            self._shown = self._words(logs)
        pieces = [
            f"{self.done:,}/{self._total:,}" if self._total else f"{self.done:,}",
            self._rates(),
            self._time(),
            self._shown,
        ]
        share = min(1.0, self.done / self._total) if self._total else None
        self._view.show(share, [piece for piece in pieces if piece], evaluated)

    def _words(self, logs: Mapping[str, Any]) -> str:
        """The first metrics, and the same metrics of the evaluation."""
        names = [name for name in logs if not name.startswith("val_")]
        names = [n for n in names if n != "learning_rate" and "_per_" not in n]
        names = names[: self.losses]
        measured = [name for name in logs if name.startswith("val_")][: self.losses]
        return "  ".join(
            f"{name} {float(engine().numpy(logs[name])):.4g}"
            for name in (*names, *measured)
        )

    def _rates(self) -> str:
        if not self._seconds:
            return ""
        rate = 1 / self._seconds
        words = (
            f"{rate:.1f} updates/s" if rate >= 1 else f"{self._seconds:.1f} s/update"
        )
        if self.examples_per_update:
            words += f"  {rate * self.examples_per_update:,.0f} {self.unit}/s"
        return words

    def _time(self) -> str:
        """The time left, with the evaluations to come; at the end, the time taken."""
        left = self._total - self.done
        if self._total and left <= 0:
            return f"in {_clock(time.perf_counter() - self._begun)}"
        if not self._total or not self._seconds:
            return ""
        seconds = left * self._seconds
        if self._steps and self._epochs_ended:
            each = self._between / self._epochs_ended
            seconds += each * (left // self._steps)
        return f"{_clock(seconds)} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _View(ABC):
    """Where the progress is shown; `every` is the number of seconds between two."""

    every: float

    @abstractmethod
    def show(self, share: float | None, pieces: list[str], evaluated: bool) -> None:
        """Shows the share that is done, if it is known, and words about it."""

    def close(self) -> None:
        """Ends what was shown."""
        return None


class _Lines(_View):
    """A line now and then, for a file or a pipe."""

    def __init__(self, every: float) -> None:
        self.every = every
        self._last = time.perf_counter()

    def show(self, share: float | None, pieces: list[str], evaluated: bool) -> None:
        now = time.perf_counter()
        if evaluated or now - self._last >= self.every:
            self._last = now
            count, *rest = pieces
            done = f"update {count}" + ("" if share is None else f" ({share:.0%})")
            print("  ".join([done, *rest]), flush=True)


class _Terminal(_View):
    """One line that is redrawn; the cursor stays visible, whatever ends the run."""

    every = 0.2

    def __init__(self, console: Any) -> None:
        self._console, self._open = console, False

    def show(self, share: float | None, pieces: list[str], evaluated: bool) -> None:
        from rich.control import Control
        from rich.progress_bar import ProgressBar as Bar
        from rich.segment import ControlType
        from rich.text import Text

        erase = Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))
        words = Text("  ".join(pieces), no_wrap=True)
        if evaluated:  # stays, above the bar
            self._console.control(erase)
            said = f"update {pieces[0]}  {pieces[-1]}"
            self._console.print(said, highlight=False, soft_wrap=True)
        room = self._console.width - 1
        bar = None
        if share is not None:
            least = 20 if room >= 80 else 8
            bar = min(30, max(least, room - len(words) - 2))
            words.truncate(max(room - bar - 2, 1), overflow="ellipsis")
        else:
            words.truncate(room, overflow="ellipsis")
        self._console.control(erase)
        if bar is not None:
            options = self._console.options.update(width=bar)
            drawn = Bar(total=1.0, completed=share or 0.0, width=bar)
            line = Text.assemble(
                *(
                    (segment.text, segment.style or "")
                    for segment in self._console.render(drawn, options)
                    if segment.text != "\n"
                )
            )
            self._console.print(line, end="  ", soft_wrap=True)
        self._console.print(words, end="", soft_wrap=True, highlight=False)
        self._open = True

    def close(self) -> None:
        if self._open:
            self._console.print()


class _Notebook(_View):
    """One output of a cell that is replaced."""

    every = 0.5

    def __init__(self, display: Callable[..., Any]) -> None:
        self._display = display
        self._handle: Any = None

    def show(self, share: float | None, pieces: list[str], evaluated: bool) -> None:
        filled = 0 if share is None else round(24 * share)
        bar = "" if share is None else "━" * filled + "╌" * (24 - filled) + "  "
        shown = {"text/plain": bar + "  ".join(pieces)}
        if self._handle is None:
            self._handle = self._display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)


def _view(every: float) -> _View:
    """A view of the kind that standard output can show."""
    from rich.console import Console

    console = Console()
    if console.is_jupyter:
        from IPython.display import display

        return _Notebook(display)
    try:
        terminal = sys.stdout.isatty()
    except ValueError:  # closed
        terminal = False
    if terminal and not console.is_dumb_terminal:
        return _Terminal(console)
    return _Lines(every)
