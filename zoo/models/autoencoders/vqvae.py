"""VQ-VAE: an image autoencoder whose code is a small grid of integers.

van den Oord et al. 2017. Networks as in section 4.1, with convolutions to and from the
code dimension as in the reference implementation (DeepMind's Sonnet).

Shapes: B images, (H, W, C) of an image, (h, w) of its code, K codes, D dimensions of a
code vector.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from zoo.configs.checks import check_count, check_fields, check_whole
from zoo.engine.layout import GATHERED
from zoo.engine.tensors import Tensor
from zoo.layers.convolution.residual import ResidualBlock
from zoo.layers.latent.vector_quantizer import LEARNING, VectorQuantizer
from zoo.models.autoencoders.autoencoder import (
    check_image_shape,
    check_images,
    images_of,
    pixels,
)
from zoo.presets.preset import FromPreset
from zoo.presets.registration import register
from zoo.training import Model, Phase
from zoo.training.batched import Batched
from zoo.training.checks.ranges import Range
from zoo.training.phases import Batch, Terms


@dataclass(frozen=True)
class VQVAEConfig:
    """Configuration of a VQ-VAE.

    Attributes:
        image_shape: (height, width, channels).
        num_codes: size of the codebook, K.
        code_dim: dimensions of a code vector, D.
        channels: channels of all hidden layers.
        num_residual_blocks: residual blocks in the encoder, and in the decoder.
        downsampling: convolutions that each halve the image's sides.
        commitment: coefficient of the commitment loss, beta in the paper.
        variance: variance of a pixel given its code, under a Gaussian observation; the
            squared error is divided by it.
        learning: how the codebook learns, "moving_average" or "gradient".
        decay: decay rate of the moving averages.
        restart_below: codes used less often than this fraction of 1/K are restarted.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    num_codes: int = 128
    code_dim: int = 32
    channels: int = 32
    num_residual_blocks: int = 2
    downsampling: int = 2
    commitment: float = 0.25
    variance: float = 0.1
    learning: str = "moving_average"
    decay: float = 0.99
    restart_below: float = 0.1

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_whole(self, "num_codes", least=2)
        check_whole(self, "code_dim", "channels", "downsampling")
        check_whole(self, "num_residual_blocks", least=0)
        check_fields(self)
        if len(self.image_shape) != 3:
            raise ValueError(
                "image_shape must be (height, width, channels), got "
                f"{self.image_shape}."
            )
        for index, size in enumerate(self.image_shape):
            check_count(f"image_shape[{index}]", size)
        step = 2**self.downsampling
        if self.image_shape[0] % step or self.image_shape[1] % step:
            raise ValueError(
                f"image_shape must have sides that are multiples of {step}, for "
                f"downsampling={self.downsampling}, got {tuple(self.image_shape)}."
            )
        if not (self.commitment >= 0 and self.variance > 0):
            raise ValueError(
                "commitment must be at least 0 and variance above 0, got commitment="
                f"{self.commitment!r}, variance={self.variance!r}."
            )
        if self.learning not in LEARNING:
            raise ValueError(
                f"learning must be one of {LEARNING}, got {self.learning!r}."
            )

    @property
    def code_shape(self) -> tuple[int, int]:
        """The shape of an image's code, (h, w)."""
        step = 2**self.downsampling
        return self.image_shape[0] // step, self.image_shape[1] // step


PRESETS: dict[str, VQVAEConfig] = {
    "vqvae_8": VQVAEConfig(
        image_shape=(8, 8, 1), num_codes=32, code_dim=16, downsampling=1
    ),
    "vqvae_28": VQVAEConfig(),
    # Section 4.1's, for 32 x 32 images: 8 x 8 codes.
    "vqvae_32": VQVAEConfig(
        image_shape=(32, 32, 3), num_codes=512, code_dim=64, channels=256
    ),
}


