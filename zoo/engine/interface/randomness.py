"""Random numbers, alike on one device and on many."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from zoo.engine.tensors import Tensor


class Randomness(ABC):
    """What a backend draws, and the state that it draws from."""

    def set_seed(self, seed: int) -> None:
        """Seeds the generators that `keras.utils.set_random_seed` leaves out."""
        del seed

    @abstractmethod
    def random_state(self) -> dict[str, Any]:
        """The state of the backend's own generators, as arrays by name."""

    @abstractmethod
    def set_random_state(self, state: dict[str, Any]) -> None:
        """Restores what `random_state` returned."""

    def dropout(self, x: Tensor, rate: float, seed: Any) -> Tensor:
        """Drops elements, different ones in each row of the global batch."""
        return keras.random.dropout(x, rate, seed=seed)

    def normal(self, shape: Sequence[Any], seed: Any) -> Tensor:
        """Standard normal noise in float32; `seed` is a model's `SeedGenerator`."""
        return keras.random.normal(shape, dtype="float32", seed=seed)

    def uniform(self, shape: Sequence[Any], seed: Any) -> Tensor:
        """Uniform noise in [0, 1] in float32, the same on any number of devices."""
        # The normal distribution function maps a normal variable to a uniform one.
        return 0.5 + 0.5 * ops.erf(self.normal(shape, seed) / math.sqrt(2.0))
