"""Image autoencoders (Hinton & Salakhutdinov 2006), and what VAEs share with them.

Shapes: B images, (H, W, C) of an image, L code dimensions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from zoo.configs.checks import (
    KERAS_ACTIVATIONS,
    check_choice,
    check_count,
    check_fields,
)
from zoo.engine.layout import GATHERED
from zoo.engine.tensors import Tensor
from zoo.layers.convolution.coders import check_coders, decoder, encoder
from zoo.layers.dense import Dense
from zoo.layers.latent.observations import Observation, observation_model
from zoo.models.autoencoders.own_networks import (
    OwnNetworks,
    check_decoder,
    check_encoder,
)
from zoo.presets.inference import BATCH, Array, Served
from zoo.presets.registration import register
from zoo.training import Phase
from zoo.training.batched import Batched
from zoo.training.checks.example_weights import mean_of, parts, total_of
from zoo.training.checks.ranges import Range
from zoo.training.phases import Batch, Terms, same_shape, shape_of


@dataclass(frozen=True)
class AutoencoderConfig:
    """Configuration of an autoencoder.

    Attributes:
        image_shape: (height, width, channels).
        code_dim: dimensions of the code between encoder and decoder, L.
        body: "mlp" or "convolutional".
        hidden: widths, or channels, of the encoder's layers; the decoder mirrors them.
        activation: Keras name of the activation after each hidden layer.
        observation: "gaussian", whose loss is half the squared error, or "bernoulli",
            whose loss is the cross-entropy with grey values in [0, 1].
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    code_dim: int = 30
    body: str = "mlp"
    hidden: tuple[int, ...] = (1000, 500, 250)
    activation: str = "relu"
    observation: str = "gaussian"

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_fields(self)
        check_coders(self.image_shape, self.body, self.hidden)
        check_count("code_dim", self.code_dim)
        check_choice(self, "activation", KERAS_ACTIVATIONS)
        if self.observation not in ("gaussian", "bernoulli"):
            raise ValueError(
                "observation must be 'gaussian' (squared error) or 'bernoulli' "
                f"(cross-entropy), got {self.observation!r}."
            )


PRESETS: dict[str, AutoencoderConfig] = {
    # Hinton & Salakhutdinov 2006, figure 3: 784-1000-500-250-30.
    "autoencoder_mlp": AutoencoderConfig(),
    "autoencoder_convolutional": AutoencoderConfig(
        body="convolutional", hidden=(32, 64), code_dim=30
    ),
}


class ImageCoder(OwnNetworks):
    """An encoder, and a decoder that parameterises an observation model.

    Both follow from the configuration (`body`, `hidden`, `activation`), or are the
    user's own Keras networks.
    """

    # Convolutions and flattened images can't be computed in shards.
    layout = (
        (r"(down|up)_\d+/kernel$", (None, None, None, "model"), GATHERED),
        (r"hidden_\d+/kernel$", (None, "model"), GATHERED),
        (r"(output|code|mean|log_variance)/kernel$", ("model", None), GATHERED),
    )
    class_targets = False
    # Whether an encoder of the user's own gives a mean and a log-variance.
    gaussian: ClassVar[bool] = False

    def __init__(
        self,
        config: Any,
        code_dim: int,
        observation: Observation,
        own: Mapping[str, keras.Layer | None],
        **kwargs: Any,
    ) -> None:
        super().__init__(config, **kwargs)
        self.observation, self.code_dim = observation, code_dim
        self.given = tuple(name for name, x in own.items() if x is not None)
        shape = tuple(config.image_shape)
        parameters = (*shape[:2], shape[2] * observation.num_parameters)
        body = (config.body, config.hidden, config.activation, self.dtype_policy)
        if "encoder" in self.given:
            check_encoder(own["encoder"], shape, code_dim, self.gaussian)
        if "decoder" in self.given:
            check_decoder(own["decoder"], code_dim, parameters)
        self.encoder = own["encoder"] or encoder(shape, *body)
        self.decoder = own["decoder"] or decoder(code_dim, parameters, *body)

    def codes(self, images: Tensor) -> Tensor:
        """Codes (B, L) of images (B, H, W, C), as backend tensors."""
        raise NotImplementedError

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """Reconstructions of images (B, H, W, C), in float32."""
        return self.observation.mean(self.decoder(self.codes(images)))

    def encode(self, images: np.ndarray) -> Any:
        """Codes (N, L) of any number of images (N, H, W, C), as a NumPy array."""
        self.check(images)
        return self._encode(np.asarray(images, "float32"))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Observation means (N, H, W, C) of any number of codes (N, L)."""
        codes = np.asarray(codes, "float32")
        code_dim = self.code_dim
        if codes.ndim != 2 or codes.shape[1] != code_dim:
            raise ValueError(
                f"{type(self).__name__} decodes codes of shape (N, {code_dim}), got "
                f"shape {codes.shape}."
            )
        return self._decode(codes)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Reconstructions of any number of images (N, H, W, C)."""
        self.check(images)
        return self._reconstruct(np.asarray(images, "float32"))

    @cached_property
    def _encode(self) -> Batched:
        return Batched(self.codes, lambda: self.variables)

    @cached_property
    def _decode(self) -> Batched:
        def decode(codes: Tensor) -> Tensor:
            return self.observation.mean(self.decoder(codes))

        return Batched(decode, lambda: self.variables)

    @cached_property
    def _reconstruct(self) -> Batched:
        return Batched(self.call, lambda: self.variables)

    def prepare(self, batch: Batch) -> Batch:
        """A batch as a dict of images (B, H, W, C) and, where given, weights.

        Labels are ignored; the third element of a batch weighs the images.
        """
        images, _, weights = parts(batch)
        given = images if isinstance(images, dict) else {"images": images}
        prepared = {**given, "images": ops.cast(given["images"], "float32")}
        return prepared if weights is None else {**prepared, "weights": weights}

    def loss_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The images' total weight."""
        return total_of(batch, "loss")

    def form(self, batch: Batch) -> None:
        """Raises for images of another shape."""
        check_image_shape(images_of(batch), self.config.image_shape)

    def ranges(self, batch: Batch) -> tuple[Range, ...]:
        """The range of pixel values."""
        return (pixels(images_of(batch)),)

    def weight_shapes(self, batch: Batch) -> list[tuple[int, ...]]:
        """One weight per image."""
        return [shape_of(images_of(batch))[:1]]

    def check_inputs(self, inputs: Any) -> None:
        """Raises for images of another shape or with values outside [0, 1]."""
        check_images(inputs, self.config.image_shape)


