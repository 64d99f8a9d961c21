"""Callbacks that Keras does not have."""

import math
import time

import keras
from keras import ops

from zoo.engine.current import engine


class StopOnNaN(keras.callbacks.Callback):
    """Ends training with an error that says when and what to try.

    Where a value of a batch was out of its range, which makes the losses NaN, the error
    is a ValueError that says which (see `zoo.training.checks.ranges`).

    Looks every `every` batches and at the end of an epoch, since each look waits for
    the device. Means over an epoch stay NaN, so nothing is missed in between.

    Args:
        every: Batches from one look to the next.
        gracefully: Stop without an error, as Keras's TerminateOnNaN does, so that
            `fit` returns its history.
    """

    def __init__(self, every: int = 50, *, gracefully: bool = False) -> None:
        super().__init__()
        self.every, self.gracefully = every, gracefully
        self._next, self._empty = 0, True

    def on_epoch_begin(self, epoch, logs=None):
        """Batches count from 0 again."""
        self._next, self._empty = 0, True

    def on_train_batch_end(self, batch, logs=None):
        """A look now and then; with steps_per_execution, batches are skipped."""
        self._empty = False
        if batch >= self._next:
            self._next = batch + self.every
            self._look(logs)

    def on_epoch_end(self, epoch, logs=None):
        """A last look."""
        if self._empty:
            raise ValueError("The data gave no batch: there is nothing to learn from.")
        self._look(logs)

    def _look(self, logs):
        for name, value in (logs or {}).items():
            number = float(ops.convert_to_numpy(value))
            if not math.isfinite(number) and not name.startswith("val_"):
                engine().read_back(self.model)
                self.model.plan.watch.check()
                if self.gracefully:
                    self.model.stop_training = True
                    return
                updates = int(ops.convert_to_numpy(self.model.optimizer.iterations))
                raise FloatingPointError(
                    f"{name} became {number} by update {updates}. Lower the rate, "
                    "clip gradients (global_clipnorm=1.0 on the optimizer), warm the "
                    "rate up, or train in mixed_bfloat16 instead of mixed_float16; "
                    "and look for NaN or infinity in the data."
                )


class Throughput(keras.callbacks.Callback):
    """Counts examples a second, without the first update, which may compile.

    Attributes:
        rate: examples a second; 0 before the second update.
        seconds: wall time of the counted updates.
    """

    def __init__(self, examples_per_update: int) -> None:
        super().__init__()
        self.examples_per_update = examples_per_update
        self.updates, self.seconds = 0, 0.0
        self._last: float | None = None

    @property
    def rate(self) -> float:
        """Examples a second."""
        return self.updates * self.examples_per_update / max(self.seconds, 1e-9)

    def on_epoch_begin(self, epoch, logs=None):
        """Restarts the clock after whatever happened between epochs."""
        self._last = None

    def on_train_batch_end(self, batch, logs=None):
        """Adds the time since the last update."""
        now = time.perf_counter()
        if self._last is not None:
            self.updates += 1
            self.seconds += now - self._last
        self._last = now
