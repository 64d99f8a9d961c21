"""Which examples are meant by "the first so many".

Folders and tables are often ordered by class, so that their first rows show one class
alone.
"""

import numpy as np


def fixed_subset(total: int, count: int | None) -> np.ndarray:
    """Row numbers of some of `total` examples: the first of one fixed permutation.

    It depends on `total` alone, so that a smaller subset is the beginning of a larger
    one, and figures over it are of the same examples in every run.

        images = data.test_images[fixed_subset(len(data.test_images), 1000)]

    Args:
        total: The number of examples.
        count: How many to take, all if there are fewer. None takes all, in the order
            they have.

    Returns:
        int64 of shape (min(count, total),).

    Raises:
        ValueError: `count` is less than 1.
    """
    if count is None:
        return np.arange(total)
    if count < 1:
        raise ValueError(f"{count} of {total} examples are asked for; expected from 1")
    return np.random.Generator(np.random.PCG64(0)).permutation(total)[:count]
