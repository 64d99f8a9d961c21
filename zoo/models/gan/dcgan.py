"""DCGAN: a convolutional GAN (Radford et al. 2016, section 3).

Reference implementation: pytorch/examples, dcgan. See also Odena et al. 2016 (resize
convolutions), Miyato et al. 2018 (spectral norm), and Miyato & Koyama 2018 (projection
discriminator).

Shapes: B images, (H, W, C) of an image, L latent dimensions, F features.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops
from keras.initializers import RandomNormal, RandomUniform

from zoo.configs.checks import check_count
from zoo.engine.layout import GATHERED
from zoo.engine.tensors import Shape, Tensor
from zoo.layers.convolution.image_format import from_signed, to_signed
from zoo.layers.convolution.spectral_norm import SpectralNorm
from zoo.layers.dense import Dense
from zoo.layers.initializers import Normal
from zoo.layers.layer import Layer
from zoo.layers.norm import BatchNorm
from zoo.models.autoencoders.autoencoder import check_image_shape, pixels
from zoo.models.gan.gan import GAN, GANConfig, split
from zoo.presets.inference import BATCH, Array, Served
from zoo.presets.registration import register
from zoo.training.adversarial.losses import LOSSES

UPSAMPLING = ("transposed", "resize")
NORMS = ("batch", "layer", "none")
# Images are halved while their sides stay at least this long, and at least twice: a
# discriminator of one convolution is too weak to notice that samples are alike.
SMALLEST_SIDE, MIN_STAGES = 4, 2
STDDEV, LEAK = 0.02, 0.2


@dataclass(frozen=True)
class DCGANConfig(GANConfig):
    """Configuration of the game and its networks; see also `GANConfig`.

    Attributes:
        image_shape: (height, width, channels). Sides are halved while both stay at
            least 4, and at least twice: 64 to 4, 32 to 4, 28 to 7, 8 to 2.
        width: channels of the layers next to the image, doubled with each halving.
        upsampling: "transposed" convolutions, or "resize": nearest-neighbour
            upsampling and a convolution, which avoids checkerboard artifacts.
        discriminator_norm: "batch", "layer" (over a whole image) or "none"; the
            gradient penalty rules out "batch".
        spectral_norm: whether to divide the discriminator's weights by their spectral
            norms.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    width: int = 64
    upsampling: str = "transposed"
    discriminator_norm: str = "batch"
    spectral_norm: bool = False

    def __post_init__(self) -> None:
        """Validates the fields."""
        super().__post_init__()
        check_count("width", self.width)
        if len(self.image_shape) != 3 or not all(
            isinstance(size, int) and size >= 1 for size in self.image_shape
        ):
            raise ValueError(
                "image_shape must be (height, width, channels), integers from 1, got "
                f"{self.image_shape!r}."
            )
        sides, step = self.image_shape[:2], 2**self.num_stages
        if min(sides) < 2 * SMALLEST_SIDE or any(side % step for side in sides):
            raise ValueError(
                f"image_shape must have sides of at least {2 * SMALLEST_SIDE} that are "
                f"multiples of {step}, got {self.image_shape}. Pad the images."
            )
        for name, choices in (
            ("upsampling", UPSAMPLING),
            ("discriminator_norm", NORMS),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {choices}, got {getattr(self, name)!r}."
                )
        if LOSSES[self.loss].penalised and self.discriminator_norm == "batch":
            raise ValueError(
                f"discriminator_norm can't be 'batch' with loss={self.loss!r}, which "
                "penalises the gradient of each image's score: batch norm mixes the "
                "images of a batch. Use 'layer' or 'none'."
            )

    @property
    def num_stages(self) -> int:
        """How often an image is halved."""
        times = max(1, min(self.image_shape[:2]) // SMALLEST_SIDE)
        return max(MIN_STAGES, int(math.log2(times)))

    @property
    def widths(self) -> list[int]:
        """Channels of the discriminator after each halving."""
        return [self.width * 2**stage for stage in range(self.num_stages)]

    @property
    def smallest(self) -> tuple[int, int, int]:
        """The shape (height, width, channels) after all halvings."""
        height, width, _ = self.image_shape
        step = 2**self.num_stages
        return height // step, width // step, self.widths[-1]


PRESETS: dict[str, DCGANConfig] = {
    "dcgan_28": DCGANConfig(),
    "dcgan_32": DCGANConfig(image_shape=(32, 32, 3)),
    # As pytorch/examples has it; Radford et al. 2016, figure 1, has twice the channels.
    "dcgan_64": DCGANConfig(image_shape=(64, 64, 3)),
}


@keras.saving.register_keras_serializable("zoo", "DCGANGenerator")
class Generator(Layer):
    """Maps latents (B, L), and labels (B,), to images in [-1, 1].

    The label's embedding, of L dimensions too, is concatenated to the latent.
    """

    def __init__(self, config: DCGANConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        dtype = {"dtype": self.dtype_policy}
        if config.num_classes:
            self.labels = layers.Embedding(
                config.num_classes,
                config.latent_dim,
                Normal(1.0),
                name="labels",
                **dtype,
            )
        self.body = keras.Sequential(
            [
                Dense(
                    math.prod(config.smallest),
                    use_bias=False,
                    kernel_initializer=Normal(STDDEV),
                    name="project",
                    **dtype,
                ),
                layers.Reshape(config.smallest, **dtype),
                *self._upsampling(),
                # In float32 under any precision.
                layers.Activation("tanh", dtype="float32"),
            ],
            name="body",
        )

    def _upsampling(self) -> Sequence[layers.Layer]:
        dtype = {"dtype": self.dtype_policy}
        stack: list[layers.Layer] = []
        widths = [*reversed(self.config.widths[:-1]), self.config.image_shape[-1]]
        for stage, channels in enumerate(widths):
            stack += [
                _norm("batch", f"norm_{stage}", dtype),
                layers.Activation("relu", **dtype),
            ]
            options = {
                "padding": "same",
                "use_bias": stage == len(widths) - 1,
                "kernel_initializer": Normal(STDDEV),
                **dtype,
            }
            if self.config.upsampling == "resize":
                stack.append(layers.UpSampling2D(2, **dtype))
                name = f"convolve_{stage}"
                stack.append(layers.Conv2D(channels, 3, name=name, **options))
            else:
                name = f"up_{stage}"
                stack.append(
                    layers.Conv2DTranspose(channels, 4, 2, name=name, **options)
                )
        return stack

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates all weights, whose shapes follow from the configuration."""
        size = self.config.latent_dim
        if self.config.num_classes:
            self.labels.build()
            size *= 2
        self.body.build((None, size))

    def call(
        self, latents: Tensor, labels: Tensor | None = None, training: bool = False
    ) -> Tensor:
        """Generates images (B, H, W, C)."""
        if labels is not None:
            latents = ops.concatenate([latents, self.labels(labels)], axis=-1)
        return self.body(latents, training=training)


@keras.saving.register_keras_serializable("zoo", "DCGANDiscriminator")
class Discriminator(Layer):
    """Maps images (B, H, W, C) in [-1, 1], and labels (B,), to scores (B, 1).

    The score is ψ(φ(x)) + y·φ(x), with features φ, a linear ψ and the label's embedding
    y (Miyato & Koyama 2018, equation 3).
    """

    def __init__(self, config: DCGANConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        dtype = {"dtype": self.dtype_policy}
        norm = config.discriminator_norm
        stack: list[layers.Layer] = []
        given = config.image_shape[-1]
        for stage, channels in enumerate(config.widths):
            normed = stage > 0 and norm != "none"
            stack.append(
                self._linear(
                    layers.Conv2D,
                    f"down_{stage}",
                    (channels, 4, 2, "same"),
                    fan_in=4 * 4 * given,
                    use_bias=not normed,
                )
            )
            given = channels
            stack += [_norm(norm, f"norm_{stage}", dtype)] if normed else []
            stack.append(layers.LeakyReLU(LEAK, **dtype))
        # Not Flatten, which loses the static length where a replica slices its rows.
        stack.append(layers.Reshape((math.prod(config.smallest),), **dtype))
        self.features = keras.Sequential(stack, name="features")
        self.score = self._linear(
            Dense, "score", (1,), fan_in=math.prod(config.smallest), use_bias=True
        )
        if config.num_classes:
            self.labels = self._embedding("labels")

    def _linear(
        self,
        kind: type[layers.Layer],
        name: str,
        arguments: Any,
        fan_in: int,
        use_bias: bool,
    ) -> layers.Layer:
        options = {"kernel_initializer": Normal(STDDEV), "dtype": self.dtype_policy}
        if not self.config.spectral_norm:
            # Drawn as torch's layers draw them. With kernels this small, zero biases
            # would put the kinks of all first-layer features in one place: on MNIST,
            # samples are then a tenth further from the data (docs/results.md).
            bound = 1 / math.sqrt(fan_in)
            options["bias_initializer"] = RandomUniform(-bound, bound)
            return kind(*arguments, use_bias=use_bias, name=name, **options)
        inner = kind(*arguments, use_bias=False, name="linear", **options)
        return SpectralNorm(inner, use_bias, name=name, dtype=self.dtype_policy)

    def _embedding(self, name: str) -> layers.Layer:
        table = (self.config.num_classes, math.prod(self.config.smallest))
        options = {"embeddings_initializer": Normal(STDDEV), "dtype": self.dtype_policy}
        if not self.config.spectral_norm:
            return layers.Embedding(*table, name=name, **options)
        inner = layers.Embedding(*table, name="linear", **options)
        return SpectralNorm(inner, False, name=name, dtype=self.dtype_policy)

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates all weights, whose shapes follow from the configuration."""
        self.features.build((None, *self.config.image_shape))
        self.score.build((None, math.prod(self.config.smallest)))
        if self.config.num_classes:
            self.labels.build((None,))

    def call(
        self, images: Tensor, labels: Tensor | None = None, training: bool = False
    ) -> Tensor:
        """Scores images (B, H, W, C), giving (B, 1)."""
        features = self.features(images, training=training)  # (B, F)
        score = self.score(features, training=training)
        if labels is None:
            return score
        embedded = self.labels(labels, training=training)
        return score + ops.sum(embedded * features, axis=-1, keepdims=True)


def _norm(kind: str, name: str, dtype: dict) -> layers.Layer:
    """A norm with the reference implementation's settings."""
    gamma = RandomNormal(1.0, STDDEV)
    if kind == "batch":
        return BatchNorm(
            momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, name=name, **dtype
        )
    # With one group of channels, this is layer norm (Wu & He 2018, section 3.1).
    return layers.GroupNormalization(1, epsilon=1e-5, name=name, **dtype)


@keras.saving.register_keras_serializable("zoo")
class DCGAN(GAN):
    """A deep convolutional GAN of images.

    `fit` takes images (B, H, W, C) in [0, 1], or, with classes, (images, labels); see
    `GAN` for the rest. Generated images are in [0, 1] too.
    """

    Config = DCGANConfig
    divided = ("width",)
    # Convolutions and flattened images can't be computed in shards.
    layout = (
        (r"up_\d+/kernel$", (None, None, None, "model"), GATHERED),
        (r"convolve_\d+/kernel$", (None, None, "model", None), GATHERED),
        (r"down_\d+(/linear)?/kernel$", (None, None, None, "model"), GATHERED),
        (r"project/kernel$", (None, "model"), GATHERED),
        (r"score(/linear)?/kernel$", ("model", None), GATHERED),
    )

    def __init__(self, config: DCGANConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        networks = {"config": config, "dtype": self.dtype_policy}
        self.generator = Generator(name="generator", **networks)
        self.discriminator = Discriminator(name="discriminator", **networks)
        self.generator.build()
        self.discriminator.build()
        self.built = True

    def to_network(self, data: Tensor) -> Tensor:
        """Maps images from [0, 1] to [-1, 1], tanh's range."""
        return to_signed(data)

    def from_network(self, data: Tensor) -> Tensor:
        """Maps images from [-1, 1] to [0, 1]."""
        return from_signed(data)

    def form(self, batch: Any) -> None:
        """Raises for images of another shape or labels that do not fit."""
        real, _ = split(batch)
        check_image_shape(real, self.config.image_shape)
        super().form(batch)

    def ranges(self, batch: Any) -> list[Any]:
        """The ranges of pixels and labels."""
        real, _ = split(batch)
        return [pixels(real), *super().ranges(batch)]


def served_generator(model: Any) -> Served:
    """Exports images (B, H, W, C) in [0, 1] from latents (B, L) and labels (B,)."""
    config = model.config
    arrays = [Array("latents", (BATCH, config.latent_dim), "normal")]
    if config.num_classes:
        arrays.append(Array("labels", (BATCH,), "ids", config.num_classes))

    def function(inputs: Any) -> list[Any]:
        given = [inputs[array.name] for array in arrays]
        return [model.from_network(model.generator(*given, training=False))]

    return Served(model.generator, function, arrays, ["images"])


register(DCGAN, presets=PRESETS, measured="samples", served=served_generator)
