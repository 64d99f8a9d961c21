"""Small models with every kind of work that phases can ask for, and their data."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops

from zoo.training import Model, Phase, WeightedMean

FEATURES, NOISE, WIDTH = 3, 2, 6


@dataclass(frozen=True)
class RegressionConfig:
    """`weighted` adds a weighted term and logs a third; `noise` disturbs inputs."""

    weighted: bool = False
    noise: float = 0.0


@keras.saving.register_keras_serializable("tests")
class Regression(Model):
    """One phase. Batches are (x, y), or (x, y, weights) for the weighted one."""

    Config = RegressionConfig

    def __init__(self, config=RegressionConfig(), **kwargs):
        super().__init__(config, **kwargs)
        dtype = {"dtype": self.dtype_policy}
        self.network = keras.Sequential(
            [
                keras.Input((FEATURES,)),
                layers.Dense(WIDTH, activation="tanh", name="hidden", **dtype),
                layers.Dense(1, name="output", **dtype),
            ]
        )
        self.seed = keras.random.SeedGenerator(0) if config.noise else None

    def call(self, x):
        return ops.cast(self.network(x), "float32")

    def prepare(self, batch):
        batch = dict(zip(("x", "y", "weights"), batch, strict=False))
        if self.config.noise:
            noise = keras.random.normal(ops.shape(batch["x"]), seed=self.seed)
            batch["x"] += self.config.noise * noise
        return batch

    def phases(self):
        if not self.config.weighted:
            return (Phase("fit", self.squares, trains=[self.network]),)
        return (
            Phase(
                "fit",
                self.weighted_squares,
                trains=[self.network],
                objective={"squares": 1.0, "size": 0.1},
                weights=lambda batch: {"squares": ops.sum(batch["weights"])},
            ),
        )

    def squares(self, batch):
        return {"loss": ops.mean(ops.square(self(batch["x"]) - batch["y"]))}

    def weighted_squares(self, batch):
        y = self(batch["x"])
        squares = ops.square(y - batch["y"])
        return {
            "squares": WeightedMean.of(squares, batch["weights"]),
            "size": ops.mean(ops.square(y)),
            "error": WeightedMean.of(ops.abs(y - batch["y"]), batch["weights"]),
        }


@dataclass(frozen=True)
class GANConfig:
    """What differs between the toy GANs."""

    batch_norm: bool = True


@keras.saving.register_keras_serializable("tests")
class GAN(Model):
    """Two phases that share the generator's output.

    Batches hold `real` and `noise`, and a factor of each phase's loss, by which a
    test can make that phase's gradient overflow.
    """

    Config = GANConfig

    def __init__(self, config=GANConfig(), **kwargs):
        super().__init__(config, **kwargs)
        dtype = {"dtype": self.dtype_policy}
        norm = [layers.BatchNormalization(name="norm", **dtype)]
        self.generator = keras.Sequential(
            [
                keras.Input((NOISE,)),
                # A bias before BatchNorm has no gradient but rounding errors, which
                # Adam makes as large as any other gradient.
                layers.Dense(WIDTH, use_bias=False, name="hidden", **dtype),
                *(norm if config.batch_norm else []),
                layers.Activation("tanh", **dtype),
                layers.Dense(FEATURES, name="output", **dtype),
            ],
            name="generator",
        )
        self.discriminator = keras.Sequential(
            [
                keras.Input((FEATURES,)),
                layers.Dense(WIDTH, activation="tanh", name="hidden", **dtype),
                layers.Dense(1, name="output", **dtype),
            ],
            name="discriminator",
        )
        self.runs_of_shared = 0

    def call(self, noise, training=False):
        return self.generator(noise, training=training)

    def phases(self):
        return (
            Phase("discriminator", self.discriminator_loss, [self.discriminator]),
            Phase(
                "generator",
                self.generator_loss,
                [self.generator],
                through_shared=True,
            ),
        )

    def shared(self, batch, training):
        self.runs_of_shared += 1
        return {"fake": self.generator(batch["noise"], training=training)}

    def discriminator_loss(self, batch):
        real = ops.softplus(-self._logits(batch["real"]))
        fake = ops.softplus(self._logits(batch["fake"]))
        factor = ops.mean(batch["discriminator_factor"])
        real, fake = factor * ops.mean(real), factor * ops.mean(fake)
        return {"loss": real + fake, "real": real, "fake": fake}

    def generator_loss(self, batch):
        loss = ops.mean(ops.softplus(-self._logits(batch["fake"])))
        return {"loss": ops.mean(batch["generator_factor"]) * loss}

    def _logits(self, x):
        return ops.cast(self.discriminator(x), "float32")


@keras.saving.register_keras_serializable("tests")
class UnsharedGAN(GAN):
    """The same; each phase runs the generator for itself."""

    shared = Model.shared

    def discriminator_loss(self, batch, training):
        fake = self.generator(batch["noise"], training=training)
        return super().discriminator_loss({**batch, "fake": fake})

    def generator_loss(self, batch, training):
        fake = self.generator(batch["noise"], training=training)
        return super().generator_loss({**batch, "fake": fake})


def regression_batches(count, size=8, seed=0):
    """(x, y, weights), the weights uneven and some of them zero."""
    rng = np.random.default_rng(seed)
    return [
        (
            rng.normal(size=(size, FEATURES)).astype("float32"),
            rng.normal(size=(size, 1)).astype("float32"),
            rng.integers(0, 4, size=(size, 1)).astype("float32"),
        )
        for _ in range(count)
    ]


def gan_batches(count, size=8, seed=0):
    """As `GAN` takes them."""
    rng = np.random.default_rng(seed)
    return [
        {
            "real": rng.normal(1.0, 0.5, size=(size, FEATURES)).astype("float32"),
            "noise": rng.normal(size=(size, NOISE)).astype("float32"),
            "discriminator_factor": np.ones(size, "float32"),
            "generator_factor": np.ones(size, "float32"),
        }
        for _ in range(count)
    ]


def with_weights(model, seed=0, stddev=0.5):
    """The model, its matrices and kernels drawn by NumPy: the same everywhere."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        if len(variable.shape) >= 2:
            variable.assign(rng.normal(0.0, stddev, variable.shape))
    return model


def values(model):
    """Copies of all variables by path."""
    return {w.path: np.array(ops.convert_to_numpy(w)) for w in model.variables}


def step(model, batch):
    """One update; the terms of this batch alone."""
    return model.train_on_batch(batch, return_dict=True)
