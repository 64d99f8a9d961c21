"""What the arrays of a batch may hold: looked at on the host, and in each step.

Backends do not agree on an id or a class that does not exist: JAX and TensorFlow take
another one, torch counts -1 from the end. So a model states the range of each array
once. NumPy arrays and the first batches are checked before they are used. In the step,
a value out of its range makes the logged losses NaN, whatever the batch came from, and
`Watch` remembers it for the error. Of ids and classes the nearest that exists takes the
place, so that the weights stay numbers until the error comes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.training.engine import engine

MAX_RANGES = 8
# The greatest number of float32, for values that have only to be finite.
MOST = float(np.finfo("float32").max)
# A batch's number; the least and the greatest value in it; how many batches there were.
BATCH, LOW, HIGH, COUNT = range(4)


@dataclass(frozen=True)
class Range:
    """The values that an array may hold.

    Attributes:
        name: what the values are, as the error begins.
        values: an array, of NumPy's or the backend's.
        low: the least value allowed.
        high: the greatest.
        whole: whether only whole numbers are.
        ignored: one more value that is allowed.
        field: of the configuration that says so, such as "vocab_size=17".
        hint: what to do about others, as a sentence.
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
        """Raises for NumPy arrays with other values."""
        values = np.asarray(self.values)
        if self.ignored is not None:
            values = values[values != self.ignored]
        if not values.size:
            return
        if values.dtype.kind not in "biuf":
            raise ValueError(f"{self.expected()}, got an array of {values.dtype}")
        if self.whole and values.dtype.kind == "f":
            if (broken := values[values != np.floor(values)]).size:
                raise ValueError(f"{self.name} must be whole numbers, got {broken[0]}")
        low, high = values.min(), values.max()
        if not (low >= self.low and high <= self.high):
            raise ValueError(self.message(low, high))

    def expected(self) -> str:
        """What was expected, as the beginning of a sentence."""
        if self.high == MOST:
            least = "finite" if self.low == -MOST else f"finite and from {self.low} up"
            return f"{self.name} must be {least}"
        field = f" ({self.field})" if self.field else ""
        other = "" if self.ignored is None else f", or {self.ignored}"
        return f"{self.name} must be from {self.low} to {self.high}{field}{other}"

    def message(self, low: Any, high: Any, where: str = "") -> str:
        """The whole error."""
        hint = f". {self.hint}" if self.hint else ""
        return f"{self.expected()}, got values from {low} to {high}{where}{hint}"

    def extremes(self) -> tuple[Any, Any]:
        """The least and the greatest value, as tensors; NaN if one is no whole one."""
        values = ops.convert_to_tensor(self.values)
        is_float = "float" in ops.dtype(values)
        if self.ignored is not None:
            values = ops.where(values == self.ignored, int(self.low), values)
        if self.whole and is_float:
            values = ops.where(values == ops.floor(values), values, float("nan"))
        if ops.dtype(values) == "bool":
            values = ops.cast(values, "int32")
        return (
            ops.cast(ops.min(values), "float32"),
            ops.cast(ops.max(values), "float32"),
        )

    def cleaned(self) -> Any:
        """The values; of ids and classes, those out of range by the nearest in it.

        Others do no such harm, and pictures are large.
        """
        values = ops.convert_to_tensor(self.values)
        if "int" not in ops.dtype(values):
            return values
        cleaned = ops.clip(values, int(self.low), int(self.high))
        if self.ignored is not None:
            cleaned = ops.where(values == self.ignored, values, cleaned)
        return cleaned


class Watch(keras.metrics.Metric):
    """Remembers the first batch that held a value out of its range.

    It is a metric so that every backend carries its variable through a step.
    """

    def __init__(self) -> None:
        super().__init__(name="watch")
        self.seen = self.add_variable((MAX_RANGES, 4), "zeros", name="seen")
        # What was looked for in the last step, without its values.
        self.ranges: tuple[Range, ...] = ()

    def update(
        self, ranges: Sequence[Range], highest: Callable[[Any], Any] = lambda x: x
    ) -> Any:
        """Looks at a batch; `highest` joins replicas.

        Returns whether all has been in range since `start`, a boolean scalar; or None
        where there is nothing to look at.
        """
        if len(ranges) > MAX_RANGES:
            raise ValueError(f"A model may have at most {MAX_RANGES} ranges.")
        self.ranges = tuple(replace(range_, values=None) for range_ in ranges)
        count = self.seen[:, COUNT] + 1.0
        found = self.seen[:, :COUNT]
        if ranges:
            pairs = [range_.extremes() for range_ in ranges]
            ends = ops.stack([x for low, high in pairs for x in (-low, high)])
            ends = ops.reshape(highest(ends), (-1, 2))
            limits = ops.convert_to_tensor(
                np.array([[-x.low, x.high] for x in ranges], "float32")
            )
            # Not "above", which NaN is not.
            good = ops.all(ends <= limits, axis=-1)
            now = ops.stack([count[: len(ranges)], -ends[:, 0], ends[:, 1]], axis=-1)
            now = ops.where(good[:, None], 0.0, now)
            now = ops.pad(now, ((0, MAX_RANGES - len(ranges)), (0, 0)))
            found = ops.where(found[:, :1] > 0, found, now)
        self.seen.assign(ops.concatenate([found, count[:, None]], axis=-1))
        return ops.all(self.seen[:, BATCH] == 0) if ranges else None

    def check(self) -> None:
        """Raises for what was found since `start`, or if there was no batch at all."""
        if not engine().numpy(self.seen)[0, COUNT]:
            raise ValueError("The data gave no batch: there is nothing in them.")
        if (fault := self.fault()) is not None:
            raise ValueError(fault)

    def fault(self) -> str | None:
        """What was found since `start`, in words; None if all was in range."""
        seen = engine().numpy(self.seen)
        for range_, (batch, low, high, _) in zip(self.ranges, seen, strict=False):
            if not batch:
                continue
            where = f" in batch {int(batch)}"
            if np.isnan(low):
                return f"{range_.expected()}, got a fraction or NaN{where}"
            low, high = (int(x) if range_.whole else x for x in (low, high))
            return range_.message(low, high, where)
        return None

    def start(self) -> None:
        """Forgets all; Keras's `reset_state` is called at times between looks."""
        self.seen.assign(np.zeros(self.seen.shape, "float32"))

    def reset_state(self) -> None:
        """Nothing; see `start`."""

    def result(self) -> dict:
        """Nothing to log."""
        return {}
