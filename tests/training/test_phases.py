"""Phases: who moves when, work that is shared, and the same numbers everywhere."""

import numpy as np
import pytest
from keras import ops
from keras.optimizers import SGD

from tests.training.conftest import adam_pair
from tests.training.toys import (
    GAN,
    Regression,
    RegressionConfig,
    UnsharedGAN,
    gan_batches,
    regression_batches,
    step,
    values,
    with_weights,
)
from zoo.training import WeightedMean

# Ten updates' losses (discriminator, generator) of `reference_losses`, in float64.
REFERENCE = np.array(
    [
        (1.469836675805, 0.759877907137),
        (1.443001826234, 0.746834956805),
        (1.262735415291, 0.761496901468),
        (1.195908651608, 0.729011492255),
        (1.152902073512, 0.683666522140),
        (1.173959917932, 0.691906825635),
        (1.041570836067, 0.783214970876),
        (1.213478044434, 0.821336347054),
        (1.105016742893, 0.827435099216),
        (1.103606033050, 0.840157271278),
    ]
)


def test_a_weighted_mean_keeps_total_and_weight():
    values, weights = np.array([1.0, 2.0, 4.0]), np.array([0.0, 1.0, 3.0])
    assert tuple(map(float, WeightedMean.of(values, weights))) == (14.0, 4.0)
    assert tuple(map(float, WeightedMean.of(values))) == (7.0, 3.0)


def test_a_weighted_mean_does_not_broadcast():
    """(8, 1) by (8,) would be (8, 8): the mean of something else."""
    with pytest.raises(ValueError, match=r"\(8, 1\) and weights of shape \(8,\)"):
        WeightedMean.of(np.ones((8, 1)), np.ones(8))


@pytest.mark.parametrize("moved", ["discriminator", "generator"])
def test_every_variable_moves_only_in_its_own_phase(gan, moved):
    for name, member in gan.optimizer.members.items():
        if name != moved:
            member.learning_rate = 0.0
    before = values(gan)
    step(gan, gan_batches(1)[0])
    after = values(gan)
    changed = {path for path in after if (after[path] != before[path]).any()}
    own = {v.path for v in getattr(gan, moved).trainable_variables}
    statistics = {v.path for v in gan.generator.non_trainable_variables}
    assert changed == own | statistics


def test_prepare_draws_anew_for_every_step():
    model = with_weights(Regression(RegressionConfig(noise=1.0)))
    model.compile(SGD(0.0))
    batch = regression_batches(1)[0][:2]
    assert len({step(model, batch)["loss"] for _ in range(4)}) == 4


def test_what_no_phase_trains_stays():
    class DiscriminatorOnly(GAN):
        def phases(self):
            return super().phases()[:1]

    model = with_weights(DiscriminatorOnly())
    model.compile("sgd", run_eagerly=True)
    before = values(model)
    step(model, gan_batches(1)[0])
    for variable in model.generator.trainable_variables:
        np.testing.assert_array_equal(variable, before[variable.path])


def test_shared_work_is_done_once_a_step():
    model = with_weights(GAN())
    model.compile(adam_pair(), run_eagerly=True)
    for count in (1, 2):
        step(model, gan_batches(1)[0])
        assert model.runs_of_shared == count


