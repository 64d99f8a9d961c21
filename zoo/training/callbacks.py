"""Callbacks that Keras does not provide."""

import math
import time
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from zoo.engine.batches import NO_BATCH
from zoo.engine.current import engine


class StopOnNaN(keras.callbacks.Callback):
    """Stops training at a NaN or infinite loss, with an error that suggests remedies.

    If the cause was a batch value out of range, which makes the losses NaN, it raises a
    ValueError that names the value (see `zoo.training.checks.ranges`).

    Checks every `every` batches and at the end of each epoch, since each check waits
    for the device. Means over an epoch stay NaN, so no failure is missed.

    Args:
        every: batches between checks.
        gracefully: whether to stop without an error, as Keras's TerminateOnNaN can, so
            that `fit` returns its history.
    """

    def __init__(self, every: int = 50, *, gracefully: bool = False) -> None:
        super().__init__()
        self.every, self.gracefully = every, gracefully
        self._next, self._empty = 0, True

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Restarts the count of batches."""
        self._next, self._empty = 0, True

    def on_train_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Checks the logs if due; steps_per_execution may skip batch numbers."""
        self._empty = False
        if batch >= self._next:
            self._next = batch + self.every
            self._look(logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Checks the epoch's last logs, and that there was a batch."""
        if self._empty:
            raise ValueError(NO_BATCH)
        self._look(logs)

    def _look(self, logs: Mapping[str, Any] | None) -> None:
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
                    f"{name} became {number} by update {updates}. Lower the learning "
                    "rate, clip gradients (global_clipnorm=1.0 on the optimizer), use "
                    "a warm-up, or train in mixed_bfloat16 instead of mixed_float16; "
                    "and check the data for NaN or infinity."
                )


def stopping_on_nan(callbacks: Any) -> Any:
    """The callbacks of `fit`, and a `StopOnNaN`; a CallbackList stays as it is.

    It stops gracefully if the callbacks have a TerminateOnNaN that does.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks
    callbacks = keras.tree.flatten(callbacks or [])
    gracefully = any(
        isinstance(callback, keras.callbacks.TerminateOnNaN)
        and not callback.raise_error
        for callback in callbacks
    )
    return [*callbacks, StopOnNaN(gracefully=gracefully)]


class Throughput(keras.callbacks.Callback):
    """Measures examples per second, excluding the first update, which may compile.

    Args:
        examples_per_update: examples in one update.

    Attributes:
        rate: examples per second; 0 before the second update.
        seconds: wall time of the counted updates, in seconds.
    """

    def __init__(self, examples_per_update: int) -> None:
        super().__init__()
        self.examples_per_update = examples_per_update
        self.updates, self.seconds = 0, 0.0
        self._last: float | None = None

    @property
    def rate(self) -> float:
        """Examples per second."""
        return self.updates * self.examples_per_update / max(self.seconds, 1e-9)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Restarts the clock, so that time between epochs is not counted."""
        self._last = None

    def on_train_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Adds the time since the last update."""
        now = time.perf_counter()
        if self._last is not None:
            self.updates += 1
            self.seconds += now - self._last
        self._last = now
