"""Normalizing flows: an invertible network from data to Gaussian noise.

Dinh et al. 2017 (RealNVP: couplings, masks, scales), Kingma & Dhariwal 2018 (Glow:
actnorm, 1 x 1 convolutions), Ho et al. 2019 (variational dequantization, gated
networks), Durkan et al. 2019 (splines). The published sizes are those of the
UvA deep-learning notebooks (phlippe/uvadlc_notebooks, tutorial 11).

Shapes: B images, (H, W, C) of an image, D = H·W·C values, K classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.configs.checks import check_choice, check_count, check_fields
from zoo.engine.current import engine
from zoo.engine.layout import GATHERED
from zoo.engine.tensors import Tensor
from zoo.generation.interpolation import decoded_ways
from zoo.layers.invertible.actnorm import ActNorm
from zoo.layers.invertible.bijection import Bijection
from zoo.layers.invertible.coupling import Coupling
from zoo.layers.invertible.mixing import Mixing
from zoo.layers.invertible.multiscale import Multiscale
from zoo.layers.invertible.networks import NETWORKS
from zoo.layers.invertible.squeeze import Squeeze
from zoo.layers.latent.dequantization import (
    VariationalDequantization,
    from_logit,
    levels_of,
    logit,
)
from zoo.layers.latent.gaussian import standard_normal_log_prob
from zoo.models.autoencoders.autoencoder import check_image_shape, pixels
from zoo.models.flows.labels import check_labels, drawn_labels
from zoo.presets.inference import BATCH, Array, Served
from zoo.presets.preset import FromPreset
from zoo.presets.registration import register
from zoo.training import Model, Phase
from zoo.training.batched import Batched
from zoo.training.checks.example_weights import mean_of, parts, total_of
from zoo.training.checks.ranges import Range
from zoo.training.phases import Batch, Terms, same_shape, shape_of

STAGES = ("checkerboard", "squeeze", "halves")
MIXINGS = ("masks", "convolution")
DEQUANTIZATIONS = ("none", "uniform", "variational")
# Halves of four pixels in a square, each in turn changing and kept.
SQUEEZED_PATTERNS = ("diagonal", "rows", "columns")


@dataclass(frozen=True)
class NormalizingFlowConfig:
    """Configuration of a flow.

    Attributes:
        image_shape: (height, width, channels), or (D,) of vectors.
        levels: gray levels of an image; 0 for continuous data of any range.
        num_classes: classes that the density is conditioned on; 0 for none.
        dequantization: "uniform" or "variational" noise on each level; "none" for
            continuous data.
        stages: kinds of stages, in order: "checkerboard" couples neighboring pixels;
            "squeeze" makes 2 x 2 pixels one and couples channels; "halves" couples
            channels without that, as vectors need it.
        steps: couplings of each stage.
        hidden: channels of the coupling networks of each stage.
        split: whether half of the channels become latents after each "squeeze".
        mixing: what precedes a coupling of channels: alternating "masks", or an
            invertible 1 x 1 "convolution".
        actnorm: whether each coupling is preceded by activation normalization.
        network: "gated", "residual" or "plain"; see
            `zoo.layers.invertible.networks.CouplingNetwork`.
        num_blocks: blocks of each coupling network.
        num_bins: bins of each coupling's spline; 0 for affine couplings.
        bound: splines are the identity outside [-bound, bound].
        noise_steps: couplings of variational dequantization.
        noise_hidden: channels of their networks.
        margin: how far images are kept from 0 and 1 before the logit.
    """

    image_shape: tuple[int, ...] = (28, 28, 1)
    levels: int = 256
    num_classes: int = 0
    dequantization: str = "uniform"
    stages: tuple[str, ...] = ("checkerboard",)
    steps: tuple[int, ...] = (8,)
    hidden: tuple[int, ...] = (32,)
    split: bool = True
    mixing: str = "masks"
    actnorm: bool = False
    network: str = "gated"
    num_blocks: int = 3
    num_bins: int = 0
    bound: float = 5.0
    noise_steps: int = 4
    noise_hidden: int = 16
    margin: float = 1e-5

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_fields(self)
        for name in ("num_blocks", "noise_steps", "noise_hidden"):
            check_count(name, getattr(self, name))
        for name, choices in (
            ("mixing", MIXINGS),
            ("network", NETWORKS),
            ("dequantization", DEQUANTIZATIONS),
        ):
            check_choice(self, name, choices)
        for name in ("num_classes", "num_bins"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"{name} must be at least 0, got {getattr(self, name)}."
                )
        if self.num_bins == 1 or self.num_bins > 500:
            raise ValueError(
                "num_bins must be from 2 to 500, or 0 for affine couplings, got "
                f"{self.num_bins}."
            )
        if not self.bound > 0 or not 0 < self.margin < 0.5:
            raise ValueError(
                "bound must be above 0, and margin between 0 and 0.5, got "
                f"{self.bound!r} and {self.margin!r}."
            )
        self._check_levels()
        self._check_stages()

    def _check_levels(self) -> None:
        if self.levels < 0 or self.levels == 1:
            raise ValueError(
                "levels must be at least 2, or 0 for continuous data, got "
                f"{self.levels}."
            )
        if (self.levels == 0) != (self.dequantization == "none"):
            raise ValueError(
                "dequantization must be 'none' for continuous data (levels=0) and "
                "only for them: without noise on discrete images, densities grow "
                f"without bound. Got {self.dequantization!r} with levels="
                f"{self.levels}."
            )

    def _check_stages(self) -> None:
        shape = self.image_shape
        if len(shape) not in (1, 3) or min(shape) < 1:
            raise ValueError(
                "image_shape must be (height, width, channels) or (D,), whole numbers "
                f"from 1, got {shape}."
            )
        lengths = {len(self.stages), len(self.steps), len(self.hidden)}
        if lengths != {len(self.stages)} or not self.stages:
            raise ValueError(
                "stages, steps and hidden must have one entry per stage, and at least "
                f"one, got {len(self.stages)}, {len(self.steps)} and "
                f"{len(self.hidden)}."
            )
        if min(*self.steps, *self.hidden) < 1:
            raise ValueError(
                f"steps and hidden must be at least 1, got {self.steps} and "
                f"{self.hidden}."
            )
        height, width, channels = self.shape
        squeezes = sum(stage == "squeeze" for stage in self.stages)
        for stage in self.stages:
            if stage not in STAGES:
                raise ValueError(f"stages must be among {STAGES}, got {stage!r}.")
            if stage == "squeeze":
                if height % 2 or width % 2:
                    raise ValueError(
                        f"image_shape must have sides that are multiples of "
                        f"{2**squeezes} for {squeezes} stages 'squeeze', got {shape}. "
                        "Pad the images, or take fewer stages."
                    )
                height, width, channels = height // 2, width // 2, 4 * channels
            if stage == "checkerboard" and height * width == 1:
                raise ValueError(
                    f"stages can't be 'checkerboard' where there is one pixel, got "
                    f"image_shape={shape}. Use 'halves'."
                )
            if stage != "checkerboard" and channels < 2:
                raise ValueError(
                    f"stages can't be {stage!r} where there is one channel, got "
                    f"image_shape={shape}. Use 'checkerboard' or 'squeeze'."
                )
            if stage == "squeeze" and self.split:
                channels -= channels // 2

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels); a vector is a single pixel."""
        shape = self.image_shape
        return (1, 1, *shape) if len(shape) == 1 else shape  # type: ignore[return-value]

    @property
    def num_values(self) -> int:
        """Values of an example, D."""
        return math.prod(self.image_shape)


