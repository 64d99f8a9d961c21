"""Dynamic loss scaling for float16 (Micikevicius et al. 2018, section 3.2)."""

from typing import Any

import keras
from keras import ops

START, FLOOR, CAP = 2.0**15, 1.0, 2.0**24
GROWTH_INTERVAL = 2000


class DynamicLossScale:
    """A factor on the loss that keeps small float16 gradients from underflowing.

    It halves when a gradient overflows (that update is skipped) and doubles after
    `GROWTH_INTERVAL` consecutive good updates, between `FLOOR` and `CAP`.

    Args:
        name: prefix of the variables' names.
    """

    def __init__(self, name: str) -> None:
        self.scale = self._variable(START, "float32", f"{name}_loss_scale")
        self.good_updates = self._variable(0, "int32", f"{name}_good_updates")

    @staticmethod
    def _variable(value: float, dtype: str, name: str) -> keras.Variable:
        return keras.Variable(
            value,
            shape=(),
            dtype=dtype,
            trainable=False,
            name=name,
            aggregation="only_first_replica",
        )

    @property
    def variables(self) -> list[keras.Variable]:
        """Both state variables: the scale and the count of good updates."""
        return [self.scale, self.good_updates]

    def at_floor(self) -> Any:
        """Whether the scale has reached its minimum, a boolean scalar."""
        return ops.convert_to_tensor(self.scale) <= FLOOR

    def update(self, finite: Any) -> None:
        """Adjusts the scale after an update; `finite` is a boolean scalar."""
        scale = ops.convert_to_tensor(self.scale)
        good = ops.where(finite, self.good_updates + 1, 0)
        grow = good >= GROWTH_INTERVAL
        grown = ops.where(grow, ops.minimum(scale * 2.0, CAP), scale)
        halved = ops.maximum(scale * 0.5, FLOOR)
        self.scale.assign(ops.where(finite, grown, halved))
        self.good_updates.assign(ops.cast(ops.where(grow, 0, good), "int32"))
