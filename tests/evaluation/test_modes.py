import math

import numpy as np
import pytest

from zoo.evaluation.images.modes import mode_coverage

pytestmark = pytest.mark.host


def test_shares_and_what_they_say():
    classes = np.repeat([0, 1, 2], [50, 49, 1])
    found = mode_coverage(classes, 4)
    assert found.shares.tolist() == [0.5, 0.49, 0.01, 0]
    assert found.covered == 2  # a tenth of a quarter is more than 0.01
    assert mode_coverage(classes, 4, least=0.04).covered == 3
    entropy = -(0.5 * math.log(0.5) + 0.49 * math.log(0.49) + 0.01 * math.log(0.01))
    assert found.entropy == pytest.approx(entropy)
    assert found.kl == pytest.approx(math.log(4) - entropy)


def test_against_real_shares():
    classes = np.array([0, 0, 0, 1])
    found = mode_coverage(classes, 2, real=np.array([0, 1, 0, 1, 0, 0]))
    expected = 0.75 * math.log(0.75 * 6 / 4) + 0.25 * math.log(0.25 * 6 / 2)
    assert found.kl == pytest.approx(expected)
    assert mode_coverage(classes, 2, real=classes).kl == 0
    assert mode_coverage(classes, 2, real=np.array([0])).kl == math.inf
    assert mode_coverage(np.array([0]), 2, real=classes).kl == pytest.approx(
        math.log(4 / 3)
    )


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"from 0 to 2 .*values from 0 to 3"):
        mode_coverage(np.arange(4), 3)
    with pytest.raises(ValueError, match=r"real must be whole .*float64"):
        mode_coverage(np.arange(3), 3, real=np.ones(3))
    with pytest.raises(ValueError, match=r"at least one.*\(0,\)"):
        mode_coverage(np.zeros(0, int), 3)
    with pytest.raises(ValueError, match="least must be above 0"):
        mode_coverage(np.arange(3), 3, least=0)
