"""GAN: two networks, each the other's objective (Goodfellow et al. 2014).

What GANs of every kind of data share: the game, its two phases, sampling. `DCGAN` gives
it networks for images.

Further: Salimans et al. 2016, section 3.4 (one-sided label smoothing), Mirza & Osindero
2014 (labels for both networks).

Shapes: B examples, L dimensions of a latent, S discriminator steps an update.
"""

import functools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.configs.checks import check_count, check_fields, check_whole
from zoo.engine.current import engine
from zoo.generation.interpolation import decoded_ways
from zoo.moved import old_arguments
from zoo.presets.preset import FromPreset
from zoo.training import Model, Phase
from zoo.training.adversarial.losses import LOSSES, LossName, gradient_penalty
from zoo.training.batched import Batched
from zoo.training.checks.ranges import Range
from zoo.training.phases import same_shape, shape_of


@dataclass(frozen=True)
class GANConfig:
    """The game.

    Attributes:
        latent_dim: of the generator's noise, L.
        num_classes: of labels that both networks are told; 0 for none.
        loss: one of `zoo.training.adversarial.losses.LOSSES`.
        label_smoothing: what the target of real data lies below 1.
        gradient_penalty: the penalty's coefficient, where the loss has one.
        discriminator_steps: updates of the discriminator for one of the generator, each
            on the batch's real data and on noise of its own, S. A schedule of its
            learning rate ticks as often.
    """

    latent_dim: int = 100
    num_classes: int = 0
    loss: LossName = "non_saturating"
    label_smoothing: float = 0.0
    gradient_penalty: float = 10.0
    discriminator_steps: int = 1

    def __post_init__(self) -> None:
        """Checks what can be checked before anything is built."""
        check_whole(self, "latent_dim", "discriminator_steps")
        check_whole(self, "num_classes", least=0)
        check_fields(self)
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {[*LOSSES]}, got {self.loss!r}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                "label_smoothing must be from 0 up to, but not, 1, got "
                f"{self.label_smoothing!r}"
            )
        if self.label_smoothing and not LOSSES[self.loss].has_target:
            raise ValueError(
                f"loss={self.loss!r} has no target that label_smoothing="
                f"{self.label_smoothing} could lower; leave it 0."
            )
        if self.gradient_penalty < 0:
            raise ValueError(
                f"gradient_penalty must be from 0 up, got {self.gradient_penalty!r}"
            )