_SIMPLE = NormalizingFlowConfig()
PRESETS: dict[str, NormalizingFlowConfig] = {
    # phlippe/uvadlc_notebooks, tutorial 11: 556,312 and 628,388 parameters.
    "flow_simple_28": _SIMPLE,
    "flow_variational_28": NormalizingFlowConfig(dequantization="variational"),
    # The same notebook's multiscale architecture.
    "flow_multiscale_28": NormalizingFlowConfig(
        dequantization="variational",
        stages=("checkerboard", "squeeze", "squeeze"),
        steps=(2, 2, 4),
        hidden=(32, 48, 64),
    ),
    # Dinh et al. 2017, section 4.1: three checkerboard and three channel couplings per
    # scale, and four at the end; 8 residual blocks at 32 x 32.
    "realnvp_32": NormalizingFlowConfig(
        image_shape=(32, 32, 3),
        stages=("checkerboard", "squeeze", "checkerboard"),
        steps=(3, 3, 4),
        hidden=(64, 128, 128),
        network="residual",
        num_blocks=8,
        actnorm=True,
        margin=0.05,
    ),
    # Kingma & Dhariwal 2018, table 4: CIFAR-10, affine couplings.
    "glow_32": NormalizingFlowConfig(
        image_shape=(32, 32, 3),
        stages=("squeeze", "squeeze", "squeeze"),
        steps=(32, 32, 32),
        hidden=(512, 512, 512),
        mixing="convolution",
        actnorm=True,
        network="plain",
        margin=1e-5,
    ),
}


