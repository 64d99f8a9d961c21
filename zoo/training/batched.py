"""Compiled functions of arrays, one row an example, for any number of rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import tree

from zoo.engine.base import Variables
from zoo.engine.current import engine


class Batched:
    """Applies a function to NumPy arrays batch by batch.

    The last batch is padded with its first row, to a power of two rows, so that few
    shapes are compiled; what the padding gave is cut off.

    Args:
        function: of arrays that share their first axis, to a nested structure of
            arrays with it. It must draw nothing.
        variables: gives those that the function reads, such as a model's.
        batch_size: the most rows at a time.
    """

    def __init__(
        self,
        function: Callable,
        variables: Callable[[], Variables],
        batch_size: int = 256,
    ) -> None:
        self._compiled = engine().compile(function, variables)
        self.batch_size = batch_size

    def __call__(self, *arrays: np.ndarray) -> Any:
        """The function's results as NumPy arrays, over all rows."""
        rows = {len(array) for array in arrays}
        if len(rows) != 1 or not (count := rows.pop()):
            raise ValueError(
                "Arrays need one row an example, and at least one. Received lengths "
                f"{[len(array) for array in arrays]}."
            )
        parts = []
        for start in range(0, count, self.batch_size):
            batch = [array[start : start + self.batch_size] for array in arrays]
            own = len(batch[0])
            size = min(self.batch_size, 1 << (own - 1).bit_length())
            index = np.arange(size) * (np.arange(size) < own)
            result = self._compiled(*(array[index] for array in batch))
            parts.append(
                tree.map_structure(lambda x, own=own: engine().numpy(x)[:own], result)
            )
        return tree.map_structure(lambda *xs: np.concatenate(xs), *parts)
