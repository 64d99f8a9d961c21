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

from zoo.engine.current import engine

MAX_RANGES = 8
# The greatest number of float32, for values that have only to be finite.
MOST = float(np.finfo("float32").max)
_UNSEEN = keras.initializers.Constant(-np.inf)


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
        return engine().extremes(values)

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

    It is a metric so that every backend carries its variables through a step.
    """

    def __init__(self) -> None:
        super().__init__(name="watch")
        # Of each range the least value, its sign changed, and the greatest: of the
        # last batch, or of the first one that held a value out of its range.
        self.ends = _counted((2 * MAX_RANGES,), _UNSEEN, "ends")
        # How many batches came before that one.
        self.good = _counted((), "zeros", "good")
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
        if not ranges:
            self.good.assign_add(1.0)
            return None
        # Few operations: small models pay for each.
        rest = 2 * (MAX_RANGES - len(ranges))
        limits = [x for r in ranges for x in (-r.low, r.high)] + [np.inf] * rest
        limits = ops.convert_to_tensor(np.array(limits, "float32"))
        signs = ops.convert_to_tensor(np.array([-1, 1] * len(ranges), "float32"))
        ends = [ops.cast(x, "float32") for r in ranges for x in r.extremes()]
        ends = highest(signs * ops.stack(ends))
        held = ops.convert_to_tensor(self.ends)
        before = ops.all(held <= limits, keepdims=True)  # which NaN is not
        before = ops.broadcast_to(before, held.shape)  # DTensor's `where` needs it
        ends = ops.where(before, ops.pad(ends, (0, rest)), held)
        good = ops.all(ends <= limits)
        self.ends.assign(ends)
        self.good.assign_add(ops.cast(good, "float32"))
        return good

    def check(self) -> None:
        """Raises for what was found since `start`, or if there was no batch at all."""
        if (fault := self.fault()) is not None:
            raise ValueError(fault)
        if not engine().numpy(self.good):
            raise ValueError("The data gave no batch: there is nothing in them.")

    def fault(self) -> str | None:
        """What was found since `start`, in words; None if all was in range."""
        ends = engine().numpy(self.ends)
        for at, range_ in enumerate(self.ranges):
            low, high = -ends[2 * at], ends[2 * at + 1]
            if low >= range_.low and high <= range_.high:
                continue
            where = f" in batch {int(engine().numpy(self.good)) + 1}"
            if np.isnan(low):
                return f"{range_.expected()}, got a fraction or NaN{where}"
            low, high = (int(x) if range_.whole else x for x in (low, high))
            return range_.message(low, high, where)
        return None

    def start(self) -> None:
        """Forgets all; Keras's `reset_state` is called at times between looks."""
        self.ends.assign(np.full(self.ends.shape, -np.inf, "float32"))
        self.good.assign(0.0)

    def reset_state(self) -> None:
        """Nothing; see `start`."""

    def result(self) -> dict:
        """Nothing to log."""
        return {}


def _counted(shape, initializer, name):
    """Of which every replica holds the same; those of `add_variable` are summed."""
    return keras.Variable(
        initializer,
        shape,
        "float32",
        trainable=False,
        aggregation="only_first_replica",
        synchronization="on_read",
        name=name,
    )
