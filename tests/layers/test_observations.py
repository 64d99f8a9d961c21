import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops

from zoo.layers.latent.observations import (
    Bernoulli,
    DiscretizedLogistic,
    Gaussian,
    LearnedGaussian,
    observation_model,
)

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.normal(size=shape).astype("float32")


def found(observation, x, parameters):
    return ops.convert_to_numpy(observation.log_prob(x, parameters))


def summed(values):
    return values.reshape(*values.shape[:-3], -1).sum(axis=-1)


def test_bernoulli_is_scipys():
    logits = 3 * draw(4, 2, 3, 1)
    x = (draw(4, 2, 3, 1) > 0).astype("float32")
    expected = scipy.stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits)))
    np.testing.assert_allclose(
        found(Bernoulli(), x, logits), summed(expected), rtol=0, atol=1e-5
    )


def test_bernoulli_is_finite_at_sure_logits():
    x = np.ones((1, 1, 1, 1), "float32")
    assert found(Bernoulli(), x, -1e4 * x) == pytest.approx([-1e4])
    assert found(Bernoulli(), x, 1e4 * x) == pytest.approx([0])


def test_gaussian_is_scipys():
    x, mean = draw(4, 2, 3, 1), draw(4, 2, 3, 1)
    expected = scipy.stats.norm.logpdf(x, mean, 0.3)
    np.testing.assert_allclose(
        found(Gaussian(0.3), x, mean), summed(expected), rtol=1e-6, atol=1e-5
    )


def test_learned_gaussian_is_scipys_and_has_a_floor():
    x, mean, raw = draw(4, 2, 3, 2), draw(4, 2, 3, 2), 3 * draw(4, 2, 3, 2)
    floor = np.log(0.1)
    stddev = np.exp(floor + np.log1p(np.exp(raw - floor)))
    expected = scipy.stats.norm.logpdf(x, mean, stddev)
    parameters = np.concatenate([mean, raw], axis=-1)
    observation = LearnedGaussian(min_stddev=0.1)
    np.testing.assert_allclose(
        found(observation, x, parameters), summed(expected), rtol=1e-5, atol=1e-5
    )
    sure = np.concatenate([mean, np.full_like(raw, -1e3)], axis=-1)
    expected = scipy.stats.norm.logpdf(x, mean, 0.1)
    np.testing.assert_allclose(
        found(observation, x, sure), summed(expected), rtol=1e-5, atol=1e-5
    )


def test_discretized_logistic_is_scipys():
    levels = 8
    x = RNG.integers(levels, size=(5, 2, 3, 1)) / np.float32(levels - 1)
    mean, log_scale = 0.5 + draw(5, 2, 3, 1), draw(5, 2, 3, 1) - 2
    edges = (np.arange(levels - 1) + 0.5) / (levels - 1)
    bounds = np.concatenate([[-np.inf], edges, [np.inf]])
    level = np.round(x * (levels - 1)).astype(int)
    logistic = scipy.stats.logistic(mean.astype("float64"), np.exp(log_scale))
    mass = logistic.cdf(bounds[level + 1]) - logistic.cdf(bounds[level])
    parameters = np.concatenate([mean, log_scale], axis=-1)
    np.testing.assert_allclose(
        found(DiscretizedLogistic(levels), x, parameters),
        summed(np.log(mass)),
        rtol=1e-4,
        atol=1e-4,
    )


def test_discretized_logistics_levels_have_all_the_mass():
    levels = np.arange(256, dtype="float32") / 255
    parameters = np.broadcast_to(np.array([0.4, -3], "float32"), (256, 1, 1, 2))
    x = levels.reshape(-1, 1, 1, 1)
    mass = np.exp(found(DiscretizedLogistic(), x, parameters))
    assert mass.sum() == pytest.approx(1, abs=1e-5)


def test_parameters_may_have_leading_axes():
    x, parameters = draw(4, 2, 3, 1), draw(5, 4, 2, 3, 1)
    each = [found(Gaussian(1.0), x, p) for p in parameters]
    np.testing.assert_allclose(
        found(Gaussian(1.0), x, parameters), np.stack(each), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("observation", "parameters"),
    [
        (Bernoulli(), [0.8]),
        (Gaussian(0.2), [0.4]),
        (LearnedGaussian(), [0.4, -1.0]),
        (DiscretizedLogistic(8), [0.5, -2.0]),
    ],
)
def test_samples_have_the_mean_and_likelihood_of_their_model(observation, parameters):
    count = 20_000
    parameters = np.tile(np.array(parameters, "float32"), (count, 1, 1, 1))
    seed = keras.random.SeedGenerator(1)
    x = ops.convert_to_numpy(observation.sample(parameters, seed=seed))
    assert x.shape == (count, 1, 1, 1)
    mean = ops.convert_to_numpy(observation.mean(parameters))[0]
    error = float(5 * x.std() / count**0.5)
    assert float(x.mean()) == pytest.approx(mean.item(), abs=error)
    if isinstance(observation, (Bernoulli, DiscretizedLogistic)):
        values, counts = np.unique(x, return_counts=True)
        model = np.exp(
            found(observation, values.reshape(-1, 1, 1, 1), parameters[: len(values)])
        )
        np.testing.assert_allclose(counts / count, model, rtol=0, atol=0.015)


def test_names_and_bad_values():
    assert isinstance(observation_model("gaussian", 0.5), Gaussian)
    with pytest.raises(ValueError, match=r"bernoulli.*got 'poisson'"):
        observation_model("poisson")
    with pytest.raises(ValueError, match="stddev must be above 0, got 0"):
        Gaussian(0.0)
    with pytest.raises(ValueError, match="num_levels must be at least 2, got 1"):
        DiscretizedLogistic(1)