@keras.saving.register_keras_serializable("zoo")
class VQVAE(FromPreset, Model):
    """An autoencoder with a discrete code.

    `fit` takes images (B, H, W, C) in [0, 1], alone or with labels, which it ignores;
    or a dict with `images` and `restarts` (see `VectorQuantizer`). It logs `loss`;
    `reconstruction`, the squared error per pixel; `commitment`, the squared distance to
    the codes per dimension; and `perplexity`, the effective number of codes in use.
    """

    Config = VQVAEConfig
    weightless = "its codebook follows all images of a batch alike."
    # All kernels are convolution kernels, which can't be computed in shards.
    layout = (
        (r"kernel$", (None, None, None, "model"), GATHERED),
        (r"codebook$", (None, "model"), GATHERED),
    )

    def __init__(self, config: VQVAEConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = {"dtype": self.dtype_policy}
        halving = {"kernel_size": 4, "strides": 2, "padding": "same", **dtype}
        last = config.downsampling - 1
        self.encoder = keras.Sequential(
            [
                keras.Input(tuple(config.image_shape)),
                *(
                    layers.Conv2D(
                        config.channels,
                        # The residual blocks begin with a ReLU of their own.
                        activation=None if index == last else "relu",
                        name=f"down_{index}",
                        **halving,
                    )
                    for index in range(config.downsampling)
                ),
                *self._residual_blocks(),
                layers.ReLU(**dtype),
                layers.Conv2D(config.code_dim, 1, name="to_code", **dtype),
            ],
            name="encoder",
        )
        self.quantizer = VectorQuantizer(
            config.num_codes,
            config.code_dim,
            learning=config.learning,
            decay=config.decay,
            restart_below=config.restart_below,
            name="quantizer",
            **dtype,
        )
        self.quantizer.build(self.encoder.output_shape)
        self.decoder = keras.Sequential(
            [
                keras.Input(self.encoder.output_shape[1:]),
                layers.Conv2D(
                    config.channels, 3, padding="same", name="from_code", **dtype
                ),
                *self._residual_blocks(),
                layers.ReLU(**dtype),
                *(
                    layers.Conv2DTranspose(
                        config.image_shape[-1] if index == last else config.channels,
                        activation=None if index == last else "relu",
                        name=f"up_{index}",
                        **halving,
                    )
                    for index in range(config.downsampling)
                ),
            ],
            name="decoder",
        )
        self.seed = keras.random.SeedGenerator()

    def _residual_blocks(self) -> list[ResidualBlock]:
        return [
            ResidualBlock(
                self.config.channels, name=f"residual_{index}", dtype=self.dtype_policy
            )
            for index in range(self.config.num_residual_blocks)
        ]

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """Reconstructions of images (B, H, W, C), in float32."""
        return self.images_of(self.codes_of(images))

    def codes_of(self, images: Tensor) -> Tensor:
        """Codes (B, h, w) of images (B, H, W, C), as a backend tensor."""
        return self.quantizer.nearest(self.encoder(images))

    def images_of(self, codes: Tensor) -> Tensor:
        """Images (B, H, W, C) decoded from codes (B, h, w), as a backend tensor."""
        return ops.cast(self.decoder(self.quantizer.lookup(codes)), "float32")

    # === Training ===

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: reconstruction through the codes."""
        return (Phase("reconstruction", self.reconstruction_loss, [self]),)

    def prepare(self, batch: Batch) -> Batch:
        """A batch as a dict of images and of the vectors that restarted codes take."""
        if isinstance(batch, dict):
            return batch
        images = batch[0] if isinstance(batch, tuple) else batch
        batch = {"images": ops.cast(images, "float32")}
        if self.config.restart_below:
            height, width = self.config.code_shape
            batch["restarts"] = self.quantizer.draw_restarts(
                ops.shape(images)[0], height * width, self.seed
            )
        return batch

    def form(self, batch: Batch) -> None:
        """Raises for images of another shape."""
        check_image_shape(images_of(batch), self.config.image_shape)

    def ranges(self, batch: Batch) -> list[Range]:
        """The ranges of pixels and, where given, of restarts."""
        found = [pixels(images_of(batch))]
        if isinstance(batch, dict) and "restarts" in batch:
            last = math.prod(self.config.code_shape) - 1
            found.append(Range("restarts", batch["restarts"], -1, last))
        return found

    def check_inputs(self, inputs: Any) -> None:
        """Raises for images of another shape or with values outside [0, 1]."""
        check_images(inputs, self.config.image_shape)

    def reconstruction_loss(self, batch: Batch, training: bool) -> Terms:
        """Equation 3, averaged over pixels and over code dimensions."""
        images = batch["images"]
        perplexity = self.quantizer.perplexity()
        quantized = self.quantizer(
            self.encoder(images, training=training),
            batch.get("restarts"),
            training=training,
        )
        decoded = ops.cast(
            self.decoder(quantized.vectors, training=training), "float32"
        )
        reconstruction = ops.mean(ops.square(images - decoded))
        loss = reconstruction / self.config.variance
        loss += self.config.commitment * quantized.commitment
        if self.config.learning == "gradient":
            loss += quantized.codebook
        return {
            "loss": loss,
            "reconstruction": reconstruction,
            "commitment": quantized.commitment,
            "perplexity": perplexity,
        }

    # === Any number of images ===

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Codes (N, h, w), int32, of any number of images (N, H, W, C)."""
        check_images(images, self.config.image_shape)
        return self._encode(np.asarray(images, "float32"))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Images (N, H, W, C) in [0, 1] decoded from any number of codes (N, h, w)."""
        self.check_codes(codes)
        return np.clip(self._decode(np.asarray(codes, "int32")), 0, 1)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Reconstructions of any number of images (N, H, W, C)."""
        return self.decode(self.encode(images))

    def check_codes(self, codes: np.ndarray) -> None:
        """Raises unless codes are integers (N, h, w) from 0 to K - 1."""
        codes, shape = np.asarray(codes), self.config.code_shape
        if codes.ndim != 3 or codes.shape[1:] != shape or codes.dtype.kind not in "iu":
            raise ValueError(
                f"Codes must be whole numbers of shape (N, *{shape}), got "
                f"{codes.dtype} of shape {codes.shape}."
            )
        low, high = codes.min(initial=0), codes.max(initial=0)
        if low < 0 or high >= self.config.num_codes:
            raise ValueError(
                f"Codes must be from 0 to {self.config.num_codes - 1} (num_codes="
                f"{self.config.num_codes}), got values from {low} to {high}."
            )

    @cached_property
    def _encode(self) -> Batched:
        return Batched(self.codes_of, lambda: self.variables)

    @cached_property
    def _decode(self) -> Batched:
        return Batched(self.images_of, lambda: self.variables)


register(VQVAE, presets=PRESETS)
