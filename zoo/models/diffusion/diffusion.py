"""Diffusion: a network that takes noise out of images, in many small steps.

Ho et al. 2020 (DDPM), Nichol & Dhariwal 2021 (the cosine schedule), Song et al. 2021
(scores and the probability flow), Salimans & Ho 2022 (velocity), Karras et al. 2022
(EDM), Lipman et al. 2023 and Liu et al. 2023 (flow matching, rectified flow) differ in
the noising path, in what the network predicts and in how its errors weigh; each is a
configuration here. Ho & Salimans 2022 (classifier-free guidance).

Data are noised as x_t = alpha(t)·data + sigma(t)·noise, from t = 0, the data, to t = 1,
the noise. A network that estimates both parts from x_t also gives the direction of the
probability flow, an ODE that carries noise to data and back.

Shapes: B images, (H, W, C) of an image, L tokens of a text, D condition dimensions.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.models.autoencoders.autoencoder import check_image_shape, check_images, pixels
from zoo.models.diffusion.conditions import ClassCondition, TextCondition
from zoo.models.diffusion.config import PRESETS, DiffusionConfig
from zoo.models.diffusion.dit import LAYOUT as DIT_LAYOUT
from zoo.models.diffusion.dit import DiT
from zoo.models.diffusion.drawing import Draws
from zoo.models.diffusion.unet import LAYOUT as UNET_LAYOUT
from zoo.models.diffusion.unet import UNet
from zoo.models.diffusion.units import Units
from zoo.presets.inference import BATCH, Array, Served
from zoo.presets.preset import FromPreset
from zoo.presets.registration import register
from zoo.training import Model, Phase
from zoo.training.checks.example_weights import mean_of, parts, total_of
from zoo.training.checks.ranges import Range
from zoo.training.phases import Batch, Terms, same_shape, shape_of


@keras.saving.register_keras_serializable("zoo")
class Diffusion(Draws, FromPreset, Model):
    """A diffusion model or flow of images.

    `fit` takes images (B, H, W, C) in [0, 1]; with classes, (images, labels); with
    texts, (images, token ids), see `tokens`. Or a dict of `images` and `conditions`
    and, unless they are to be drawn, `times` (B,) in [0, 1], `noise` and `jitter` (the
    dequantisation's) of the images' shape, and `drops` (B,), 1 where the condition is
    left out. It logs `loss`, the weighted squared error per value, and `noise_error`,
    the squared error of the estimated noise.
    """

    Config = DiffusionConfig
    class_targets = False
    divided = ("width",)
    layout = (
        (r"condition/(table|tokens)/embeddings$", (None, "model")),
        *UNET_LAYOUT,
        *DIT_LAYOUT,
    )

    def __init__(self, config: DiffusionConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = {"dtype": self.dtype_policy}
        self.units = Units(config.levels, config.space)
        self.noising = config.noising
        self.condition: ClassCondition | TextCondition | None = None
        if config.num_classes:
            self.condition = ClassCondition(
                config.num_classes, config.condition_dim, name="condition", **dtype
            )
        elif config.vocab_size:
            self.condition = TextCondition(
                config.vocab_size,
                config.text_length,
                config.condition_dim,
                config.text_layers,
                config.num_heads,
                name="condition",
                **dtype,
            )
        if self.condition is not None:
            self.condition.build()
        network = {"unet": UNet, "dit": DiT}[config.network]
        self.network = network(config.network_config, name="network", **dtype)
        self.network.build()
        self.seed = keras.random.SeedGenerator(name="noise")
        self.built = True

    def estimate(
        self,
        noised: Tensor,
        times: Tensor,
        conditions: Tensor | None = None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Data and noise, float32, as the network estimates them.

        Args:
            noised: (B, H, W, C).
            times: (B,) from 0 to 1.
            conditions: classes (B,) or token ids (B, L), for models that take them.
            training: whether dropout is on.
        """
        predicted = self._predicted(noised, times, conditions, training)
        return self.noising.prediction.estimates(noised, predicted, times)

    def _predicted(
        self, noised: Tensor, times: Tensor, conditions: Tensor | None, training: bool
    ) -> Tensor:
        """What the network gives, in the units of the configuration's prediction."""
        vectors = None
        if self.condition is not None:
            vectors = self.condition(conditions, training=training)
        x, places = self.noising.prediction.inputs(noised, times)
        if self.config.network == "dit":
            return self.network(x, places, vectors, training=training)
        x = folded(x, self.config.patch_size)
        x = self.network(x, places, vectors, training=training)
        return unfolded(x, self.config.patch_size)

    def guided(
        self, noised: Tensor, times: Tensor, conditions: Tensor, guidance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Data and noise with classifier-free guidance: u + g·(c - u).

        c is the estimate given the condition and u that given none (Ho & Salimans 2022,
        equation 6, whose w is g - 1).
        """
        assert self.condition is not None
        nothing = ops.full_like(conditions, self.condition.nothing)
        found = self.estimate(
            ops.concatenate([noised, noised]),
            ops.concatenate([times, times]),
            ops.concatenate([conditions, nothing]),
        )
        pairs = [ops.split(x, 2) for x in found]
        data, noise = (u + guidance * (c - u) for c, u in pairs)
        return data, noise

    def velocity(self, x: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
        """The probability flow dx/dt (B, H, W, C) at x and times (B,)."""
        predicted = self._predicted(x, times, conditions, training=False)
        return self.noising.flow(x, predicted, times)

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Tensor:
        """The estimated data (B, H, W, C) of `noised`, `times` and `conditions`."""
        return self.estimate(
            inputs["noised"], inputs["times"], inputs.get("conditions"), training
        )[0]

    # === Training ===

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: to estimate the parts of a noised image."""
        return (
            Phase("denoising", self.denoising_loss, [self], weights=self.loss_weights),
        )

    def prepare(self, batch: Batch) -> Batch:
        """A batch as a dict; draws the times, noise, jitter and drops that it lacks."""
        images, conditions, weights = _split(batch)
        given = _given(batch)
        given["images"] = images = ops.cast(images, "float32")
        shape = ops.shape(images)
        if "times" not in given:
            # One offset and equal steps: every batch covers the whole range, so the
            # loss varies less (Kingma et al. 2021, appendix I.1).
            offset = engine().uniform((1,), self.seed)
            places = ops.cast(ops.arange(shape[0]), "float32")
            places = places / ops.cast(shape[0], "float32")
            given["times"] = ops.mod(offset + places, 1.0)
        if "noise" not in given:
            given["noise"] = engine().normal(shape, self.seed)
        if "jitter" not in given and self.config.dequantise:
            given["jitter"] = engine().uniform(shape, self.seed)
        if self.condition is not None:
            given["conditions"] = ops.cast(conditions, "int32")
            if "drops" not in given and self.config.condition_drop:
                chances = engine().uniform(shape[:1], self.seed)
                drops = chances < self.config.condition_drop
                given["drops"] = ops.cast(drops, "float32")
        return given if weights is None else {**given, "weights": weights}

    def loss_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The images' total weight."""
        return total_of(batch, "loss")

    def denoising_loss(self, batch: Batch, training: bool) -> Terms:
        """The weighted squared error of what the network predicts."""
        data = self.units.to_data(batch["images"], batch.get("jitter", 0.5))
        noise, conditions = batch["noise"], batch.get("conditions")
        times = self.noising.training_times(batch["times"])
        if conditions is not None and "drops" in batch:
            assert self.condition is not None
            dropped = ops.reshape(
                batch["drops"] > 0.5, (-1, *(1,) * (len(conditions.shape) - 1))
            )
            conditions = ops.where(dropped, self.condition.nothing, conditions)
        prediction = self.noising.prediction
        noised = self.noising.path.noised(data, noise, times)
        predicted = self._predicted(noised, times, conditions, training)
        target = prediction.target(data, noise, times)
        error = _mean(ops.square(predicted - target))  # (B,)
        _, found = prediction.estimates(noised, predicted, times)
        terms = {
            "loss": error * self.noising.weight(times),
            "noise_error": _mean(ops.square(found - noise)),
        }
        weights = batch.get("weights")
        return {name: mean_of(values, weights) for name, values in terms.items()}

    def form(self, batch: Batch) -> None:
        """Raises for arrays that are missing or of another shape."""
        images, conditions, _ = _split(batch)
        check_image_shape(images, self.config.image_shape)
        name, rows = type(self).__name__, shape_of(images)[:1]
        if extra := _given(batch):
            shapes = dict.fromkeys(("noise", "jitter"), shape_of(images))
            shapes |= dict.fromkeys(("times", "drops"), rows)
            for key, shape in shapes.items():
                if key in extra and not same_shape(shape_of(extra[key]), shape):
                    raise ValueError(
                        f"{key} must be of shape {shape}, got {shape_of(extra[key])}."
                    )
        if self.condition is None:
            return
        texts = bool(self.config.vocab_size)
        shape = (*rows, self.config.text_length) if texts else rows
        kind = "token ids" if texts else "labels"
        if conditions is None:
            raise ValueError(
                f"This {name} is trained with (images, {kind}), got images alone."
            )
        dtype = ops.dtype(conditions)
        if "int" not in dtype or not same_shape(shape_of(conditions), shape):
            raise ValueError(
                f"{kind.capitalize()} must be integers of shape {shape}, got {dtype} "
                f"of shape {shape_of(conditions)}."
            )

    def ranges(self, batch: Batch) -> list[Range]:
        """The ranges of pixels, of conditions and of what else a batch may give."""
        images, conditions, _ = _split(batch)
        found = [pixels(images)]
        if self.config.num_classes:
            classes = self.config.num_classes
            field = f"num_classes={classes}"
            found.append(Range("Labels", conditions, 0, classes - 1, field=field))
        elif self.config.vocab_size:
            size = self.config.vocab_size
            field = f"vocab_size={size}, the last one padding"
            found.append(Range("Token ids", conditions, 0, size, field=field))
        extra = _given(batch)
        return found + [
            Range(name, extra[name], 0, 1, whole=False)
            for name in ("times", "jitter", "drops")
            if name in extra
        ]

    def weight_shapes(self, batch: Batch) -> list[tuple[int, ...]]:
        """One weight per image."""
        return [shape_of(_split(batch)[0])[:1]]

    def check_images(self, images: np.ndarray) -> np.ndarray:
        """Images as float32; raises for another shape or values outside [0, 1]."""
        check_images(images, self.config.image_shape)
        return np.asarray(images, "float32")


def _split(batch: Any) -> tuple[Any, Any, Any]:
    """Images, conditions and weights of a batch; None for those that it lacks."""
    x, conditions, weights = parts(batch)
    if isinstance(x, dict):
        return x["images"], x.get("conditions", conditions), weights
    return x, conditions, weights


def _given(batch: Any) -> dict[str, Any]:
    """The arrays of a batch by name; none if its images are all it has."""
    x, _, _ = parts(batch)
    return dict(x) if isinstance(x, dict) else {}


def _mean(x: Tensor) -> Tensor:
    """The mean over all axes but the first."""
    return ops.mean(x, axis=tuple(range(1, len(x.shape))))


def folded(x: Tensor, size: int) -> Tensor:
    """Squares of `size` pixels as channels: (B, H, W, C) to (B, h, w, size²·C)."""
    if size == 1:
        return x
    _, height, width, channels = x.shape
    x = ops.reshape(x, (-1, height // size, size, width // size, size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, height // size, width // size, size * size * channels))


def unfolded(x: Tensor, size: int) -> Tensor:
    """Undoes `folded`."""
    if size == 1:
        return x
    _, height, width, channels = x.shape
    channels //= size * size
    x = ops.reshape(x, (-1, height, width, size, size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, height * size, width * size, channels))


def served_step(model: Any) -> Served:
    """Exports one denoising step: data and noise of noised data, times, conditions."""
    config = model.config
    arrays = [
        Array("noised", (BATCH, *config.image_shape), "normal"),
        Array("times", (BATCH,), "pictures"),
    ]
    if config.num_classes:
        arrays.append(Array("labels", (BATCH,), "ids", config.num_classes))
    elif config.vocab_size:
        shape = (BATCH, config.text_length)
        arrays.append(Array("token_ids", shape, "ids", config.vocab_size))

    def function(inputs: Any) -> list[Any]:
        return list(model.estimate(*(inputs[array.name] for array in arrays)))

    return Served(model, function, arrays, ["data", "noise"])


register(Diffusion, presets=PRESETS, measured="samples", served=served_step)
