"""Fixed random subsets, to use instead of the first rows.

Folders and tables are often sorted by class, so their first rows show only one class.
"""

import numpy as np


def fixed_subset(total: int, count: int | None) -> np.ndarray:
    """Returns `count` of `total` row numbers, the first of one fixed permutation.

    The permutation depends only on `total`: a smaller subset is the beginning of a
    larger one, and every run measures the same examples.

        images = data.test_images[fixed_subset(len(data.test_images), 1000)]

    Args:
        total: the number of examples.
        count: how many to take; all if there are fewer. None takes all, in their
            original order.

    Returns:
        int64 of shape (min(count, total),).

    Raises:
        ValueError: `count` is below 1.
    """
    if count is None:
        return np.arange(total)
    if count < 1:
        raise ValueError(
            f"The number of examples to take, out of {total}, must be at least 1, got "
            f"{count}."
        )
    return np.random.Generator(np.random.PCG64(0)).permutation(total)[:count]