def images_of(batch: Any) -> Any:
    """The images of a batch: the batch itself, or part of a tuple or dict."""
    images, _, _ = parts(batch)
    return images["images"] if isinstance(images, dict) else images


def check_images(images: Any, image_shape: Sequence[int]) -> None:
    """Raises unless images are an array (N, *image_shape) of values in [0, 1]."""
    check_image_shape(images, image_shape)
    pixels(images).check()


def check_image_shape(images: Any, image_shape: Sequence[int]) -> None:
    """Raises unless images are an array or tensor (N, *image_shape)."""
    shape = shape_of(images)
    if same_shape(shape, (None, *image_shape)):
        return
    height, width, channels = image_shape
    wanted = f"(N, {height}, {width}, {channels})"
    hint = ""
    if len(shape) == 4 and shape[1:] == (channels, height, width):
        hint = ". Channels come last: np.moveaxis(images, 1, -1)"
    raise ValueError(f"Images must have the shape {wanted}, got {shape}{hint}")


def pixels(images: Any) -> Range:
    """The range of pixel values."""
    hint = "Divide 8-bit images by 255."
    return Range("Values of images", images, 0, 1, whole=False, hint=hint)


@keras.saving.register_keras_serializable("zoo")
class Autoencoder(ImageCoder):
    """Compresses images into a low-dimensional code.

    `fit` takes images (B, H, W, C) in [0, 1]. It logs `loss`, in nats per image, and
    `squared_error`, summed over each image's values.

    Args:
        config: the configuration.
        encoder: your own network from images to codes (B, L), in place of `body`.
        decoder: your own network from codes to the observation's parameters
            (B, H, W, C): means, or logits of "bernoulli".
        kwargs: of `keras.Model`.
    """

    Config = AutoencoderConfig

    def __init__(
        self,
        config: AutoencoderConfig,
        encoder: keras.Layer | None = None,
        decoder: keras.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        own = {"encoder": encoder, "decoder": decoder}
        observation = observation_model(config.observation)
        super().__init__(config, config.code_dim, observation, own, **kwargs)
        self.code = None
        if encoder is None:
            self.code = Dense(config.code_dim, name="code", dtype=self.dtype_policy)
            self.code.build(self.encoder.output_shape)
        self.built = True

    def codes(self, images: Tensor, training: bool = False) -> Tensor:
        """Codes (B, L) of images (B, H, W, C), as backend tensors."""
        features = self.encoder(images, training=training)
        return (
            ops.cast(features, "float32") if self.code is None else self.code(features)
        )

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: reconstruction."""
        return (
            Phase(
                "reconstruction",
                self.reconstruction_loss,
                [self],
                weights=self.loss_weights,
            ),
        )

    def reconstruction_loss(self, batch: Batch, training: bool) -> Terms:
        """Negative log-likelihood in nats, without the Gaussian's constant."""
        images = batch["images"]
        codes = self.codes(images, training)
        parameters = self.decoder(codes, training=training)
        error = ops.square(images - self.observation.mean(parameters))
        squared_error = ops.sum(error, axis=(1, 2, 3))  # (B,)
        nats = 0.5 * squared_error
        if self.config.observation != "gaussian":
            nats = -self.observation.log_prob(images, parameters)
        weights = batch.get("weights")
        return {
            "loss": mean_of(nats, weights),
            "squared_error": mean_of(squared_error, weights),
        }


def served_decoder(model: Any) -> Served:
    """Exports the decoder: observation means (B, H, W, C) of codes (B, L)."""
    return Served(
        model.decoder,
        lambda inputs: [model.observation.mean(model.decoder(inputs["latents"]))],
        [Array("latents", (BATCH, model.code_dim), "normal")],
        ["images"],
    )


register(Autoencoder, presets=PRESETS, served=served_decoder)
