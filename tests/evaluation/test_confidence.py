import numpy as np
import pytest
from scipy import stats

from zoo.evaluation.confidence import Interval, difference_interval, mean_interval

pytestmark = pytest.mark.host

OURS, THEIRS = [3.1, 2.9, 3.4, 3.0], [3.3, 2.2, 4.1]


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_it_is_that_of_the_t_test(level):
    found = mean_interval(OURS, level)
    expected = stats.ttest_1samp(OURS, 0).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-12)
    assert (found.mean, found.n) == (pytest.approx(3.1), 4)


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_a_difference_is_that_of_welchs_test(level):
    found = difference_interval(OURS, THEIRS, level)
    test = stats.ttest_ind(OURS, THEIRS, equal_var=False)
    expected = test.confidence_interval(level)
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-12)
    assert found.mean == pytest.approx(3.1 - 3.2) and found.n == 7


def test_it_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    found = [mean_interval(runs, 0.8) for runs in rng.normal(2, 3, size=(500, 3))]
    hits = [interval.low < 2 < interval.high for interval in found]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.05)


def test_runs_that_agree():
    assert mean_interval([10, 10, 10]) == Interval(10.0, 0.0, 3)
    assert difference_interval([1, 1], [3, 3]) == Interval(-2.0, 0.0, 4)
    assert str(mean_interval([1.0, 2.0])) == "1.5 ± 6.4 (n=2)"


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"values .* two runs, got \[1.0\]"):
        mean_interval([1.0])
    with pytest.raises(ValueError, match="theirs must be finite"):
        difference_interval([1, 2], [1, np.nan])
    with pytest.raises(ValueError, match="level must be between 0 and 1, got 95"):
        mean_interval([1, 2], 95)
