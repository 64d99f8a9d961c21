"""Metrics of predicted classes or values, as GLUE reports them (Wang et al. 2018)."""

import numpy as np


def classification_metrics(labels: np.ndarray, predictions: np.ndarray) -> dict:
    """Accuracy, F1 and Matthews correlation of predicted classes.

    Args:
        labels: the true classes, integers (N,).
        predictions: the predicted classes, integers (N,).

    Returns:
        `accuracy`; `macro_f1`, the mean of the classes' F1; `matthews`; and `f1` of
        class 1, if there are no classes but 0 and 1.

    Raises:
        ValueError: an array is empty, has another shape or no integers.
    """
    from sklearn import metrics

    labels, predictions = _checked(labels, predictions)
    if labels.dtype.kind not in "iu" or predictions.dtype.kind not in "iu":
        raise ValueError(
            "labels and predictions must be integers, such as logits.argmax(-1), got "
            f"labels {labels.dtype} and predictions {predictions.dtype}."
        )
    found = {
        "accuracy": metrics.accuracy_score(labels, predictions),
        "macro_f1": metrics.f1_score(
            labels, predictions, average="macro", zero_division=0
        ),
        "matthews": metrics.matthews_corrcoef(labels, predictions),
    }
    if set(labels.tolist()) | set(predictions.tolist()) <= {0, 1}:
        found["f1"] = metrics.f1_score(labels, predictions, zero_division=0)
    return {name: float(value) for name, value in found.items()}


def regression_metrics(labels: np.ndarray, predictions: np.ndarray) -> dict:
    """Pearson's and Spearman's correlation of predicted values, as for STS-B.

    Args:
        labels: the true values (N,).
        predictions: the predicted values (N,).

    Returns:
        `pearson` and `spearman`.

    Raises:
        ValueError: an array is empty or has another shape, or all its values are
            equal, so that the correlation is undefined.
    """
    from scipy import stats

    labels, predictions = _checked(labels, predictions)
    for name, values in (("labels", labels), ("predictions", predictions)):
        if np.ptp(values) == 0:
            raise ValueError(
                f"{name} must have different values for a correlation, got {values[0]} "
                "only."
            )
    return {
        "pearson": float(stats.pearsonr(labels, predictions).statistic),
        "spearman": float(stats.spearmanr(labels, predictions).statistic),
    }


def _checked(
    labels: np.ndarray, predictions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.ndim != 1 or labels.shape != predictions.shape or not labels.size:
        raise ValueError(
            "labels and predictions must have shape (N,) with N above 0, got labels "
            f"{labels.shape} and predictions {predictions.shape}."
        )
    return labels, predictions
