"""How well classes or values are predicted, as GLUE reports it (Wang et al. 2018)."""

import numpy as np


def classification_metrics(labels: np.ndarray, predictions: np.ndarray) -> dict:
    """Accuracy, F1 and Matthews correlation of predicted classes.

    Args:
        labels: The classes, integers of shape (N,).
        predictions: Those predicted, of the same shape.

    Returns:
        `accuracy`; `macro_f1`, the mean of the classes' F1; `matthews`; and `f1`, of
        class 1, where there are no other classes than 0 and 1.
    """
    from sklearn import metrics

    labels, predictions = _checked(labels, predictions)
    if labels.dtype.kind not in "iu" or predictions.dtype.kind not in "iu":
        raise ValueError(
            f"labels are {labels.dtype} and predictions {predictions.dtype}; expected "
            "integers, such as logits.argmax(-1)"
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
    """Pearson's and Spearman's correlation of predicted values, as of STS-B.

    Args:
        labels: The values, of shape (N,).
        predictions: Those predicted, of the same shape.

    Returns:
        `pearson` and `spearman`.

    Raises:
        ValueError: All labels or all predictions are alike, so that there is none.
    """
    from scipy import stats

    labels, predictions = _checked(labels, predictions)
    for name, values in (("labels", labels), ("predictions", predictions)):
        if np.ptp(values) == 0:
            raise ValueError(f"all {name} are {values[0]}; a correlation needs others")
    return {
        "pearson": float(stats.pearsonr(labels, predictions).statistic),
        "spearman": float(stats.spearmanr(labels, predictions).statistic),
    }


def _checked(labels, predictions) -> tuple[np.ndarray, np.ndarray]:
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.ndim != 1 or labels.shape != predictions.shape or not labels.size:
        raise ValueError(
            f"labels are of shape {labels.shape} and predictions of "
            f"{predictions.shape}; expected (N,) of both, and some"
        )
    return labels, predictions
