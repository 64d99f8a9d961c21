"""One direction of a CycleGAN: translates images of any size.

Shapes: N images, (H, W) of an image, C channels.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NoReturn

import keras
import numpy as np

from zoo.engine.tensors import Shape, Tensor
from zoo.generation.tiles import by_tiles
from zoo.layers.convolution.image_format import from_signed, to_signed
from zoo.models.autoencoders.autoencoder import check_images
from zoo.models.gan.cyclegan_networks import (
    LAYOUT,
    SMALLEST,
    STRIDE,
    CycleGANGeneratorConfig,
    generator,
)
from zoo.presets.inference import BATCH, Array, Served, Side
from zoo.presets.preset import FromPreset
from zoo.presets.registration import register
from zoo.training import Model
from zoo.training.batched import Batched


@keras.saving.register_keras_serializable("zoo")
@keras.saving.register_keras_serializable("zoo", "Translator")  # in older files
class CycleGANGenerator(FromPreset, Model):
    """One direction of a CycleGAN, to translate with; it is not trained by itself.

    `cyclegan.a_to_b.save_to_preset(folder)` saves it alone.
    """

    Config = CycleGANGeneratorConfig
    layout = LAYOUT

    def __init__(self, config: CycleGANGeneratorConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.generator = generator(config, self.dtype_policy)
        self.build()

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates all weights, which fit images of any size."""
        self.generator.build((None, None, None, self.config.channels[0]))
        self.built = True

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """Translates images (B, H, W, C) in [-1, 1], with H and W multiples of 4."""
        return self.generator(images, training=training)

    def phases(self) -> NoReturn:
        """Raises: a generator is trained within a CycleGAN."""
        raise TypeError(
            "A CycleGANGenerator is trained as part of a CycleGAN, not by itself: "
            "fit the CycleGAN."
        )

    def translate(
        self,
        images: np.ndarray | Sequence[np.ndarray],
        *,
        tile: int | None = None,
        overlap: int = 64,
    ) -> Any:
        """Images as they would look in the other domain.

        Sides that are not multiples of 4 are padded by reflection and cropped
        afterwards. Each new size is compiled once.

        Args:
            images: in [0, 1], of shape (N, H, W, C); or a sequence of (H, W, C), each
                of its own size.
            tile: the longest side computed at once, in pixels, a multiple of 4. Larger
                images are computed in bounded memory, in overlapping tiles that are
                blended. Instance norm then sees one tile at a time, so contrast can
                differ between tiles.
            overlap: overlap of neighbouring tiles, in pixels.

        Returns:
            Images in the form of `images`, in [0, 1], float32.
        """
        if not isinstance(images, np.ndarray):
            return [
                self.translate(image[None], tile=tile, overlap=overlap)[0]
                for image in images
            ]
        _check_pictures(images, self.config.channels[0])
        if tile is not None and (tile % STRIDE or tile < SMALLEST):
            raise ValueError(
                f"tile must be a multiple of {STRIDE} from {SMALLEST} up, got {tile}."
            )
        if tile is not None and max(images.shape[1:3]) > tile:
            return by_tiles(self.translate, images, tile, overlap)
        height, width = images.shape[1:3]
        below, right = -height % STRIDE, -width % STRIDE
        padding = ((0, 0), (0, below), (0, right), (0, 0))
        padded = np.pad(np.asarray(images, "float32"), padding, mode="reflect")
        return self._translate(padded)[:, :height, :width]

    @cached_property
    def _translate(self) -> Batched:
        def translate(images: Tensor) -> Tensor:
            return from_signed(self.generator(to_signed(images)))

        return Batched(translate, lambda: self.variables, batch_size=32)


def _check_pictures(images: np.ndarray, channels: int) -> None:
    check_images(images, (*images.shape[1:3], channels))
    if min(images.shape[1:3]) < SMALLEST:
        raise ValueError(
            f"Images must be at least {SMALLEST} x {SMALLEST} pixels, got "
            f"{images.shape[1]} x {images.shape[2]}."
        )


def served_translator(model: Any) -> Served:
    """Exports translations of images (B, H, W, C) in [0, 1] to the other domain."""
    sides = (Side(name, 0, SMALLEST, STRIDE) for name in ("height", "width"))
    shape = (BATCH, *sides, model.config.channels[0])
    return Served(
        model.generator,
        lambda inputs: [from_signed(model.generator(to_signed(inputs["images"])))],
        [Array("images", shape, "pictures")],
        ["translated"],
    )


register(CycleGANGenerator, served=served_translator)
