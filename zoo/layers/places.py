"""Scatters batch rows into a table."""

from typing import Any

from keras import ops

from zoo.engine.current import engine
from zoo.engine.tensors import Tensor


def at_places(rows: Any, places: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Scatters the rows of all replicas into a table.

    Args:
        rows: (B, ...), floating-point.
        places: (B,) int32, the place of each row, or -1 for none; each place at most
            once.
        size: number of places in the table.

    Returns:
        The table (size, ...), undefined where there is no row; and (size,) booleans,
        True where there is one.
    """
    numbers = ops.arange(size, dtype="int32")
    takes = ops.cast(numbers[:, None] == places[None, :], "int32")  # (size, B)
    order = ops.arange(ops.shape(rows)[0], dtype="int32")
    filled = ops.cast(ops.sum(takes, axis=1), "float32")
    table = ops.take(rows, ops.sum(takes * order, axis=1), axis=0)
    if engine().replicas > 1:
        there = ops.reshape(filled, (-1, *[1] * (len(rows.shape) - 1))) > 0
        table = engine().total(ops.where(there, table, 0.0))
    return table, engine().total(filled) > 0
