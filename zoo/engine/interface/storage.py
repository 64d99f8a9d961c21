"""Where variables and arrays live, and how they are read."""

import contextlib
import math
from typing import Any

import numpy as np
from keras import ops

from zoo.engine.layout import Table
from zoo.engine.tensors import Tensor, Variables


class Storage:
    """Reads and writes variables that may be spread over several devices.

    The defaults are right for one device; `zoo.distribution` overrides them.
    """

    def adopt(self, table: Table) -> None:
        """Lays out the variables that are made from here on by these rules."""
        del table

    def stored(self) -> contextlib.AbstractContextManager[None]:
        """Within, variables read as they are stored, even if layers use other forms."""
        return contextlib.nullcontext()

    def copies(self, variables: Variables) -> list[Tensor]:
        """Copies of their values as stored, to be assigned again later."""
        return [ops.copy(v) for v in variables]

    def adopted(self, array: np.ndarray, dtype: str) -> Tensor:
        """A tensor from an array that nothing else uses, in its memory if possible."""
        return ops.convert_to_tensor(array, dtype=dtype)

    def numpy(self, value: Any) -> np.ndarray:
        """The whole of a variable or tensor; every process must call it."""
        return ops.convert_to_numpy(value)

    def held_bytes(self, variables: Variables) -> list[int]:
        """Bytes of the variables that each device holds."""
        sizes = (math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in variables)
        return [sum(sizes)]

    def read_back(self, model: Any) -> None:
        """Makes a model's variables readable in the middle of an epoch."""
        del model

    def readable(self, variables: Variables) -> contextlib.AbstractContextManager[None]:
        """Within, Keras can read the variables in full, to save them."""
        del variables
        return contextlib.nullcontext()
