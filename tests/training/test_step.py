"""Micro-batches: the numbers of one batch, one update, and clear errors."""

import numpy as np
import pytest
from keras import ops
from keras.optimizers import SGD, Adam

from tests.training.toys import (
    GAN,
    GANConfig,
    Regression,
    RegressionConfig,
    gan_batches,
    regression_batches,
    step,
    with_weights,
)
from zoo.training import Phase, WarmupCosine, WeightedMean


def assert_same_training(ours, theirs, batches):
    """The same logs and weights within 1e-6, update for update."""
    for batch in batches:
        logs = step(ours, batch)
        assert logs == pytest.approx(step(theirs, batch), rel=1e-6)
        for a, b in zip(ours.variables, theirs.variables, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_four_micro_batches_equal_one_batch_with_uneven_weights(restart_weighted):
    """Two terms in the objective, one of them weighted, and a third that is logged."""
    batches = regression_batches(3)
    weights = batches[0][2][:, 0]
    assert len({weights[index::4].sum() for index in range(4)}) > 1
    assert_same_training(restart_weighted(4), restart_weighted(1), batches)


@pytest.mark.parametrize("order", [1, -1], ids=["producer last", "producer first"])
def test_four_micro_batches_equal_one_batch_in_two_phases_with_shared_work(order):
    """Of a producer that comes first, others use what it made before its update."""

    class Ordered(GAN):
        def phases(self):
            return super().phases()[::order]

    ours, theirs = (with_weights(Ordered(GANConfig(batch_norm=False))) for _ in "12")
    for model, parts in ((ours, 4), (theirs, 1)):
        optimizer = {"discriminator": SGD(0.2), "generator": SGD(0.1)}
        model.compile(optimizer, accumulate=parts)
    assert_same_training(ours, theirs, gan_batches(3))


def test_batches_of_unknown_size_are_cut_too(restart_weighted):
    """TensorFlow knows no batch size when it compiles for a Python iterator."""
    ours, theirs = restart_weighted(4), restart_weighted(1)
    for model in (ours, theirs):
        model.fit((b for b in regression_batches(3)), steps_per_epoch=3, verbose=0)
    for a, b in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_micro_batches_make_one_update_of_everything_that_counts_updates():
    """Optimizers, schedules and moving statistics, these from strided micro-batches."""
    model = with_weights(GAN())
    schedules = {
        "discriminator": WarmupCosine(0.1, total_steps=10, warmup_steps=4),
        "generator": WarmupCosine(0.2, total_steps=10, warmup_steps=4),
    }
    model.compile({name: SGD(s) for name, s in schedules.items()}, accumulate=4)
    first, *others = gan_batches(3)
    hidden = first["noise"] @ np.array(model.generator.get_layer("hidden").kernel)
    norm = model.generator.get_layer("norm")

    step(model, first)

    micro = [hidden[index::4] for index in range(4)]
    mean = np.mean([part.mean(0) for part in micro], axis=0)
    variance = np.mean([part.var(0) for part in micro], axis=0)
    np.testing.assert_allclose(norm.moving_mean, 0.01 * mean, atol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, 0.99 + 0.01 * variance, atol=1e-6)
    for updates, batch in enumerate(others, start=1):
        assert int(model.optimizer.iterations) == updates
        for name, member in model.optimizer.members.items():
            assert int(member.iterations) == updates
            rate = float(ops.convert_to_numpy(member.learning_rate))
            assert rate == pytest.approx(float(schedules[name](updates)))
        step(model, batch)


def test_micro_batches_need_no_xla(restart_weighted):
    other = with_weights(Regression(RegressionConfig(weighted=True)))
    other.compile(Adam(0.01), accumulate=4, jit_compile=False)
    assert_same_training(other, restart_weighted(4), regression_batches(1))


def test_an_indivisible_batch_names_both_numbers():
    model = Regression()
    model.compile(accumulate=3, run_eagerly=True)
    with pytest.raises(ValueError, match="batch of 8 examples.*accumulate=3"):
        step(model, regression_batches(1)[0])


def test_a_weighted_term_without_its_total_weight_says_what_to_give():
    class Forgetful(Regression):
        def phases(self):
            return (Phase("fit", self.loss_, [self.network]),)

        def loss_(self, batch):
            return {"loss": WeightedMean.of(ops.square(self(batch["x"]) - batch["y"]))}

    model = Forgetful()
    model.compile(accumulate=2, run_eagerly=True)
    with pytest.raises(ValueError, match=r"'loss'.*'fit'.*Phase\(weights=\.\.\.\)"):
        step(model, regression_batches(1)[0])


def test_a_weight_for_a_mean_over_examples_raises():
    class Contradictory(Regression):
        def phases(self):
            weights = {"weights": lambda batch: {"loss": 8.0}}
            return (Phase("fit", self.squares, [self.network], **weights),)

    model = Contradictory()
    model.compile(accumulate=2, run_eagerly=True)
    with pytest.raises(ValueError, match="'loss' of phase 'fit'.*mean over examples"):
        step(model, regression_batches(1)[0])


def test_an_objective_names_terms_that_the_loss_returns():
    class Misnamed(Regression):
        def phases(self):
            objective = {"los": 1.0}
            return (Phase("fit", self.squares, [self.network], objective),)

    model = Misnamed()
    model.compile(run_eagerly=True)
    with pytest.raises(ValueError, match=r"'fit'.*\['loss'\].*\['los'\]"):
        step(model, regression_batches(1)[0])
