import numpy as np
import scipy.integrate
import scipy.stats
from keras import ops

from zoo.layers.latent.gaussian import (
    DiagonalGaussian,
    kl_to_standard_normal,
    reparameterised,
    standard_normal_log_prob,
)

RNG = np.random.default_rng(0)


def test_kl_is_the_integral():
    for mean, log_variance in ((0.0, 0.0), (1.5, -1.0), (-0.7, 0.8)):
        q, p = scipy.stats.norm(mean, np.exp(log_variance / 2)), scipy.stats.norm()
        expected, _ = scipy.integrate.quad(
            lambda z, q=q, p=p: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), -15, 15
        )
        found = float(kl_to_standard_normal(np.float32(mean), np.float32(log_variance)))
        assert abs(found - expected) < 1e-5


def test_reparameterised_draws_have_mean_and_variance():
    noise = RNG.normal(size=(50_000, 2)).astype("float32")
    mean, variance = np.array([1.0, -2.0]), np.array([0.25, 4.0])
    log_variance = ops.convert_to_tensor(np.log(variance).astype("float32"))
    z = reparameterised(
        ops.convert_to_tensor(mean.astype("float32")),
        log_variance,
        ops.convert_to_tensor(noise),
    )
    z = ops.convert_to_numpy(z)
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(z.var(axis=0), variance, rtol=0.03)


def test_standard_normal_is_scipys():
    x = RNG.normal(size=(3, 4, 5)).astype("float32")
    expected = scipy.stats.norm.logpdf(x).sum(axis=-1)
    found = ops.convert_to_numpy(standard_normal_log_prob(x))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_layer_is_in_float32_under_mixed_precision():
    layer = DiagonalGaussian(3, dtype="mixed_bfloat16")
    mean, log_variance = layer(RNG.normal(size=(2, 4)).astype("float32"))
    assert mean.shape == log_variance.shape == (2, 3)
    assert "float32" in str(mean.dtype)
    assert "float32" in str(log_variance.dtype)
