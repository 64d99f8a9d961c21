"""The order of a picture's axes, and its range, inside a network.

Callers have (B, H, W, C) in [0, 1]. Inside, where the backend's convolutions and norms
want the channels first, a whole network has them there, and each of its layers is told
so; and tanh gives [-1, 1].
"""

from collections.abc import Sequence

import keras
from keras import layers, ops

from zoo.engine.current import engine

CHANNELS_LAST, CHANNELS_FIRST = "channels_last", "channels_first"


def in_native_format(stack: Sequence[keras.Layer]) -> list[keras.Layer]:
    """Layers from and to (B, H, W, C) in float32, `stack` in the engine's format."""
    if engine().image_format == CHANNELS_LAST:
        return [*stack]
    return [
        layers.Permute((3, 1, 2), dtype="float32", name="channels_first"),
        *stack,
        layers.Permute((2, 3, 1), dtype="float32", name="channels_last"),
    ]


def spatial_axes(data_format: str) -> tuple[int, int]:
    """Those of a picture's height and width."""
    return (1, 2) if data_format == CHANNELS_LAST else (2, 3)


def to_signed(images):
    """From [0, 1] to [-1, 1], in float32."""
    return 2.0 * ops.cast(images, "float32") - 1.0


def from_signed(images):
    """From [-1, 1] to [0, 1]."""
    return 0.5 * (images + 1.0)
