"""Compiled functions of arrays with one row per example, for any number of rows."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import tree

from zoo.engine.base import Variables
from zoo.engine.current import engine


class Batched:
    """Applies a function to NumPy arrays batch by batch.

    The last batch is padded with copies of its first row to a power of two rows, so
    that few shapes are compiled; results for the padding are dropped.

    Args:
        function: maps arrays that share their first axis to a nested structure of
            arrays with that axis. It must not draw random numbers.
        variables: returns the variables that the function reads, such as a model's.
        batch_size: the maximum number of rows at a time.
    """

    def __init__(
        self,
        function: Callable,
        variables: Callable[[], Variables],
        batch_size: int = 256,
    ) -> None:
        self._compiled = engine().compile(function, variables)
        self.batch_size = batch_size

    def __call__(self, *arrays: np.ndarray, whole: Sequence[Any] = ()) -> Any:
        """The function's results for all rows, as NumPy arrays.

        Args:
            *arrays: share their first axis.
            whole: further arguments, which every batch is given whole.

        Raises:
            ValueError: the arrays have no rows or different numbers of rows.
        """
        rows = {len(array) for array in arrays}
        if len(rows) != 1 or not (count := rows.pop()):
            raise ValueError(
                "Arrays must have one row per example, and at least one, got lengths "
                f"{[len(array) for array in arrays]}."
            )
        parts = []
        for start in range(0, count, self.batch_size):
            batch = [array[start : start + self.batch_size] for array in arrays]
            own = len(batch[0])
            size = min(self.batch_size, 1 << (own - 1).bit_length())
            index = np.arange(size) * (np.arange(size) < own)
            result = self._compiled(*(array[index] for array in batch), *whole)
            parts.append(
                tree.map_structure(lambda x, own=own: engine().numpy(x)[:own], result)
            )
        return tree.map_structure(lambda *xs: np.concatenate(xs), *parts)
