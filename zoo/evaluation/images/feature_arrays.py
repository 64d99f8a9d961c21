"""Arrays of features, one row an example: what all figures of samples check first.

Shapes: N examples, F features.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.utils import gen_batches

# Numbers of a block at most, 64 MB in float64.
BLOCK = 2**23


def checked_features(
    arrays: Mapping[str, Any], least: int = 1, reason: str = "a figure"
) -> list[np.ndarray]:
    """Finite arrays (N, F) of one width, in float32 or float64.

    Args:
        arrays: by the names that errors use.
        least: rows that each must have.
        reason: what needs them.

    Raises:
        ValueError: an array has another shape, fewer rows or NaN among its values.
    """
    checked = {}
    for name, array in arrays.items():
        array = np.asarray(array)
        if array.dtype != "float64":
            array = array.astype("float32", copy=False)
        if array.ndim != 2 or not array.size:
            raise ValueError(
                f"{name} must hold features (N, F), one row an example. Received shape "
                f"{array.shape}."
            )
        if len(array) < least:
            raise ValueError(
                f"{reason} needs at least {least} rows, but {name} has {len(array)}."
            )
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
        if bad.size:
            raise ValueError(
                f"{name} must be finite, but {bad.size} of its {len(array)} rows are "
                f"not; the first is {name}[{bad[0]}]."
            )
        checked[name] = array
    widths = {name: array.shape[1] for name, array in checked.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(f"Features must have one width. Received {widths}.")
    return list(checked.values())


def row_blocks(count: int, width: int) -> Iterator[slice]:
    """Slices over `count` rows of `width` numbers, of at most BLOCK numbers each."""
    return gen_batches(count, max(1, BLOCK // width))
