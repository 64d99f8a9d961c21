import numpy as np
import pytest

from zoo.evaluation.confidence import mean_interval
from zoo.evaluation.repeated import RepeatedScores

pytestmark = pytest.mark.host


def test_figures_of_each_kind_and_mean_curves(tmp_path, monkeypatch):
    compared = RepeatedScores("test_accuracy")
    compared.add("deep", 0.5, [0.1, 0.3])
    compared.add("deep", 0.7, [0.3, 0.5])
    compared.add("flat", 0.2, [0.2, 0.2])
    compared.add("flat", 0.2, [0.2, 0.4])
    found = compared.figures()
    assert found["deep_test_accuracy"] == pytest.approx(0.6)
    assert found["deep_test_accuracy_std"] == pytest.approx(np.sqrt(0.02))
    expected = mean_interval([0.5, 0.7]).half_width
    assert found["deep_test_accuracy_half_width"] == expected
    assert found["flat_test_accuracy_std"] == 0
    assert compared.intervals()["flat"].n == 2
    seen = {}
    monkeypatch.setattr(
        "zoo.evaluation.repeated.loss_curves",
        lambda path, updates, curves, **words: seen.update(curves),
    )
    compared.draw(tmp_path / "curves.png", [5, 10], "Two kinds", "accuracy")
    assert seen["deep"] == pytest.approx([0.2, 0.4])
    assert seen["flat"] == pytest.approx([0.2, 0.3])


def test_one_seed_has_no_interval():
    compared = RepeatedScores("accuracy")
    compared.add("deep", 0.5, [0.5])
    with pytest.raises(ValueError, match="at least two runs"):
        compared.figures()
