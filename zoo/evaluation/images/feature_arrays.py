"""Checks arrays of features, one row per example, for all sample metrics.

Shapes: N examples, F features.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.utils import gen_batches

# The most numbers in a block: 64 MB in float64.
BLOCK = 2**23


def checked_features(
    arrays: Mapping[str, Any], least: int = 1, reason: str = "a metric"
) -> list[np.ndarray]:
    """Checks that arrays are finite, (N, F) and of one width; converts to floats.

    Args:
        arrays: the arrays, by the names that errors use.
        least: the least number of rows of each.
        reason: what needs this many rows, for the error.

    Returns:
        The arrays in float32 or float64.

    Raises:
        ValueError: an array has another shape, too few rows or values that are not
            finite.
    """
    checked = {}
    for name, array in arrays.items():
        array = np.asarray(array)
        if array.dtype != "float64":
            array = array.astype("float32", copy=False)
        if array.ndim != 2 or not array.size:
            raise ValueError(
                f"{name} must hold features (N, F), one row per example, got shape "
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
        raise ValueError(f"Features must have one width, got {widths}.")
    return list(checked.values())


def row_blocks(count: int, width: int) -> Iterator[slice]:
    """Slices of `count` rows of `width` numbers, of at most BLOCK numbers each."""
    return gen_batches(count, max(1, BLOCK // width))
