import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import KernelDensity

from zoo.likelihood.parzen import parzen_log_likelihood

RNG = np.random.default_rng(0)
SAMPLES, VALIDATION, TEST = (RNG.normal(size=(n, 2, 2, 1)) for n in (300, 200, 50))


@pytest.mark.parametrize("chunk", [7, 300, 1000])
def test_it_is_the_density_of_kernels_on_the_samples(chunk):
    found = parzen_log_likelihood(
        TEST, SAMPLES, VALIDATION, bandwidths=[0.4], chunk=chunk
    )
    kernels = KernelDensity(bandwidth=0.4).fit(SAMPLES.reshape(-1, 4))
    expected = kernels.score_samples(TEST.reshape(-1, 4))
    np.testing.assert_allclose(found.log_likelihood, expected, rtol=0, atol=1e-4)
    assert found.mean == pytest.approx(expected.mean(), abs=1e-5)
    assert found.standard_error == pytest.approx(stats.sem(expected), abs=1e-5)


def test_the_bandwidth_is_the_one_that_validates_best():
    grid = [0.9, 0.2, 0.5, 0.35, 0.7]  # in no order
    found = parzen_log_likelihood(TEST, SAMPLES, VALIDATION, bandwidths=grid)
    kernels = [KernelDensity(bandwidth=h).fit(SAMPLES.reshape(-1, 4)) for h in grid]
    scores = [k.score(VALIDATION.reshape(-1, 4)) for k in kernels]
    assert found.bandwidth == grid[int(np.argmax(scores))]
    with pytest.warns(UserWarning, match="best bandwidth, 0.1, is at the end"):
        parzen_log_likelihood(TEST, SAMPLES, VALIDATION, bandwidths=[0.05, 0.1])


def test_it_says_what_it_is_not():
    found = parzen_log_likelihood(TEST, SAMPLES, VALIDATION, bandwidths=[0.4])
    for text in (found.warning, parzen_log_likelihood.__doc__):
        assert "1511.01844" in text and "memori" in text and "Never compare" in text


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="bandwidths must be above 0"):
        parzen_log_likelihood(TEST, SAMPLES, VALIDATION, bandwidths=[0.1, 0])
    with pytest.raises(ValueError, match=r"same shape.*'samples': \(2,\)"):
        parzen_log_likelihood(TEST, SAMPLES[:, 0, :, 0], VALIDATION)
    with pytest.raises(ValueError, match=r"first is validation\[3\]"):
        bad = VALIDATION.copy()
        bad[3] = np.nan
        parzen_log_likelihood(TEST, SAMPLES, bad)
    with pytest.raises(ValueError, match="chunk must be"):
        parzen_log_likelihood(TEST, SAMPLES, VALIDATION, chunk=0)
