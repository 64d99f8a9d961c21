"""What the tests of U-Nets and diffusion transformers share."""

import math

import keras
import numpy as np
from keras import ops

from tests.models.bert_texts import EAGER
from zoo.engine.current import engine
from zoo.presets.registry import no_initialisation
from zoo.training import Model, Phase, WeightedMean

B = 2


def batch(config):
    rng = np.random.default_rng(0)
    found = {
        "x": rng.normal(size=(B, *config.image_shape)),
        "times": np.array([0.02, 0.7]),
        "condition": rng.normal(size=(B, config.condition_dim)),
    }
    return {k: v.astype("float32") for k, v in found.items()}


def made(kind, config, **options):
    """A network whose weights are the same on every backend, and none is zero."""
    network = kind(config, name="network", **options)
    network.build()
    rng = np.random.default_rng(1)
    for variable in network.trainable_variables:
        array = 0.2 * rng.normal(size=variable.shape)
        variable.assign(array + variable.path.endswith("gamma"))
    return network


def uninitialised_size(kind, config):
    """How many weights a network has, without making them."""
    with no_initialisation():
        network = kind(config)
        network.build()
        return sum(math.prod(v.shape) for v in network.trainable_variables)


def arrays(network):
    """Copies of the weights, by their paths in the network."""
    return {
        v.path.removeprefix("network/"): np.array(engine().numpy(v))
        for v in network.trainable_variables
    }


class Trained(Model):
    """Makes a network's outputs small."""

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.network, self.built = network, True

    def phases(self):
        return (Phase("trained", self.small, [self.network]),)

    def small(self, batch):
        y = self.network(batch["x"], batch["times"], batch["condition"], training=True)
        squares = ops.mean(ops.square(y), axis=(1, 2, 3))
        return {"loss": WeightedMean.of(squares)}


def gradients(network, given):
    """Of the outputs' mean square, by path: a step of descent at rate 1 takes them."""
    before, model = arrays(network), Trained(network)
    model.compile(keras.optimizers.SGD(1.0), **EAGER)
    model.train_on_batch(given)
    return {name: before[name] - after for name, after in arrays(network).items()}


def called(network, given, training=False):
    return engine().numpy(network(**given, training=training))