class GAN(FromPreset, Model):
    """A generator and a discriminator, trained in turns.

    A subclass makes `self.generator`, from latents (B, L) to data, and
    `self.discriminator`, from data to scores (B, 1); both take labels (B,) second
    where there are classes.

    `fit` takes data, or (data, labels); or a dict with `real`, `labels`, the `noise`
    (B, S, L) and, for the gradient penalty, `mix` (B, S). It logs by phase `loss`,
    `real` and `fake`, which are D(x) and D(G(z)), or mean scores where these are no
    logits, and `gradient_penalty`.
    """

    class_targets = False
    weightless = (
        "its losses compare real data with generated data as a whole. Give data that "
        "are to count more several times."
    )

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.game = LOSSES[config.loss]
        self.seed = keras.random.SeedGenerator(name="noise")

    def to_network(self, data):
        """Data in the units that the networks work in, float32."""
        return ops.cast(data, "float32")

    def from_network(self, data):
        """The inverse, of generated data."""
        return data

    def call(self, latents, labels=None, training: bool = False):
        """Data of latents (B, L), and of labels (B,) where there are classes."""
        inputs = _with_labels(latents, labels)
        return self.from_network(self.generator(*inputs, training=training))

    # === Training ===

    def phases(self):
        """The discriminator's steps, then the generator's."""
        steps = [
            functools.partial(self.discriminator_loss, index=index)
            for index in range(self.config.discriminator_steps)
        ]
        return (
            *(Phase("discriminator", step, [self.discriminator]) for step in steps),
            Phase(
                "generator", self.generator_loss, [self.generator], through_shared=True
            ),
        )

    def prepare(self, batch):
        """Real data, labels and noise; what is random is drawn unless it is given."""
        real, labels = split(batch)
        prepared = {**batch} if isinstance(batch, dict) else {}
        prepared["real"] = self.to_network(real)
        if self.config.num_classes:
            _check_given(labels, self.config.num_classes)
            prepared["labels"] = ops.cast(labels, "int32")
        shape = (ops.shape(real)[0], self.config.discriminator_steps)
        if "noise" not in prepared:
            noise = engine().normal((*shape, self.config.latent_dim), self.seed)
            prepared["noise"] = noise
        if self.game.penalised and "mix" not in prepared:
            prepared["mix"] = engine().uniform(shape, self.seed)
        return prepared

    def shared(self, batch, training: bool = False):
        """The data that the discriminator's last step and the generator's learn from.

        Before that, the generator runs once more for each further step.
        """
        return {"fake": self._fake(batch, -1, training)}

    def discriminator_loss(self, batch, training, index):
        """Step number `index`: to tell real data from generated data."""
        last = index == self.config.discriminator_steps - 1
        # The generator's gradient is not asked for here; nor is its graph to be kept.
        fake = (
            batch["fake"]
            if last
            else ops.stop_gradient(self._fake(batch, index, training))
        )
        real, labels = batch["real"], batch.get("labels")
        real_scores = self._scores(real, labels, training)
        fake_scores = self._scores(fake, labels, training)
        target = 1.0 - self.config.label_smoothing
        loss = ops.mean(self.game.real(real_scores, target))
        loss = loss + ops.mean(self.game.fake(fake_scores))
        terms = {
            "real": ops.mean(self.game.judgement(real_scores)),
            "fake": ops.mean(self.game.judgement(fake_scores)),
        }
        if self.game.penalised:
            terms["gradient_penalty"] = gradient_penalty(
                lambda x: self._scores(x, labels, training=False),
                real,
                fake,
                batch["mix"][:, index],
            )
            loss = loss + self.config.gradient_penalty * terms["gradient_penalty"]
        return {"loss": loss, **terms}

    def generator_loss(self, batch, training):
        """To have generated data taken for real."""
        scores = self._scores(batch["fake"], batch.get("labels"), training)
        return {
            "loss": ops.mean(self.game.generator(scores)),
            "fake": ops.mean(self.game.judgement(scores)),
        }

    def _fake(self, batch, index, training):
        # Of a size that is known also where a replica cut its rows out.
        latents = ops.reshape(batch["noise"][:, index], (-1, self.config.latent_dim))
        inputs = _with_labels(latents, batch.get("labels"))
        return self.generator(*inputs, training=training)

    def _scores(self, data, labels, training):
        inputs = _with_labels(data, labels)
        return ops.cast(self.discriminator(*inputs, training=training), "float32")

    def form(self, batch) -> None:
        """Labels that are missing, or not one for each example, raise."""
        real, labels = split(batch)
        if not self.config.num_classes:
            return
        _check_given(labels, self.config.num_classes)
        dtype = ops.dtype(labels)
        if "int" not in dtype or not same_shape(shape_of(labels), shape_of(real)[:1]):
            raise ValueError(
                f"Labels must be whole numbers of shape {shape_of(real)[:1]}, got "
                f"{dtype} of shape {shape_of(labels)}"
            )

    def ranges(self, batch):
        """Labels."""
        if not self.config.num_classes:
            return ()
        _, labels = split(batch)
        return (Range("Labels", labels, 0, self.config.num_classes - 1),)

    # === Generation ===

    def generate(
        self, latents: np.ndarray, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """Data for any number of latents (N, L), with labels (N,) where conditional."""
        latents = np.asarray(latents, "float32")
        if latents.ndim != 2 or latents.shape[1] != self.config.latent_dim:
            raise ValueError(
                f"{type(self).__name__} generates from arrays of shape "
                f"(N, {self.config.latent_dim}), got shape {latents.shape}"
            )
        if not self.config.num_classes:
            if labels is not None:
                raise ValueError(
                    f"{type(self).__name__} has no classes (num_classes=0), got labels"
                )
            return self._generate(latents)
        _check_given(labels, self.config.num_classes)
        labels = _check_labels(labels, len(latents), self.config.num_classes)
        return self._generate(latents, labels.astype("int32"))

    def judge(self, data: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """D(x) (N,) of any number of data, or scores where they are no logits."""
        self.check(data if labels is None else (data, labels))
        return self._judge(*_with_labels(np.asarray(data, "float32"), labels))

    @cached_property
    def _generate(self) -> Batched:
        return Batched(self.call, lambda: self.variables)

    @cached_property
    def _judge(self) -> Batched:
        def judge(data, labels=None):
            scores = self._scores(self.to_network(data), labels, training=False)
            return self.game.judgement(scores[:, 0])

        return Batched(judge, lambda: self.variables)

    @old_arguments("num_samples", "seed", "labels")
    def sample(
        self,
        count: int,
        *,
        seed: int | None = None,
        labels: np.ndarray | None = None,
    ) -> np.ndarray:
        """Generates data from latents drawn from N(0, 1).

        Args:
            count: how many examples to draw, N.
            seed: the same seed gives the same data on a backend; None draws anew.
            labels: classes (N,); drawn uniformly by default. For models with classes
                only.

        Returns:
            Data (N, ...).
        """
        check_count("count", count)
        rng = np.random.default_rng(seed)
        latents = rng.normal(size=(count, self.config.latent_dim))
        if labels is None and self.config.num_classes:
            labels = rng.integers(self.config.num_classes, size=count)
        return self.generate(latents, labels)

    def interpolate(
        self,
        a: np.ndarray,
        b: np.ndarray,
        steps: int,
        spherical: bool = False,
        labels: np.ndarray | None = None,
    ) -> np.ndarray:
        """Data on the way between two batches of latents.

        Args:
            a: (N, L).
            b: likewise.
            steps: how many, both ends included.
            spherical: along the arc between the latents, not the line.
            labels: (N,), where there are classes.

        Returns:
            (N, steps, ...).
        """
        if labels is not None:
            labels = np.repeat(labels, steps)
        generate = functools.partial(self.generate, labels=labels)
        return decoded_ways(generate, a, b, steps, spherical)


def _with_labels(x, labels):
    """A network's arguments."""
    return (x,) if labels is None else (x, labels)


def split(batch):
    """Data and labels, or None, of what `fit` takes."""
    if isinstance(batch, dict):
        return batch["real"], batch.get("labels")
    return batch[:2] if isinstance(batch, tuple) else (batch, None)


def _check_given(labels, num_classes):
    if labels is None:
        raise ValueError(
            f"num_classes={num_classes}: give labels with the data, as in "
            "fit(data, labels) or generate(latents, labels)."
        )


def _check_labels(labels, count, num_classes):
    labels = np.asarray(labels)
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"Labels must be whole numbers of shape ({count},), got {labels.dtype} of "
            f"shape {labels.shape}"
        )
    low, high = labels.min(initial=0), labels.max(initial=0)
    if not 0 <= low <= high < num_classes:
        raise ValueError(
            f"Labels must be from 0 to {num_classes - 1}, got {low} to {high}"
        )
    return labels
