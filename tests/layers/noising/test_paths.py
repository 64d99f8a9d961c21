import numpy as np
import pytest
from keras import ops

from zoo.layers.noising import (
    EDM,
    PATHS,
    Cosine,
    DDPMCosine,
    DDPMLinear,
    FlowMatching,
    TimeLaw,
    VarianceExploding,
    VariancePreserving,
)

ALL = [cls() for cls in PATHS.values()]
ZERO_SNR = [Cosine(), FlowMatching(), DDPMLinear(zero_terminal_snr=True)]


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_derivatives_are_slopes(path):
    # Within steps: the table's slope changes at each.
    t = (np.linspace(20, 980, 33) + 0.5).astype("float32") / 1000
    h = 2e-4
    for value, slope in ((path.alpha, path.d_alpha), (path.sigma, path.d_sigma)):
        found = numpy(slope(t))
        difference = (numpy(value(t + h)) - numpy(value(t - h))) / (2 * h)
        scale = max(1.0, np.abs(found).max())
        np.testing.assert_allclose(found, difference, rtol=0, atol=2e-3 * scale)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_time_inverts_the_ratio(path):
    t = np.linspace(0.01, 0.99, 50).astype("float32")
    np.testing.assert_allclose(numpy(path.time(path.ratio(t))), t, rtol=0, atol=2e-5)


def test_values_are_the_papers():
    t = np.array([0.0, 0.25, 0.5, 1.0], "float32")
    vp = np.exp(-0.25 * 19.9 * t**2 - 0.05 * t)
    np.testing.assert_allclose(numpy(VariancePreserving().alpha(t)), vp, atol=1e-6)
    ve = 0.01 * 5000.0**t
    np.testing.assert_allclose(numpy(VarianceExploding().sigma(t)), ve, rtol=1e-5)
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2)
    np.testing.assert_allclose(numpy(Cosine().alpha(t)), f / f[0], atol=1e-6)
    np.testing.assert_allclose(numpy(EDM().sigma(t)), 80 * t, rtol=1e-6)
    assert numpy(FlowMatching(0.1).sigma(0.0)) == np.float32(0.1)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_variance_is_kept(path):
    if path.name not in ("ddpm_linear", "ddpm_cosine", "vp", "cosine"):
        pytest.skip("keeps no variance")
    t = np.linspace(0, 1, 101).astype("float32")
    squares = numpy(path.alpha(t)) ** 2 + numpy(path.sigma(t)) ** 2
    np.testing.assert_allclose(squares, 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("path", [*ALL, *ZERO_SNR], ids=lambda path: path.name)
def test_all_is_finite_from_end_to_end(path):
    t = np.linspace(0, 1, 1001).astype("float32")
    for function in (path.alpha, path.sigma, path.d_alpha, path.d_sigma, path.snr):
        assert np.isfinite(numpy(function(t))).all()
    assert np.isfinite(numpy(path.time(path.ratio(t)))).all()


@pytest.mark.parametrize("path", ZERO_SNR, ids=lambda path: path.name)
def test_zero_terminal_snr_leaves_no_data(path):
    assert abs(float(path.alpha(1.0))) < 1e-6
    assert not path.keeps_data


def test_steps_of_the_tables_are_the_times():
    path = DDPMLinear(steps=100)
    t = (np.arange(100) + 1).astype("float32") / 100
    found = numpy(path.alpha(t)) ** 2
    np.testing.assert_allclose(found, path.alphas_cumprod, rtol=0, atol=1e-6)
    assert numpy(path.alpha(0.0)) == 1
    assert path.first == 0.01


def test_uniform_times_are_steps_where_there_are_steps():
    u = np.linspace(0, 1, 1000).astype("float32")
    found = numpy(TimeLaw().of_uniform(DDPMCosine(steps=10), u))
    values, counts = np.unique(found, return_counts=True)
    np.testing.assert_allclose(values, np.arange(1, 11) / 10, rtol=1e-6)
    assert counts.min() >= 99
    found = numpy(TimeLaw().of_uniform(VariancePreserving(), u))
    assert found.min() == np.float32(1e-3)
    assert found.max() <= 1


def test_laws_of_times_are_the_papers():
    z = np.random.default_rng(0).standard_normal(20_000).astype("float32")
    path = EDM()
    t = TimeLaw("log_normal", -1.2, 1.2).of_normal(path, z)
    levels = np.log(numpy(path.sigma(t)))
    assert abs(levels.mean() + 1.2) < 0.03
    assert abs(levels.std() - 1.2) < 0.03
    t = numpy(TimeLaw("logit_normal").of_normal(FlowMatching(), z))
    np.testing.assert_allclose(np.log(t / (1 - t)), z, rtol=0, atol=1e-3)
    steps = numpy(TimeLaw("logit_normal").of_normal(DDPMCosine(steps=10), z)) * 10
    np.testing.assert_allclose(steps, np.round(steps), rtol=0, atol=1e-5)
    assert steps.min() >= 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: VariancePreserving(0.0), "beta_min"),
        (lambda: VarianceExploding(2.0, 1.0), "sigma_min < sigma_max"),
        (lambda: EDM(-1.0), "sigma_min"),
        (lambda: Cosine(-0.1), "offset"),
        (lambda: FlowMatching(1.0), "sigma_min"),
        (lambda: DDPMLinear(steps=1), "steps"),
        (lambda: DDPMLinear(beta_last=2.0), "beta_last"),
        (lambda: DDPMLinear(steps=10), "beta_last < 0.01"),
        (lambda: DDPMCosine(max_beta=1.0), "max_beta"),
        (lambda: TimeLaw("normal"), "kind must be one of"),
        (lambda: TimeLaw(stddev=0.0), "stddev"),
    ],
)
def test_impossible_paths_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