@keras.saving.register_keras_serializable("zoo")
class NormalizingFlow(FromPreset, Model):
    """A density of images, or vectors, with exact likelihoods and latents.

    `fit` takes images (B, H, W, C) in [0, 1], or (images, labels) with classes, or a
    dict with `images`, `labels` and `noise` (B, H, W, C), uniform in [0, 1). It logs
    `loss`, the negative log-likelihood in nats per image under its dequantization, and
    `bits_per_dim`. With `levels=0` it takes vectors or images of any range.

    Args:
        config: the configuration.
        kwargs: of `keras.Model`.
    """

    Config = NormalizingFlowConfig
    class_targets = False
    # Convolutions can't be computed in shards.
    layout = (
        (
            r"(first|middle|second|expand|gate)/kernel$",
            (None, None, None, "model"),
            GATHERED,
        ),
    )

    def __init__(self, config: NormalizingFlowConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        shape = (None, *config.shape)
        self.noise = None
        if config.dequantization == "variational":
            self.noise = VariationalDequantization(
                config.noise_steps,
                squeeze=config.stages[0] == "squeeze",
                network=config.network,
                hidden=config.noise_hidden,
                num_blocks=config.num_blocks,
                condition_dim=config.num_classes,
                name="dequantization",
                dtype=self.dtype_policy,
            )
            self.noise.build(shape)
        self.flow = Multiscale(
            _scales(config, self.dtype_policy), name="flow", dtype=self.dtype_policy
        )
        self.flow.build(shape)
        self.seed = keras.random.SeedGenerator(name="noise")
        self.built = True

    # === Densities ===

    def call(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (B, D) of images, with the noise's median."""
        images = self._as_images(images)
        noise = 0.5 * ops.ones_like(images) if self.config.levels else None
        condition = self._condition(labels)
        return self.flow(self._values(images, noise, condition)[0], condition)[0]

    def log_density(
        self,
        images: Tensor,
        noise: Tensor | None = None,
        labels: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        """The log-likelihood (B,), in nats, with one draw of noise per image.

        Args:
            images: (B, H, W, C) in [0, 1], or continuous data.
            noise: uniform in [0, 1), of the images' shape; None for continuous data.
            labels: classes (B,).
            training: whether the layers are being trained.
        """
        condition = self._condition(labels)
        images = self._as_images(images)
        noise = None if noise is None else self._as_images(noise)
        values, log_volume = self._values(images, noise, condition)
        latents, log_det = self.flow(values, condition, training=training)
        return standard_normal_log_prob(latents) + log_det + log_volume

    def _as_images(self, x: Tensor) -> Tensor:
        return ops.reshape(ops.cast(x, "float32"), (-1, *self.config.shape))

    def _condition(self, labels: Tensor | None) -> Tensor | None:
        if not self.config.num_classes:
            return None
        return ops.one_hot(ops.cast(labels, "int32"), self.config.num_classes)

    def _values(
        self, images: Tensor, noise: Tensor | None, condition: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What the flow sees, and log-volumes minus log q(noise), (B,).

        A level is a cell of width 1 and the flow's data are in [0, 1], so that the
        density of each value counts `levels` times less.
        """
        if not self.config.levels:
            return images, ops.zeros_like(images[:, 0, 0, 0])
        levels = levels_of(images, self.config.levels)
        log_volume = -self.config.num_values * math.log(self.config.levels)
        if self.noise is not None:
            noise, log_q = self.noise(noise, 2.0 * images - 1.0, condition)
            log_volume = log_volume - log_q
        values, log_det = logit(
            (levels + noise) / self.config.levels, self.config.margin
        )
        return values, log_det + log_volume

    # === Training ===

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: the likelihood."""
        return (
            Phase(
                "likelihood", self.likelihood_loss, [self], weights=self.loss_weights
            ),
        )

    def prepare(self, batch: Batch) -> Batch:
        """A batch as a dict; noise is drawn unless given."""
        images, labels, weights = _split(batch)
        given = batch[0] if isinstance(batch, tuple) else batch
        prepared = {"images": ops.cast(images, "float32")}
        if self.config.num_classes:
            prepared["labels"] = ops.cast(labels, "int32")
        if self.config.levels:
            if isinstance(given, dict) and "noise" in given:
                prepared["noise"] = ops.cast(given["noise"], "float32")
            else:
                shape = (ops.shape(images)[0], *self.config.image_shape)
                prepared["noise"] = engine().uniform(shape, self.seed)
        return prepared if weights is None else {**prepared, "weights": weights}

    def likelihood_loss(self, batch: Batch, training: bool) -> Terms:
        """The negative log-likelihood, in nats per example and in bits per value."""
        nats = -self.log_density(
            batch["images"], batch.get("noise"), batch.get("labels"), training
        )
        bits = nats / (self.config.num_values * math.log(2))
        weights = batch.get("weights")
        return {
            "loss": mean_of(nats, weights),
            "bits_per_dim": mean_of(bits, weights),
        }

    def loss_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The images' total weight."""
        return total_of(batch, "loss")

    def form(self, batch: Batch) -> None:
        """Raises for images of another shape, or labels that do not fit."""
        images, labels, _ = _split(batch)
        self._check_shape(images)
        if not self.config.num_classes:
            return
        wanted = shape_of(images)[:1]
        if labels is None or not same_shape(shape_of(labels), wanted):
            got = "none" if labels is None else f"shape {shape_of(labels)}"
            raise ValueError(
                f"A flow with num_classes={self.config.num_classes} needs one label "
                f"for each image, of shape {wanted}, got {got}. Use fit(images, "
                "labels)."
            )

    def ranges(self, batch: Batch) -> tuple[Range, ...]:
        """The ranges of pixels and labels."""
        images, labels, _ = _split(batch)
        found = (pixels(images),) if self.config.levels else ()
        if self.config.num_classes:
            last = self.config.num_classes - 1
            found = (*found, Range("Labels", labels, 0, last))
        return found

    def weight_shapes(self, batch: Batch) -> list[tuple[int, ...]]:
        """One weight per image."""
        return [shape_of(_split(batch)[0])[:1]]

    def check_inputs(self, inputs: Any) -> None:
        """Raises for images of another shape or with values outside [0, 1]."""
        self._check_shape(inputs)
        if self.config.levels:
            pixels(inputs).check()
        elif not np.isfinite(np.asarray(inputs)).all():
            raise ValueError("Data must be finite, got NaN or infinity.")

    def _check_shape(self, data: Any) -> None:
        shape = self.config.image_shape
        if len(shape) == 3:
            check_image_shape(data, shape)
        elif not same_shape(shape_of(data), (None, *shape)):
            raise ValueError(
                f"Vectors must have the shape (N, {shape[0]}), got {shape_of(data)}."
            )

    def initialize(self, images: np.ndarray, labels: np.ndarray | None = None) -> None:
        """Sets the statistics of all activation norms from these images.

        Otherwise the first batch of `fit` does (of `accumulate` micro-batches, the
        first). Later batches never change them.

        Args:
            images: (N, H, W, C) in [0, 1].
            labels: classes (N,), for models with classes.
        """
        labels = self._checked(images, labels)
        batch = self.prepare((images, labels) if labels is not None else images)
        self.log_density(
            batch["images"], batch.get("noise"), batch.get("labels"), training=True
        )

    # === Likelihoods and latents ===

    def log_likelihood(
        self,
        images: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        num_samples: int = 1,
        seed: int = 0,
        batch_size: int = 256,
    ) -> np.ndarray:
        """Log-likelihoods of images, (N,) in nats.

        Of discrete images, it is the logarithm of the mean of `num_samples` importance
        weights, one for each draw of noise: a lower bound that becomes tighter with
        more of them (Ho et al. 2019, section 3.1). Of continuous data it is exact.

        Args:
            images: (N, H, W, C) in [0, 1], or continuous data.
            labels: classes (N,), for models with classes.
            num_samples: draws of noise per image.
            seed: the same seed gives the same noise.
            batch_size: images computed at once.
        """
        check_count("num_samples", num_samples)
        labels = self._checked(images, labels)
        images = np.asarray(images, "float32")
        given = [images] if labels is None else [images, labels]
        if not self.config.levels:
            return self._density(batch_size)(*given)
        rng = np.random.default_rng(seed)
        density, drawn = self._density(batch_size), []
        for _ in range(num_samples):
            noise = rng.random(images.shape, "float32")
            drawn.append(density(*given, noise))
        return np.logaddexp.reduce(drawn, axis=0) - math.log(num_samples)

    def _density(self, batch_size: int) -> Batched:
        """The compiled `log_density` of images, labels and noise, as far as given."""
        if batch_size not in self._densities:
            classes, levels = bool(self.config.num_classes), bool(self.config.levels)

            def density(images: Tensor, *more: Tensor) -> Tensor:
                labels = more[0] if classes else None
                return self.log_density(images, more[-1] if levels else None, labels)

            made = Batched(density, lambda: self.variables, batch_size)
            self._densities[batch_size] = made
        return self._densities[batch_size]

    @cached_property
    def _densities(self) -> dict[int, Batched]:
        return {}

    def encode(
        self, images: np.ndarray, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """Latents (N, D) of images, with the median of the noise on each level."""
        labels = self._checked(images, labels)
        images = np.asarray(images, "float32")
        return self._encode(images) if labels is None else self._encode(images, labels)

    def decode(
        self, latents: np.ndarray, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """Images (N, H, W, C) in [0, 1] of latents (N, D).

        Discrete images hold their levels; `decode(encode(images))` gives the images.
        """
        latents = np.asarray(latents, "float32")
        wanted = self.config.num_values
        if latents.ndim != 2 or latents.shape[1] != wanted:
            raise ValueError(
                f"Latents must have the shape (N, {wanted}), got {latents.shape}."
            )
        labels = check_labels(labels, len(latents), self.config.num_classes)
        if labels is None:
            return self._decode(latents)
        return self._decode(latents, labels)

    def reconstruct(
        self, images: np.ndarray, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """Images decoded from their own latents: themselves, to rounding."""
        return self.decode(self.encode(images, labels), labels)

    def decoded(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, *image_shape) of latents (B, D), as backend tensors."""
        values = self.flow.inverse(latents, self._condition(labels))
        if self.config.levels:
            values = from_logit(values, self.config.margin)
            levels = ops.floor(values * self.config.levels)
            top = self.config.levels - 1
            values = ops.minimum(levels, float(top)) / top
        return ops.reshape(values, (-1, *self.config.image_shape))

    @cached_property
    def _encode(self) -> Batched:
        return Batched(self.call, lambda: self.variables)

    @cached_property
    def _decode(self) -> Batched:
        return Batched(self.decoded, lambda: self.variables)

    def _checked(self, images: Any, labels: Any) -> np.ndarray | None:
        self.check_inputs(images)
        return check_labels(labels, len(images), self.config.num_classes)

    # === Generation ===

    def sample(
        self,
        count: int,
        *,
        labels: np.ndarray | None = None,
        temperature: float = 1.0,
        seed: int | None = None,
    ) -> np.ndarray:
        """Decodes latents drawn from N(0, temperature²).

        Args:
            count: how many examples to draw, N.
            labels: classes (N,); drawn uniformly by default. For models with classes
                only.
            temperature: standard deviation of the latents; below 1, samples are more
                typical and less varied (Kingma & Dhariwal 2018, section 6).
            seed: the same seed gives the same data on a backend; None draws anew.

        Returns:
            Data (N, *image_shape); images are in [0, 1].
        """
        check_count("count", count)
        if not (temperature >= 0 and math.isfinite(temperature)):
            raise ValueError(
                f"temperature must be a number from 0, got {temperature!r}."
            )
        rng = np.random.default_rng(seed)
        latents = temperature * rng.normal(size=(count, self.config.num_values))
        if labels is None:
            labels = drawn_labels(count, self.config.num_classes, rng)
        return self.decode(latents, labels)

    def interpolate(
        self,
        a: np.ndarray,
        b: np.ndarray,
        steps: int,
        spherical: bool = False,
        labels: np.ndarray | None = None,
    ) -> np.ndarray:
        """Decodes the path between the latents of two batches of images.

        Args:
            a: (N, H, W, C) in [0, 1].
            b: (N, H, W, C) in [0, 1].
            steps: points per path, both ends included.
            spherical: whether to follow the arc between the latents, not the line.
            labels: classes (N,) of both ends, for models with classes.

        Returns:
            (N, steps, H, W, C).
        """
        ends = self.encode(a, labels), self.encode(b, labels)
        repeated = None if labels is None else np.repeat(labels, steps)

        def decode(latents: np.ndarray) -> np.ndarray:
            return self.decode(latents, repeated)

        return decoded_ways(decode, *ends, steps, spherical)


def _scales(config: NormalizingFlowConfig, dtype: Any) -> list[list[Bijection]]:
    """The layers of each scale; a new one begins where channels are split off."""
    scales: list[list[Bijection]] = [[]]
    for stage, (kind, steps, hidden) in enumerate(
        zip(config.stages, config.steps, config.hidden, strict=True)
    ):
        if kind == "squeeze":
            scales[-1].append(Squeeze(name=f"squeeze_{stage}"))
        for step in range(steps):
            name = f"{stage}_{step}"
            if config.actnorm:
                scales[-1].append(ActNorm(name=f"actnorm_{name}"))
            if config.mixing == "convolution" and kind != "checkerboard":
                scales[-1].append(Mixing(seed=1000 * stage + step, name=f"mix_{name}"))
            pattern, flipped = _pattern(config, kind, step)
            scales[-1].append(
                Coupling(
                    pattern,
                    flipped,
                    config.network,
                    hidden,
                    config.num_blocks,
                    config.num_bins,
                    config.bound,
                    condition_dim=config.num_classes,
                    name=f"coupling_{name}",
                    dtype=dtype,
                )
            )
        last = stage == len(config.stages) - 1
        if kind == "squeeze" and config.split and not last:
            scales.append([])
    return scales


def _pattern(config: NormalizingFlowConfig, kind: str, step: int) -> tuple[str, bool]:
    """Which half a coupling changes, and whether the halves change places."""
    flipped = step % 2 == 1
    if kind == "checkerboard":
        return kind, flipped
    if config.mixing == "convolution":
        return "halves", False
    if kind == "halves":
        return kind, flipped
    return SQUEEZED_PATTERNS[step // 2 % 3], flipped


def _split(batch: Batch) -> tuple[Any, Any, Any]:
    """Images, labels and weights of a batch; None for those that it lacks."""
    images, labels, weights = parts(batch)
    if isinstance(images, dict):
        return images["images"], images.get("labels"), weights
    return images, labels, weights


def served_decoder(model: Any) -> Served:
    """Exports the decoder: images (B, H, W, C) of latents (B, D) and labels (B,)."""
    config = model.config
    arrays = [Array("latents", (BATCH, config.num_values), "normal")]
    if config.num_classes:
        arrays.append(Array("labels", (BATCH,), "ids", config.num_classes))
    for layer in _mixings(model.flow.scales):
        layer.held_inverse = ops.convert_to_numpy(layer.inverse_kernel())

    def function(inputs: Any) -> list[Any]:
        return [model.decoded(*(inputs[array.name] for array in arrays))]

    return Served(model.flow, function, arrays, ["images"])


def _mixings(scales: Sequence[Sequence[Bijection]]) -> list[Any]:
    return [x for scale in scales for x in scale if isinstance(x, Mixing)]


register(
    NormalizingFlow, presets=PRESETS, measured="dequantized", served=served_decoder
)
