"""Ranges of a batch's values, checked on the host and in each step.

Backends disagree on invalid ids and classes: JAX and TensorFlow use another one, torch
counts -1 from the end. So a model declares the range of each array once. NumPy arrays
and first batches are checked before they are used. In the step, a value out of range
from any source makes the logged losses NaN, and `Watch` records it for the error.
Invalid ids and classes are clipped to the nearest valid one, so that the weights stay
finite until the error is raised.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.engine.base import Engine
from zoo.engine.batches import NO_BATCH
from zoo.engine.current import engine

MAX_RANGES = 8
# The largest float32 number, for values that only need to be finite.
MOST = float(np.finfo("float32").max)
_UNSEEN = keras.initializers.Constant(-np.inf)


@dataclass(frozen=True)
class Range:
    """The values that an array may hold.

    Attributes:
        name: what the values are, as the start of the error.
        values: a NumPy or backend array.
        low: the smallest allowed value.
        high: the largest allowed value.
        whole: whether only whole numbers are allowed.
        ignored: one more allowed value.
        field: the setting that determines the range, such as "vocab_size=17".
        hint: what to do about invalid values, as a sentence.
    """

    name: str
    values: Any
    low: float
    high: float
    whole: bool = True
    ignored: float | None = None
    field: str = ""
    hint: str = ""

    def check(self) -> None:
        """Raises a ValueError if the values, a NumPy array, are not all allowed."""
        values = np.asarray(self.values)
        if self.ignored is not None:
            values = values[values != self.ignored]
        if not values.size:
            return
        if values.dtype.kind not in "biuf":
            raise ValueError(f"{self.expected()}, got an array of {values.dtype}.")
        if self.whole and values.dtype.kind == "f":
            if (broken := values[values != np.floor(values)]).size:
                raise ValueError(f"{self.name} must be whole numbers, got {broken[0]}.")
        low, high = values.min(), values.max()
        if not (low >= self.low and high <= self.high):
            raise ValueError(self.message(low, high))

    def expected(self) -> str:
        """The start of the error: what was expected."""
        if self.high == MOST:
            least = "finite" if self.low == -MOST else f"finite and from {self.low} up"
            return f"{self.name} must be {least}"
        field = f" ({self.field})" if self.field else ""
        other = "" if self.ignored is None else f", or {self.ignored}"
        return f"{self.name} must be from {self.low} to {self.high}{field}{other}"

    def message(self, low: Any, high: Any, where: str = "") -> str:
        """The error for values from `low` to `high`; `where` names the batch."""
        hint = f". {self.hint}" if self.hint else ""
        return f"{self.expected()}, got values from {low} to {high}{where}{hint}"

    def compared(self) -> Any:
        """The values to compare with the range, as a tensor; NaN for fractions."""
        values = ops.convert_to_tensor(self.values)
        is_float = "float" in ops.dtype(values)
        if self.ignored is not None:
            values = ops.where(values == self.ignored, int(self.low), values)
        if self.whole and is_float:
            values = ops.where(values == ops.floor(values), values, float("nan"))
        if ops.dtype(values) == "bool":
            values = ops.cast(values, "int32")
        return values

    def cleaned(self) -> Any:
        """The values, with integers clipped to the range.

        Other values out of range do no such harm, and image arrays are large.
        """
        values = ops.convert_to_tensor(self.values)
        if "int" not in ops.dtype(values):
            return values
        cleaned = ops.clip(values, int(self.low), int(self.high))
        if self.ignored is not None:
            cleaned = ops.where(values == self.ignored, values, cleaned)
        return cleaned


class Watch(keras.metrics.Metric):
    """Records the first batch with a value out of range.

    It is a metric so that every backend passes its variables through a step.
    """

    def __init__(self) -> None:
        super().__init__(name="watch")
        # For each range, the negated minimum and the maximum over all batches.
        self.ends = _counted((2 * MAX_RANGES,), _UNSEEN, "ends")
        # The number of batches before the first with a value out of range.
        self.good = _counted((), "zeros", "good")
        # The ranges of the last step, without their values.
        self.ranges: tuple[Range, ...] = ()

    def update(self, ranges: Sequence[Range], on: Engine) -> Any:
        """Checks a batch.

        Args:
            ranges: the ranges of the batch's arrays.
            on: the engine that runs the step.

        Returns:
            Whether all values have been in range since `start`, a boolean scalar; None
            if there are no ranges.

        Raises:
            ValueError: there are too many ranges.
        """
        if len(ranges) > MAX_RANGES:
            raise ValueError(
                f"A model may have at most {MAX_RANGES} ranges, got {len(ranges)}."
            )
        self.ranges = tuple(replace(range_, values=None) for range_ in ranges)
        if not ranges:
            self.good.assign_add(1.0)
            return None
        limits = [x for r in ranges for x in (-r.low, r.high)]
        limits += [math.inf] * (2 * MAX_RANGES - len(limits))
        compared = [range_.compared() for range_ in ranges]
        return on.record(compared, tuple(limits), self.ends, self.good)

    def check(self) -> None:
        """Raises a ValueError for a fault since `start`, or if there was no batch."""
        if (fault := self.fault()) is not None:
            raise ValueError(fault)
        if not engine().numpy(self.good):
            raise ValueError(NO_BATCH)

    def fault(self) -> str | None:
        """The error message since `start`; None if all values were in range."""
        ends = engine().numpy(self.ends)
        for at, range_ in enumerate(self.ranges):
            low, high = -ends[2 * at], ends[2 * at + 1]
            if low >= range_.low and high <= range_.high:
                continue
            where = f", first in batch {int(engine().numpy(self.good)) + 1}"
            if np.isnan(low):
                return f"{range_.expected()}, got a fraction or NaN{where}"
            low, high = (int(x) if range_.whole else x for x in (low, high))
            return range_.message(low, high, where)
        return None

    def start(self) -> None:
        """Clears all records; Keras calls `reset_state` too early, between checks."""
        self.ends.assign(np.full(self.ends.shape, -np.inf, "float32"))
        self.good.assign(0.0)

    def reset_state(self) -> None:
        """Does nothing: `start` clears the records."""

    def result(self) -> dict:
        """Empty: a watch logs nothing."""
        return {}


def _counted(shape: tuple[int, ...], initializer: Any, name: str) -> keras.Variable:
    """A variable that is equal on all replicas; `add_variable`'s would be summed."""
    return keras.Variable(
        initializer,
        shape,
        "float32",
        trainable=False,
        aggregation="only_first_replica",
        synchronization="on_read",
        name=name,
    )
