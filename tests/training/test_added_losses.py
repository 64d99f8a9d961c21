"""`add_loss` and regularizers count as in Keras, in the phase that trains the layer."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.optimizers import SGD

from tests.training.toys import (
    FEATURES,
    GAN,
    GANConfig,
    gan_batches,
    step,
    with_weights,
)
from zoo.training import Model, Phase

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, FEATURES)).astype("float32")
Y = RNG.normal(size=(8, 1)).astype("float32")


@keras.saving.register_keras_serializable("tests")
class Charge(layers.Layer):
    """Adds the mean square of what passes through it to the loss."""

    def call(self, x):
        self.add_loss(0.3 * ops.mean(ops.square(x)))
        return x


def network():
    return keras.Sequential(
        [
            keras.Input((FEATURES,)),
            layers.Dense(
                5,
                "tanh",
                kernel_regularizer=keras.regularizers.L2(0.1),
                activity_regularizer=keras.regularizers.L1(0.2),
            ),
            Charge(),
            layers.Dense(1, bias_regularizer=keras.regularizers.L1(0.05)),
        ]
    )


class Regularized(Model):
    """One phase; the network is called `calls` times."""

    def __init__(self, calls=1):
        super().__init__()
        self.network, self.calls = network(), calls

    def phases(self):
        return (Phase("fit", self.squares, [self.network]),)

    def squares(self, batch):
        x, y = batch
        for _ in range(self.calls):
            out = self.network(x)
        return {"loss": ops.mean(ops.square(out - y))}


def arrays(variables):
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


def test_all_that_layers_add_counts_as_in_keras():
    ours, theirs = with_weights(Regularized()), with_weights(network())
    ours.compile(SGD(0.1))
    theirs.compile(SGD(0.1), "mse")
    for _ in range(3):
        found = step(ours, (X, Y))
        expected = theirs.train_on_batch(X, Y, return_dict=True)["loss"]
        assert found["loss"] == pytest.approx(expected, rel=1e-5)
    for a, b in zip(arrays(ours.weights), arrays(theirs.weights), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    found = ours.evaluate(X, Y, verbose=0, return_dict=True)["loss"]
    assert found == pytest.approx(theirs.evaluate(X, Y, verbose=0), rel=1e-5)


def test_what_each_of_several_calls_adds_counts():
    once, twice = with_weights(Regularized()), with_weights(Regularized(calls=2))
    for model in (once, twice):
        model.compile(SGD(0.0))
    one, two = step(once, (X, Y)), step(twice, (X, Y))
    kernel, bias = once.network.layers[0].kernel, once.network.layers[-1].bias
    weights = 0.1 * np.square(ops.convert_to_numpy(kernel)).sum()
    weights += 0.05 * np.abs(ops.convert_to_numpy(bias)).sum()
    added = one["added_loss"] - weights
    assert two["added_loss"] == pytest.approx(2 * added + weights, rel=1e-5)


def test_micro_batches_and_one_batch_agree():
    whole, parts = with_weights(Regularized()), with_weights(Regularized())
    whole.compile(SGD(0.1))
    parts.compile(SGD(0.1), accumulate=4)
    for _ in range(2):
        a, b = step(whole, (X, Y)), step(parts, (X, Y))
        assert a == pytest.approx(b, rel=1e-5)
    for a, b in zip(arrays(whole.weights), arrays(parts.weights), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def regularized_gan(accumulate=1):
    """A GAN with a charge in each network's first layer, and a decayed matrix."""
    model = with_weights(GAN(GANConfig(batch_norm=False)))
    for network, rate in ((model.generator, 0.5), (model.discriminator, 0.25)):
        layer = network.get_layer("hidden")
        layer.activity_regularizer = keras.regularizers.L2(rate)
        layer.kernel.regularizer = keras.regularizers.L2(rate / 10)
    model.compile(
        {"discriminator": SGD(0.1), "generator": SGD(0.1)}, accumulate=accumulate
    )
    return model


def test_a_phase_is_charged_for_the_layers_that_it_trains_alone():
    model, batch = regularized_gan(), gan_batches(1)[0]
    model.compile({"discriminator": SGD(0.0), "generator": SGD(0.0)})
    logs = step(model, batch)
    fake = ops.convert_to_numpy(model.generator(batch["noise"], training=True))

    def charge(network, x, rate, training=None):
        layer = network.get_layer("hidden")
        active = np.square(ops.convert_to_numpy(layer(x))).sum() / len(x)
        kernel = np.square(ops.convert_to_numpy(layer.kernel)).sum()
        return rate * active + rate / 10 * kernel

    kernel = np.square(
        ops.convert_to_numpy(model.discriminator.get_layer("hidden").kernel)
    ).sum()
    expected = charge(model.discriminator, batch["real"], 0.25)
    expected += charge(model.discriminator, fake, 0.25) - 0.025 * kernel
    assert logs["discriminator/added_loss"] == pytest.approx(expected, rel=1e-4)
    # The generator ran in shared(), and its phase alone is charged for it.
    expected = charge(model.generator, batch["noise"], 0.5)
    assert logs["generator/added_loss"] == pytest.approx(expected, rel=1e-4)


def test_what_shared_work_adds_moves_what_it_trains():
    """The discriminator's charge on generated data does not reach the generator."""
    model, batch = regularized_gan(), gan_batches(1)[0]
    # Without a loss of its own, the generator follows its charge alone.
    batch["generator_factor"] = np.zeros_like(batch["generator_factor"])
    before = arrays(model.generator.trainable_variables)
    kernel = model.generator.get_layer("hidden").kernel
    x, w = batch["noise"], np.array(ops.convert_to_numpy(kernel))
    step(model, batch)
    gradient = 2 * 0.5 * x.T @ (x @ w) / len(x) + 2 * 0.05 * w
    np.testing.assert_allclose(
        ops.convert_to_numpy(kernel), w - 0.1 * gradient, atol=1e-5
    )
    for a, b in zip(arrays(model.generator.trainable_variables), before, strict=True):
        if a.shape != w.shape:
            np.testing.assert_allclose(a, b, atol=1e-7)


def test_micro_batches_share_the_charges_of_shared_work():
    whole, parts, batch = regularized_gan(), regularized_gan(2), gan_batches(1)[0]
    assert step(whole, batch) == pytest.approx(step(parts, batch), rel=1e-5)
    for a, b in zip(arrays(whole.weights), arrays(parts.weights), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_model_that_adds_nothing_has_no_such_term():
    model = with_weights(GAN())
    model.compile({"discriminator": SGD(0.1), "generator": SGD(0.1)})
    assert not [name for name in step(model, gan_batches(1)[0]) if "added" in name]


@pytest.mark.parametrize("hook", ["compute_loss", "compute_metrics"])
def test_hooks_that_no_step_calls_are_refused(hook):
    kind = type("Hooked", (Regularized,), {hook: lambda self, *args, **kwargs: 0.0})
    with pytest.raises(ValueError, match=rf"Hooked overrides {hook}\(\).*phases\(\)"):
        kind().compile("adam")


@pytest.mark.parametrize("policy", ["bfloat16", "float16"])
def test_weights_of_16_bits_are_refused(policy):
    class Narrow(Regularized):
        def __init__(self):
            Model.__init__(self)
            self.network = keras.Sequential(
                [keras.Input((FEATURES,)), layers.Dense(1, dtype=policy)]
            )

    with pytest.raises(ValueError, match=f"stored in {policy}.*mixed_bfloat16"):
        Narrow().compile("adam")
