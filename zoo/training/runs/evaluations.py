"""What happens at each evaluation of a run: measure, log, show samples, checkpoint."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import keras

from zoo.engine.current import engine
from zoo.training.runs.config import RunConfig
from zoo.training.runs.measure import Measure
from zoo.training.trackers.callback import LogTo
from zoo.training.trackers.samples import Sample, encoded


class Evaluated(Protocol):
    """What evaluations need of a run, which has more: see `zoo.training.runs.run`."""

    config: RunConfig
    out: Path
    rows: list[dict[str, Any]]
    seconds: float
    measure: Measure

    def log_to(self) -> LogTo | None: ...

    def save(
        self, model: Any, samples: Mapping[str, str | bytes] | None = None
    ) -> None: ...


class Evaluations(keras.callbacks.Callback):
    """Evaluates, logs and checkpoints at the end of every epoch.

    Args:
        run: the run.
        evaluate: returns the metrics.
        batch_tokens: tokens, images or sequences per update.
        unit: what `batch_tokens` counts.
        stop: returns whether training ends now.
        samples: returns samples by name.
    """

    def __init__(
        self,
        run: Evaluated,
        evaluate: Callable[[], Mapping[str, Any]],
        batch_tokens: int,
        unit: str,
        stop: Callable[[], bool],
        samples: Callable[[], Mapping[str, Sample]],
    ) -> None:
        super().__init__()
        self.run, self.evaluate_fn, self.stop = run, evaluate, stop
        self.batch_tokens, self.unit, self.samples = batch_tokens, unit, samples
        self.updates = 0
        self.log_to = run.log_to()

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Opens the loggers."""
        if self.log_to is not None:
            self.log_to.start(int(engine().numpy(self.model.optimizer.iterations)))

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._start = self._first_done = time.perf_counter()
        self.updates = 0

    def on_train_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Counts the updates."""
        self.updates += 1
        if self.updates == 1:
            # The first update of an epoch may compile, so it is not timed.
            self._first_done = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Evaluates, and adds the metrics to `logs`, as Keras does with its own."""
        now = time.perf_counter()
        self.run.seconds += now - self._start
        rate = (self.updates - 1) * self.batch_tokens / (now - self._first_done)
        model = self.model
        row: dict[str, Any] = {
            "update": int(engine().numpy(model.optimizer.iterations))
        }
        row |= {name: float(value) for name, value in (logs or {}).items()}
        found = {f"val_{k}": float(v) for k, v in self.evaluate_fn().items()}
        row |= found
        row["learning_rate"] = float(model.optimizer.learning_rate)
        row[f"{self.unit}_per_second"] = round(rate, 1)
        config = self.run.config
        if config.patience or config.keep_best:
            self.run.measure.check(row)
        self.run.rows.append(row)
        shown = self._samples()
        if self.log_to is not None:
            figures = {name: x for name, x in row.items() if name != "update"}
            self.log_to.log(row["update"], figures, shown)
        model.stop_training = model.stop_training or self.stop()
        self.run.save(model, shown)
        if logs is not None:
            logs |= found

    def _samples(self) -> dict[str, str | bytes]:
        """The newest samples, and the newest picture that the evaluation has drawn."""
        if not self.run.config.samples:
            return {}
        with self.model.averaged_weights(needed=False):
            samples: dict[str, Sample] = {**self.samples()}
        drawn = sorted((self.run.out / "samples").glob("*.png"))
        if drawn:
            samples.setdefault("samples", drawn[-1])
        return encoded(samples)

    def close(self) -> None:
        """Closes the loggers."""
        if self.log_to is not None:
            self.log_to.close()
