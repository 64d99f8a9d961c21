import functools

import numpy as np
import pytest

from tests.evaluation.latent_models import Binary, Linear
from zoo.likelihood.annealed import (
    AnnealedSampler,
    annealed_importance_sampling,
    bidirectional_bounds,
    temperatures,
)

LINEAR = Linear()
CHAINS = 64
SHORT = {"num_chains": CHAINS, "num_leapfrog": 4, "step_size": 0.3, "batch_size": 20}


def sampler(model, **options):
    """Returns a sampler with shapes that all tests share, so it compiles once."""
    return AnnealedSampler(
        model.decode,
        model.observation,
        model.latent_dim,
        variables=model.variables,
        **SHORT | options,
    )


@pytest.fixture(scope="module")
def linear():
    return sampler(LINEAR)


def quiet(function, *arguments, **options):
    return function(*arguments, progress=False, **options)


@pytest.mark.parametrize(
    "schedule", ["sigmoid", pytest.param("linear", marks=pytest.mark.slow)]
)
def test_chains_from_the_prior_find_the_likelihood(linear, schedule):
    x = LINEAR.data(30)  # the last batch is ragged
    found = quiet(linear.estimate, x, 60, schedule)
    errors = found.log_likelihood - LINEAR.log_likelihood(x)
    assert np.abs(errors).max() < 0.5 and abs(errors.mean()) < 0.05
    sizes = found.effective_sample_size
    assert sizes.shape == (30,) and CHAINS / 4 < sizes.min() <= sizes.max() <= CHAINS
    assert 0.5 < found.acceptance.min() <= found.acceptance.max() <= 1
    assert found.step_sizes.shape == (CHAINS, 30)


def test_the_likelihood_of_a_network_is_the_integral_over_its_latents():
    model = Binary()
    x = model.data(20)
    errors = quiet(sampler(model).estimate, x, 40).log_likelihood
    errors -= model.log_likelihood(x)
    assert np.abs(errors).max() < 0.3 and abs(errors.mean()) < 0.03


def test_one_temperature_is_plain_importance_sampling():
    x = LINEAR.data(20)
    found = quiet(sampler(LINEAR, encode=LINEAR.encode).estimate, x, 1)
    expected = LINEAR.log_likelihood(x)
    np.testing.assert_allclose(found.log_likelihood, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.effective_sample_size, CHAINS, rtol=0, atol=0.01)


def test_chains_from_a_poor_encoder_close_the_gap_that_haste_leaves():
    def encode(x):
        mean, log_variance = LINEAR.encode(x, widening=0.3)
        return mean + 0.5, log_variance

    poor = sampler(LINEAR, encode=encode)
    found = quiet(poor.bounds, 40, 1)
    truth = LINEAR.log_likelihood(found.x).mean()
    assert found.lower.mean() < truth - 0.3
    assert found.upper.mean() > truth + 1
    found = quiet(poor.bounds, 40, 40)
    truth = LINEAR.log_likelihood(found.x).mean()
    assert truth - 0.1 < found.lower.mean() < truth + 0.05
    assert truth - 0.05 < found.upper.mean() < truth + 0.1


def test_bounds_enclose_the_likelihood_of_the_data_they_made(linear):
    found = quiet(linear.bounds, 40, 60)
    truth = LINEAR.log_likelihood(found.x).mean()
    # The bounds hold in expectation; these means have an error of about 0.02.
    assert truth - 0.1 < found.lower.mean() < truth + 0.05
    assert truth - 0.05 < found.upper.mean() < truth + 0.1
    np.testing.assert_array_equal(found.gap, found.upper - found.lower)
    expected = LINEAR.data(100_000)
    np.testing.assert_allclose(found.x.mean(0), expected.mean(0), rtol=0, atol=0.4)
    np.testing.assert_allclose(found.x.std(0), expected.std(0), rtol=0, atol=0.3)


def test_step_sizes_follow_the_acceptance_rate_unless_held(linear):
    x = LINEAR.data(20)
    found = quiet(linear.estimate, x, 2)  # one transition
    longer = found.step_sizes > 0.3
    np.testing.assert_allclose(
        found.step_sizes, 0.3 * np.where(longer, 1.02, 0.98), rtol=1e-5
    )
    np.testing.assert_allclose(longer.mean(axis=0), found.acceptance, rtol=1e-5)
    held = quiet(sampler(LINEAR, adapt=False, step_size=3.0).estimate, x, 10)
    assert held.acceptance.max() < 0.2
    np.testing.assert_array_equal(held.step_sizes, np.float32(3.0))


def test_the_seed_decides(linear):
    x = LINEAR.data(20)
    first, again, other = (
        quiet(linear.estimate, x, 5, seed=seed).log_likelihood for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-2


@pytest.mark.parametrize("schedule", ["sigmoid", "linear"])
def test_temperatures_rise_from_zero_to_one(schedule):
    betas = temperatures(10, schedule)
    assert betas.shape == (11,)
    assert betas[0] == 0 and betas[-1] == 1 and np.diff(betas).min() > 0
    np.testing.assert_allclose(betas + betas[::-1], 1, rtol=0, atol=1e-12)
    assert (np.diff(betas)[0] < 0.03) == (schedule == "sigmoid")


def test_the_short_forms_and_the_bar(linear, capsys):
    model, options = (LINEAR.decode, LINEAR.observation, 2), {"num_temperatures": 1}
    x = LINEAR.data(20)
    found = annealed_importance_sampling(x, *model, **options, **SHORT)
    assert "1/1" in capsys.readouterr().out
    expected = quiet(linear.estimate, x, 1).log_likelihood
    np.testing.assert_allclose(found.log_likelihood, expected, rtol=0, atol=1e-4)
    found = quiet(bidirectional_bounds, *model, 20, **options, **SHORT)
    assert not capsys.readouterr().out
    expected = quiet(linear.bounds, 20, 1)
    np.testing.assert_allclose(found.upper, expected.upper, rtol=0, atol=1e-4)


def test_bad_arguments_are_named(linear):
    x = LINEAR.data(3)
    for name in ("num_chains", "num_leapfrog", "batch_size"):
        with pytest.raises(ValueError, match=f"{name} must be a whole number from 1"):
            sampler(LINEAR, **{name: 0})
    with pytest.raises(ValueError, match="step_size must be above 0, got -1"):
        sampler(LINEAR, step_size=-1)
    estimate = functools.partial(linear.estimate, progress=False)
    with pytest.raises(ValueError, match="num_temperatures must be"):
        estimate(x, 0)
    with pytest.raises(ValueError, match="schedule must be .* got 'cosine'"):
        estimate(x, 2, "cosine")
    with pytest.raises(ValueError, match=r"those of x have shape \(2,\)"):
        estimate(x[:, :2])
    with pytest.raises(ValueError, match=r"first is x\[0\]"):
        estimate(np.nan * x)
    with pytest.raises(ValueError, match="num_examples must be"):
        linear.bounds(0)
