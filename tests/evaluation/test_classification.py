"""Metrics of classification and regression against their definitions."""

import numpy as np
import pytest

from zoo.evaluation import classification_metrics, regression_metrics

pytestmark = pytest.mark.host


def test_two_classes():
    labels = np.array([1] * 6 + [0] * 4)
    predictions = np.array([1, 1, 1, 1, 0, 0, 1, 0, 0, 0])
    # 4 true and 1 false positives, 2 false and 3 true negatives
    found = classification_metrics(labels, predictions)
    f1 = 2 * 4 / (2 * 4 + 1 + 2)
    expected = {
        "accuracy": 0.7,
        "f1": f1,
        "macro_f1": (f1 + 2 * 3 / (2 * 3 + 2 + 1)) / 2,
        "matthews": (4 * 3 - 1 * 2) / np.sqrt(5 * 6 * 4 * 5),
    }
    assert found == pytest.approx(expected, abs=1e-12)


def test_several_classes_and_one():
    found = classification_metrics(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1]))
    assert set(found) == {"accuracy", "macro_f1", "matthews"}
    assert found["macro_f1"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    alone = classification_metrics(np.ones(3, int), np.zeros(3, int))
    assert alone == {"accuracy": 0.0, "macro_f1": 0.0, "matthews": 0.0, "f1": 0.0}


def test_values():
    found = regression_metrics(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 8, 27, 64]))
    x = np.array([1.0, 2.0, 3.0, 4.0]) - 2.5
    y = np.array([1, 8, 27, 64]) - 25.0
    assert found["spearman"] == pytest.approx(1)
    assert found["pearson"] == pytest.approx(x @ y / np.sqrt((x @ x) * (y @ y)))


def test_refusals():
    with pytest.raises(ValueError, match=r"labels \(3,\) and predictions \(2,\)"):
        classification_metrics(np.zeros(3, int), np.zeros(2, int))
    with pytest.raises(ValueError, match=r"got labels \(0,\)"):
        classification_metrics(np.zeros(0, int), np.zeros(0, int))
    with pytest.raises(ValueError, match="must be integers.* predictions float64"):
        classification_metrics(np.zeros(3, int), np.zeros(3))
    with pytest.raises(ValueError, match=r"predictions must have .* got 0\.0"):
        regression_metrics(np.arange(3.0), np.zeros(3))
