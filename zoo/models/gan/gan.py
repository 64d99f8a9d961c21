"""GAN: two networks trained against each other (Goodfellow et al. 2014).

What GANs share whatever the data: the game, its two phases, and sampling. `DCGAN` adds
networks for images.

See also Salimans et al. 2016, section 3.4 (one-sided label smoothing), and Mirza &
Osindero 2014 (labels for both networks).

Shapes: B examples, L latent dimensions, S discriminator steps per update.
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
from zoo.engine.tensors import Tensor
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
    """Configuration of the game.

    Attributes:
        latent_dim: dimensions of the generator's noise, L.
        num_classes: classes that both networks are conditioned on; 0 for none.
        loss: one of `zoo.training.adversarial.losses.LOSSES`.
        label_smoothing: how far below 1 the real target lies.
        gradient_penalty: coefficient of the penalty, for losses that have one.
        discriminator_steps: discriminator updates per generator update, S, each on the
            batch's real data and on fresh noise. Schedules of the discriminator's
            learning rate advance with each.
    """

    latent_dim: int = 100
    num_classes: int = 0
    loss: LossName = "non_saturating"
    label_smoothing: float = 0.0
    gradient_penalty: float = 10.0
    discriminator_steps: int = 1

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_whole(self, "latent_dim", "discriminator_steps")
        check_whole(self, "num_classes", least=0)
        check_fields(self)
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {[*LOSSES]}, got {self.loss!r}.")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"label_smoothing must be in [0, 1), got {self.label_smoothing!r}."
            )
        if self.label_smoothing and not LOSSES[self.loss].has_target:
            raise ValueError(
                f"label_smoothing must be 0 with loss={self.loss!r}, which has no "
                f"target to lower, got {self.label_smoothing}."
            )
        if self.gradient_penalty < 0:
            raise ValueError(
                f"gradient_penalty must be at least 0, got {self.gradient_penalty!r}."
            )


class GAN(FromPreset, Model):
    """A generator and a discriminator, trained in alternation.

    A subclass creates `self.generator`, from latents (B, L) to data, and
    `self.discriminator`, from data to scores (B, 1). With classes, both take labels
    (B,) as a second argument.

    `fit` takes data, or (data, labels); or a dict with `real`, `labels`, `noise`
    (B, S, L) and, for the gradient penalty, `mix` (B, S). For each phase it logs
    `loss`, `real` and `fake`, and `gradient_penalty`. `real` and `fake` are D(x) and
    D(G(z)), or mean scores where the scores are not logits.
    """

    class_targets = False
    weightless = (
        "its losses compare real and generated data as a whole. Repeat examples that "
        "should count more."
    )

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.game = LOSSES[config.loss]
        self.seed = keras.random.SeedGenerator(name="noise")

    def to_network(self, data: Tensor) -> Tensor:
        """Data in the networks' units, float32."""
        return ops.cast(data, "float32")

    def from_network(self, data: Tensor) -> Tensor:
        """Generated data in the units of the training data."""
        return data

    def call(
        self, latents: Tensor, labels: Tensor | None = None, training: bool = False
    ) -> Tensor:
        """Data generated from latents (B, L) and, with classes, labels (B,)."""
        inputs = _with_labels(latents, labels)
        return self.from_network(self.generator(*inputs, training=training))

    # === Training ===

    def phases(self) -> tuple[Phase, ...]:
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

    def prepare(self, batch: Any) -> Any:
        """A batch as a dict; noise and mix are drawn unless given."""
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

    def shared(self, batch: Any, training: bool = False) -> dict[str, Any]:
        """Generated data for the generator and for the last discriminator step.

        Each earlier discriminator step runs the generator once more.
        """
        return {"fake": self._fake(batch, -1, training)}

    def discriminator_loss(
        self, batch: Any, training: bool, index: int
    ) -> dict[str, Any]:
        """Loss of discriminator step `index`: to tell real from generated data."""
        last = index == self.config.discriminator_steps - 1
        # No gradient flows to the generator here, so its graph need not be kept.
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

    def generator_loss(self, batch: Any, training: bool) -> dict[str, Any]:
        """Loss of the generator: to have its data judged real."""
        scores = self._scores(batch["fake"], batch.get("labels"), training)
        return {
            "loss": ops.mean(self.game.generator(scores)),
            "fake": ops.mean(self.game.judgement(scores)),
        }

    def _fake(self, batch: Any, index: int, training: bool) -> Tensor:
        # Keeps the size static, even where a replica has sliced out its rows.
        latents = ops.reshape(batch["noise"][:, index], (-1, self.config.latent_dim))
        inputs = _with_labels(latents, batch.get("labels"))
        return self.generator(*inputs, training=training)

    def _scores(self, data: Tensor, labels: Tensor, training: bool) -> Tensor:
        inputs = _with_labels(data, labels)
        return ops.cast(self.discriminator(*inputs, training=training), "float32")

    def form(self, batch: Any) -> None:
        """Raises for labels that are missing or not one per example."""
        real, labels = split(batch)
        if not self.config.num_classes:
            return
        _check_given(labels, self.config.num_classes)
        dtype = ops.dtype(labels)
        if "int" not in dtype or not same_shape(shape_of(labels), shape_of(real)[:1]):
            raise ValueError(
                f"Labels must be integers of shape {shape_of(real)[:1]}, got "
                f"{dtype} of shape {shape_of(labels)}."
            )

    def ranges(self, batch: Any) -> Any:
        """The range of labels."""
        if not self.config.num_classes:
            return ()
        _, labels = split(batch)
        return (Range("Labels", labels, 0, self.config.num_classes - 1),)

    # === Generation ===

    def generate(
        self, latents: np.ndarray, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """Data from any number of latents (N, L) and, with classes, labels (N,)."""
        latents = np.asarray(latents, "float32")
        if latents.ndim != 2 or latents.shape[1] != self.config.latent_dim:
            raise ValueError(
                f"{type(self).__name__} generates from latents of shape "
                f"(N, {self.config.latent_dim}), got shape {latents.shape}."
            )
        if not self.config.num_classes:
            if labels is not None:
                raise ValueError(
                    f"labels must be None for a {type(self).__name__} without classes "
                    "(num_classes=0)."
                )
            return self._generate(latents)
        _check_given(labels, self.config.num_classes)
        labels = _check_labels(labels, len(latents), self.config.num_classes)
        return self._generate(latents, labels.astype("int32"))

    def judge(self, data: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """D(x), (N,), of any number of examples; scores where they are not logits."""
        self.check(data if labels is None else (data, labels))
        return self._judge(*_with_labels(np.asarray(data, "float32"), labels))

    @cached_property
    def _generate(self) -> Batched:
        return Batched(self.call, lambda: self.variables)

    @cached_property
    def _judge(self) -> Batched:
        def judge(data: Tensor, labels: Tensor | None = None) -> Tensor:
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
        """Generates data along the path between two batches of latents.

        Args:
            a: (N, L).
            b: (N, L).
            steps: points per path, both ends included.
            spherical: whether to follow the arc between the latents, not the line.
            labels: classes (N,), for models with classes.

        Returns:
            (N, steps, ...).
        """
        if labels is not None:
            labels = np.repeat(labels, steps)
        generate = functools.partial(self.generate, labels=labels)
        return decoded_ways(generate, a, b, steps, spherical)


def _with_labels(x: Tensor, labels: Tensor) -> Tensor:
    """A network's arguments: data or latents, and labels unless None."""
    return (x,) if labels is None else (x, labels)


def split(batch: Any) -> Any:
    """Data, and labels or None, of a batch as `fit` takes it."""
    if isinstance(batch, dict):
        return batch["real"], batch.get("labels")
    return batch[:2] if isinstance(batch, tuple) else (batch, None)


def _check_given(labels: Any, num_classes: int) -> None:
    if labels is None:
        raise ValueError(
            f"labels must be given with num_classes={num_classes}. Use "
            "fit(data, labels) or generate(latents, labels)."
        )


def _check_labels(labels: Any, count: int, num_classes: int) -> Any:
    labels = np.asarray(labels)
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"Labels must be integers of shape ({count},), got {labels.dtype} of "
            f"shape {labels.shape}."
        )
    low, high = labels.min(initial=0), labels.max(initial=0)
    if not 0 <= low <= high < num_classes:
        raise ValueError(
            f"Labels must be from 0 to {num_classes - 1}, got values from {low} to "
            f"{high}."
        )
    return labels
