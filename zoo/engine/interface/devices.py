"""Several devices, and the machine that they are in."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from zoo.engine.layout import Mesh
from zoo.engine.tensors import Tensor, Variables


class Devices(ABC):
    """Which devices share the work, and how their results are joined.

    The defaults are right for one device; `zoo.distribution` overrides them. Most
    distributed engines see each batch, and each variable, as one global array whose
    parts lie on different devices. An engine with `replicas` instead runs the step once
    per replica, each on its own rows.

    Attributes:
        mesh: the devices.
        replicas: how many copies of the step run, each on its own rows of a batch.
        is_main: whether this process is the one that writes files.
    """

    mesh: Mesh = Mesh()
    replicas: int = 1
    is_main: bool = True

    @abstractmethod
    def device_names(self) -> list[str]:
        """The available devices, accelerators first."""

    @abstractmethod
    def peak_memory(self) -> int | None:
        """Peak device memory so far, in bytes; None if it isn't counted."""

    def in_use(self) -> contextlib.AbstractContextManager[None]:
        """Within, this engine is in use, if it can be outside of a `use` block."""
        return contextlib.nullcontext()

    def refuse_others(self, training: bool) -> None:
        """Raises ValueError if devices are laid out in a way that the step ignores.

        Called before each `compile`, `fit`, `evaluate` and `predict`.

        Args:
            training: whether weights will change, not only be read.
        """
        del training

    def wait(self) -> None:
        """Blocks until all processes have reached this call."""
        return None

    def total(self, value: Tensor) -> Tensor:
        """The sum over replicas."""
        return value

    def highest(self, value: Tensor) -> Tensor:
        """The elementwise maximum over replicas."""
        return value

    def extremes(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The minimum and maximum of all values, as scalars; NaN if any is NaN."""
        return ops.min(values), ops.max(values)

    def record(
        self,
        arrays: Sequence[Tensor],
        limits: tuple[float, ...],
        ends: keras.Variable,
        good: keras.Variable,
    ) -> Tensor:
        """Raises `ends` to the negated minimum and the maximum of each array.

        Adds 1 to `good` if no end is above its limit.

        Args:
            arrays: at least one. One that holds a NaN makes its ends NaN.
            limits: of the ends, as many as there are; infinity for unused ones.
            ends: float32, (-minimum, maximum) of each array, then unused numbers.
            good: a float32 scalar.

        Returns:
            Whether no end is above its limit, a boolean scalar.
        """
        found = []
        for values in arrays:
            least, most = self.extremes(values)
            # Negated as a float: the smallest integer has no negative.
            found += [-ops.cast(least, "float32"), ops.cast(most, "float32")]
        rest = len(limits) - len(found)
        highest = self.highest(ops.pad(ops.stack(found), (0, rest)))
        highest = ops.maximum(ends, highest)  # NaN if one of them is
        most_allowed = ops.convert_to_tensor(np.array(limits, "float32"))
        within = ops.all(highest <= most_allowed)
        ends.assign(highest)
        good.assign_add(ops.cast(within, "float32"))
        return within

    def average(self, gradients: list[Tensor], variables: Variables) -> list[Tensor]:
        """The mean over replicas, each gradient laid out like its variable."""
        del variables
        return gradients

    def by_rows(self, x: Tensor) -> Tensor:
        """Cuts an array along the data axis alone, where partial products are summed.

        This is how the residual stream of a tensor-parallel transformer is laid out
        (Shoeybi et al. 2019, section 3).
        """
        return x
