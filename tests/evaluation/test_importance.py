import functools

import numpy as np
import pytest
from keras import ops

from tests.evaluation.latent_models import Binary, Linear
from zoo.likelihood.importance import ImportanceSampler, elbo, importance_weighted_bound

LINEAR = Linear()


def sampler(model, encode=None, **options):
    """Returns a sampler with shapes that most tests share, so noise compiles once."""
    draw = ImportanceSampler(
        encode or model.encode,
        model.decode,
        model.observation,
        **{"batch_size": 3, "chunk": 100} | options,
    )
    return functools.partial(draw, progress=False)


@pytest.fixture(scope="module")
def wider():
    """Samples a posterior with four times the true variance."""
    encode = functools.partial(LINEAR.encode, widening=4.0)
    return sampler(LINEAR, encode, variables=LINEAR.variables)


def test_with_the_exact_posterior_every_weight_is_the_likelihood():
    x = LINEAR.data(7)
    # Ragged: three batches of at most three examples, two chunks of 100 samples.
    found = sampler(LINEAR)(x, 150)
    expected = LINEAR.log_likelihood(x)
    np.testing.assert_allclose(found.bound, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.elbo, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.effective_sample_size, 150, rtol=0, atol=0.01)


def test_with_a_wider_posterior_the_bound_is_close_and_the_elbo_below(wider):
    x, samples = LINEAR.data(4), 10_050
    found, expected = wider(x, samples), LINEAR.log_likelihood(x)
    np.testing.assert_allclose(found.bound, expected, rtol=0, atol=0.05)
    # KL of diagonal Gaussians, equal means, four times the variance: two latents.
    divergence = 2 * 0.5 * (4 - 1 - np.log(4))
    np.testing.assert_allclose(found.elbo, expected - divergence, rtol=0, atol=0.1)
    # E[w]² / E[w²] is the root of (2 - 1/4) / 4 for each of two latents.
    sizes = found.effective_sample_size / samples
    np.testing.assert_allclose(sizes, 7 / 16, rtol=0, atol=0.03)


def test_the_bound_of_a_network_is_the_integral_over_its_latents():
    model = Binary()
    x = model.data(3)
    found = sampler(model)(x, 5000).bound
    np.testing.assert_allclose(found, model.log_likelihood(x), rtol=0, atol=0.1)


def test_samples_are_decoded_a_chunk_at_a_time():
    rows = []

    def decode(z):
        rows.append(z.shape[0])
        return LINEAR.decode(z)

    draw = ImportanceSampler(
        LINEAR.encode, decode, LINEAR.observation, batch_size=3, chunk=100
    )
    x = LINEAR.data(5)
    found = draw(x, 1000, progress=False).bound
    assert max(rows) == 3 * 100
    np.testing.assert_allclose(found, LINEAR.log_likelihood(x), rtol=0, atol=1e-4)


def test_the_seed_decides(wider):
    x = LINEAR.data(3)
    first, again, other = (wider(x, 6, seed=seed).bound for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).min() > 1e-4


def test_new_weights_are_seen():
    model = Linear()
    draw, x = sampler(model, variables=model.variables), model.data(3)
    before = draw(x, 3).bound
    kernel, bias = model.decode.get_weights()
    model.decode.set_weights([kernel, bias + 1])
    assert np.abs(draw(x, 3).bound - before).min() > 0.1


def test_the_short_forms_and_the_bar(capsys):
    x, options = LINEAR.data(3), {"chunk": 100, "batch_size": 3}
    arguments = (x, LINEAR.encode, LINEAR.decode, LINEAR.observation, 3)
    expected = LINEAR.log_likelihood(x)
    found = importance_weighted_bound(*arguments, **options)
    assert "1/1" in capsys.readouterr().out
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    found = elbo(*arguments, **options, progress=False)
    assert not capsys.readouterr().out
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_bad_arguments_are_named(wider):
    x = LINEAR.data(3)
    with pytest.raises(ValueError, match="num_samples must be a whole number from 1"):
        wider(x, 0)
    with pytest.raises(ValueError, match=r"chunk must be .* got 2.5"):
        sampler(LINEAR, chunk=2.5)
    with pytest.raises(ValueError, match=r"got shape \(3,\)"):
        wider(x[:, 0])
    with pytest.raises(ValueError, match=r"first is x\[1\]"):
        wider(np.where(np.arange(3)[:, None] == 1, np.nan, x))
    with pytest.raises(ValueError, match=r"shape \(3,\), but those of x .* \(1,\)"):
        sampler(LINEAR, lambda x: (ops.zeros((3, 2)), ops.zeros((3, 2))))(x[:, :1])
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(3, 1\)"):
        sampler(LINEAR, lambda x: (x[:, :2], x[:, :1]))(x)
    with pytest.raises(ValueError, match=r"3 of 3 examples .* x\[0\] is nan"):
        sampler(LINEAR, lambda x: (np.nan * x[:, :2], x[:, :2]))(x, 2)
