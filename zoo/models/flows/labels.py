"""Classes that a density is conditioned on, as a user gives them."""

from typing import Any

import numpy as np


def check_labels(labels: Any, count: int, num_classes: int) -> np.ndarray | None:
    """The labels as int32 (N,), or None for a model without classes.

    Raises:
        ValueError: labels are missing, out of range, not N whole numbers, or given to
            a model without classes.
    """
    if not num_classes:
        if labels is not None:
            raise ValueError(
                "labels must be None for a model without classes (num_classes=0)."
            )
        return None
    if labels is None:
        raise ValueError(
            f"labels must be given for a model with classes (num_classes="
            f"{num_classes}): one from 0 to {num_classes - 1} for each example."
        )
    labels = np.asarray(labels)
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"Labels must be whole numbers of shape ({count},), got {labels.dtype} of "
            f"shape {labels.shape}."
        )
    low, high = labels.min(initial=0), labels.max(initial=0)
    if not 0 <= low <= high < num_classes:
        raise ValueError(
            f"Labels must be from 0 to {num_classes - 1}, got values from {low} to "
            f"{high}."
        )
    return labels.astype("int32")


def drawn_labels(
    count: int, num_classes: int, rng: np.random.Generator
) -> np.ndarray | None:
    """Labels (N,) drawn uniformly; None for a model without classes."""
    return rng.integers(num_classes, size=count) if num_classes else None
