"""Mode coverage of samples, by the classes that a classifier assigns to them.

As in Metz et al. 2017 (arXiv 1611.02163), section 3.3.1: the number of modes covered,
and the KL divergence of the samples' classes from the real ones.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from zoo.likelihood.importance import check_counts


@dataclass(frozen=True, eq=False)
class ModeCoverage:
    """How samples spread over L classes.

    Attributes:
        shares: (L,) the share of samples in each class.
        covered: the number of classes with enough samples.
        entropy: the entropy of the shares, in nats; at most log L.
        kl: the KL divergence of the shares from the real ones, in nats; infinite if
            samples have a class that no real example has.
    """

    shares: np.ndarray
    covered: int
    entropy: float
    kl: float


def mode_coverage(
    classes: np.ndarray,
    num_classes: int,
    real: np.ndarray | None = None,
    *,
    least: float = 0.1,
) -> ModeCoverage:
    """Counts the classes of samples.

    Args:
        classes: (N,) classes of samples, from 0 to `num_classes` - 1.
        num_classes: the number of classes, L.
        real: (M,) classes of real examples; None assumes equal shares.
        least: the share of samples that covers a class, as a multiple of 1 / L.

    Raises:
        ValueError: there are no samples, or classes are out of range.
    """
    check_counts(num_classes=num_classes)
    if not 0 < least <= 1:
        raise ValueError(f"least must be above 0 and at most 1, got {least!r}.")
    shares = _shares(classes, num_classes, "classes")
    expected = np.full(num_classes, 1 / num_classes)
    if real is not None:
        expected = _shares(real, num_classes, "real")
    return ModeCoverage(
        shares=shares,
        covered=int(np.sum(shares * num_classes >= least)),
        entropy=float(stats.entropy(shares)),
        kl=float(stats.entropy(shares, expected)),
    )


def _shares(classes: np.ndarray, num_classes: int, name: str) -> np.ndarray:
    classes = np.asarray(classes)
    if classes.ndim != 1 or not classes.size or classes.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be whole numbers (N,), at least one, got shape "
            f"{classes.shape} of {classes.dtype}."
        )
    if classes.min() < 0 or classes.max() >= num_classes:
        raise ValueError(
            f"{name} must be from 0 to {num_classes - 1} (num_classes={num_classes}), "
            f"got values from {classes.min()} to {classes.max()}."
        )
    return np.bincount(classes, minlength=num_classes) / len(classes)
