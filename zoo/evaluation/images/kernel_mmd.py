"""Kernel distance between the features of real and generated images.

Binkowski et al. 2018 (arXiv 1801.01401), section 4: the unbiased estimate of the
squared maximum mean discrepancy (Gretton et al. 2012, lemma 6) under the kernel
(x·y / F + 1)³. With Inception's features it is the KID. Its expectation does not depend
on the number of examples and is 0 for equal distributions; estimates may be negative.

Shapes: N real and M generated examples, F features.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics.pairwise import polynomial_kernel

from zoo.evaluation.images.feature_arrays import checked_features, row_blocks
from zoo.likelihood.importance import check_counts


@dataclass(frozen=True)
class KernelDistance:
    """Estimates on random subsets.

    Attributes:
        mean: the mean of the estimates.
        stddev: the standard deviation of one subset's estimate, not of the mean.
    """

    mean: float
    stddev: float


def kernel_distance(
    real: np.ndarray,
    fake: np.ndarray,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> KernelDistance:
    """Mean and standard deviation of `squared_mmd` on pairs of random subsets.

    Args:
        real: features (N, F).
        fake: features (M, F).
        subsets: the number of pairs; the default is the paper's.
        subset_size: rows per subset, drawn without replacement.
        seed: the seed for drawing subsets.

    Raises:
        ValueError: there are fewer rows than `subset_size`, widths differ, or values
            are not finite.
    """
    check_counts(subsets=subsets, subset_size=subset_size)
    if subset_size == 1:
        raise ValueError("subset_size must be at least 2, got 1.")
    real, fake = checked_features(
        {"real": real, "fake": fake}, subset_size, f"subset_size={subset_size}"
    )
    rng = np.random.default_rng(seed)
    estimates = [
        _squared_mmd(*(rng.choice(x, subset_size, replace=False) for x in (real, fake)))
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(estimates)), float(np.std(estimates)))


def squared_mmd(real: np.ndarray, fake: np.ndarray) -> float:
    """The unbiased estimate from all rows: less noise, but N · M kernel values.

    Args:
        real: features (N, F).
        fake: features (M, F).

    Raises:
        ValueError: there are fewer than two rows, widths differ, or values are not
            finite.
    """
    return _squared_mmd(
        *checked_features({"real": real, "fake": fake}, 2, "An unbiased estimate")
    )


def _squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x.astype("float64"), y.astype("float64")
    return float(_mean_of_others(x) + _mean_of_others(y) - 2 * _mean(x, y))


def _mean(x: np.ndarray, y: np.ndarray) -> float:
    """The mean of the kernel over all pairs of rows."""
    total = sum(
        polynomial_kernel(x[rows], y, degree=3).sum()
        for rows in row_blocks(len(x), len(y))
    )
    return total / (len(x) * len(y))


def _mean_of_others(x: np.ndarray) -> float:
    """The mean of the kernel over all pairs of different rows."""
    count, width = x.shape
    own = np.mean((np.square(x).sum(axis=1) / width + 1) ** 3)
    return (count * _mean(x, x) - own) / (count - 1)
