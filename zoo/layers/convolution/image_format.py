"""The axis order and value range of images inside a network.

Callers use (B, H, W, C) in [0, 1]. If the backend's convolutions and norms are faster
with channels first, the whole network uses that order, and each of its layers is told.
Inside, values are in [-1, 1], the range of tanh.
"""

from collections.abc import Sequence

import keras
from keras import layers, ops

from zoo.engine.current import engine
from zoo.engine.tensors import Tensor

CHANNELS_LAST, CHANNELS_FIRST = "channels_last", "channels_first"


def in_native_format(stack: Sequence[keras.Layer]) -> list[keras.Layer]:
    """Wraps `stack`, in the engine's format, to map (B, H, W, C) to (B, H, W, C).

    Inputs and outputs are float32.
    """
    if engine().image_format == CHANNELS_LAST:
        return [*stack]
    return [
        layers.Permute((3, 1, 2), dtype="float32", name="channels_first"),
        *stack,
        layers.Permute((2, 3, 1), dtype="float32", name="channels_last"),
    ]


def spatial_axes(data_format: str) -> tuple[int, int]:
    """The axes of height and width."""
    return (1, 2) if data_format == CHANNELS_LAST else (2, 3)


def to_signed(images: Tensor) -> Tensor:
    """Maps images from [0, 1] to [-1, 1], in float32."""
    return 2.0 * ops.cast(images, "float32") - 1.0


def from_signed(images: Tensor) -> Tensor:
    """Maps images from [-1, 1] to [0, 1]."""
    return 0.5 * (images + 1.0)
