import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.stats import kstest, norm

from zoo.data.mixtures import MIXTURES, Mixture

pytestmark = pytest.mark.host


def test_draws_have_the_density():
    numbers = MIXTURES["gaussian"].draw(2000, np.random.default_rng(0))
    assert numbers.shape == (2000, 1) and numbers.dtype == np.float32
    assert kstest(numbers[:, 0], norm(2, 0.5).cdf).pvalue > 1e-3
    line = np.linspace(-5, 5, 201)
    for mixture in MIXTURES.values():
        assert trapezoid(mixture.density(line), line) == pytest.approx(1, abs=1e-3)


def test_shares_weight_the_parts():
    uneven = Mixture(((0.9, -3.0, 0.1), (0.1, 3.0, 0.1)))
    numbers = uneven.draw(2000, np.random.default_rng(0))
    assert np.mean(numbers < 0) == pytest.approx(0.9, abs=0.02)
    low, high = uneven.density(np.array([-3.0, 3.0]))
    assert low == pytest.approx(9 * high)