def test_sharing_changes_no_number(gan):
    twice = with_weights(UnsharedGAN())
    twice.compile(adam_pair())
    for batch in gan_batches(3):
        assert step(gan, batch) == pytest.approx(step(twice, batch), rel=1e-6)
    for ours, theirs in zip(
        gan.trainable_variables, twice.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_statistics_of_shared_work_advance_once_a_step(gan):
    (batch,) = gan_batches(1)
    hidden = batch["noise"] @ np.array(gan.generator.get_layer("hidden").kernel)
    norm = gan.generator.get_layer("norm")
    step(gan, batch)
    np.testing.assert_allclose(norm.moving_mean, 0.01 * hidden.mean(0), atol=1e-6)
    np.testing.assert_allclose(
        norm.moving_variance, 0.99 + 0.01 * hidden.var(0), atol=1e-6
    )


def test_shared_work_that_no_gradient_can_go_through_raises():
    class Labels(GAN):
        def shared(self, batch, training):
            labels = ops.cast(batch["real"][:, 0] > 0, "int32")
            return super().shared(batch, training) | {"labels": labels}

    model = Labels()
    model.compile(adam_pair(), run_eagerly=True)
    with pytest.raises(ValueError, match="shared.*int32.*Make it in prepare"):
        step(model, gan_batches(1)[0])


def test_ten_updates_give_the_reference_losses(gan):
    """The backends agree with each other in that each agrees with the reference."""
    logs = [step(gan, batch) for batch in gan_batches(10)]
    losses = [(log["discriminator/loss"], log["generator/loss"]) for log in logs]
    np.testing.assert_allclose(losses, REFERENCE, rtol=1e-5)


def test_the_reference_is_what_plain_torch_computes():
    pytest.importorskip("torch")
    np.testing.assert_allclose(reference_losses(), REFERENCE, rtol=1e-10)


def reference_losses():
    """The same ten updates by torch's autograd, in float64 and without Keras."""
    import torch
    from torch.nn.functional import softplus

    rng = np.random.default_rng(0)

    def matrix(*shape):
        values = rng.normal(0.0, 0.5, shape).astype("float32")
        return torch.tensor(values, dtype=torch.float64, requires_grad=True)

    def vector(size, value=0.0):
        return torch.full((size,), value, dtype=torch.float64, requires_grad=True)

    # In the order of the model's trainable variables.
    hidden, gain, shift = matrix(2, 6), vector(6, 1.0), vector(6)
    output, output_bias = matrix(6, 3), vector(3)
    generator = [hidden, gain, shift, output, output_bias]
    discriminator = [matrix(3, 6), vector(6), matrix(6, 1), vector(1)]

    def generate(noise):
        x = noise @ hidden
        x = (x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + 1e-3)
        return torch.tanh(x * gain + shift) @ output + output_bias

    def discriminate(x):
        first, first_bias, second, second_bias = discriminator
        return torch.tanh(x @ first + first_bias) @ second + second_bias

    def adam(variables, rate):
        moments = [(torch.zeros_like(v), torch.zeros_like(v)) for v in variables]

        def update(loss, number):
            gradients = torch.autograd.grad(loss, variables)
            correction = np.sqrt(1 - 0.999**number) / (1 - 0.9**number)
            with torch.no_grad():
                for v, g, (m, s) in zip(variables, gradients, moments, strict=True):
                    m += 0.1 * (g - m)
                    s += 0.001 * (g * g - s)
                    v -= rate * correction * m / (torch.sqrt(s) + 1e-7)

        return update

    update_discriminator = adam(discriminator, 0.02)
    update_generator = adam(generator, 0.01)
    losses = []
    for number, batch in enumerate(gan_batches(10), start=1):
        real = torch.tensor(batch["real"], dtype=torch.float64)
        noise = torch.tensor(batch["noise"], dtype=torch.float64)
        fake = generate(noise).detach()
        d_loss = (
            softplus(-discriminate(real)).mean() + softplus(discriminate(fake)).mean()
        )
        update_discriminator(d_loss, number)
        g_loss = softplus(-discriminate(generate(noise))).mean()
        update_generator(g_loss, number)
        losses.append((d_loss.item(), g_loss.item()))
    return np.array(losses)


def test_a_phase_that_comes_again_is_a_further_step_of_its_optimizer():
    class Twice(Regression):
        def phases(self):
            return super().phases() * 2

    once, twice = with_weights(Regression()), with_weights(Twice())
    for model in (once, twice):
        model.compile(SGD(0.1, momentum=0.9))
    (batch,) = regression_batches(1)
    losses = [float(step(once, batch)["loss"]) for _ in range(2)]
    assert float(step(twice, batch)["loss"]) == pytest.approx(losses[1], rel=1e-6)
    assert losses[1] < losses[0]
    for ours, theirs in zip(once.weights, twice.weights, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs), atol=1e-6
        )
