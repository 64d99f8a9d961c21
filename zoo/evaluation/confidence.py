"""Confidence intervals of a metric's mean from a few runs with different seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A confidence interval around a mean.

    Attributes:
        mean: the mean of the runs, or the difference of two means.
        half_width: half the width of the interval around the mean.
        n: the number of runs, in both groups for a difference.
    """

    mean: float
    half_width: float
    n: int

    @property
    def low(self) -> float:
        """The lower end."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """The upper end."""
        return self.mean + self.half_width

    def __str__(self) -> str:
        return f"{self.mean:.4g} ± {self.half_width:.2g} (n={self.n})"


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Student's confidence interval of the mean of runs.

    Args:
        values: a metric of at least two runs with different seeds.
        level: the confidence level: how often such an interval contains the mean of
            infinitely many runs.

    Raises:
        ValueError: there are fewer than two values, one is not finite, or the level
            is not between 0 and 1.
    """
    runs = _checked(values, "values", level)
    half_width = _half_width(stats.sem(runs), len(runs) - 1, level)
    return Interval(float(runs.mean()), half_width, len(runs))


def difference_interval(
    ours: Sequence[float], theirs: Sequence[float], level: float = 0.95
) -> Interval:
    """Welch's confidence interval of mean(ours) - mean(theirs); variances may differ.

    If lower is better and a difference of `margin` does not matter, ours are no worse
    if `high <= margin`. An interval that contains 0 does not show that.

    Args:
        ours: a metric of at least two runs.
        theirs: the metric of at least two other runs.
        level: the confidence level, as in `mean_interval`.

    Raises:
        ValueError: as in `mean_interval`.
    """
    groups = [_checked(ours, "ours", level), _checked(theirs, "theirs", level)]
    squares = np.array([stats.sem(runs) ** 2 for runs in groups])
    spread = squares.sum()
    counts = np.array([len(runs) for runs in groups])
    # Welch & Satterthwaite; with no variance at all, any value does.
    freedom = spread**2 / np.sum(squares**2 / (counts - 1)) if spread else 1.0
    half_width = _half_width(math.sqrt(spread), freedom, level)
    difference = groups[0].mean() - groups[1].mean()
    return Interval(float(difference), half_width, int(counts.sum()))


def _half_width(standard_error: float, freedom: float, level: float) -> float:
    return float(stats.t.ppf((1 + level) / 2, freedom) * standard_error)


def _checked(values: Sequence[float], name: str, level: float) -> np.ndarray:
    runs = np.asarray(values, "float64")
    if runs.ndim != 1 or len(runs) < 2 or not np.isfinite(runs).all():
        raise ValueError(
            f"{name} must be finite numbers from at least two runs, got {values!r}."
        )
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level!r}.")
    return runs
