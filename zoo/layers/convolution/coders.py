"""Encoders from images to features, and decoders: fully connected or convolutional.

Shapes: B images, (H, W, C) per image, F features, P output channels.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from zoo.engine.tensors import Tensor
from zoo.layers.dense import Dense

BODIES = ("mlp", "convolutional")
# Of the convolutions that halve and double an image's sides.
KERNEL, STRIDE = 4, 2


def check_coders(image_shape: Sequence[int], body: str, hidden: Sequence[int]) -> None:
    """Raises a ValueError if these arguments don't suit `encoder` and `decoder`."""
    if len(image_shape) != 3 or not all(_is_count(size) for size in image_shape):
        raise ValueError(
            "image_shape must be (height, width, channels), whole numbers from 1, got "
            f"{image_shape!r}."
        )
    if body not in BODIES:
        raise ValueError(f"body must be one of {BODIES}, got {body!r}.")
    if not hidden or not all(_is_count(width) for width in hidden):
        raise ValueError(
            f"hidden must hold whole numbers from 1, one per layer, got {hidden!r}."
        )
    step = STRIDE ** len(hidden)
    if body == "convolutional" and (image_shape[0] % step or image_shape[1] % step):
        raise ValueError(
            f"{len(hidden)} convolutions halve an image {len(hidden)} times, so its "
            f"sides must be multiples of {step}, got image_shape={tuple(image_shape)}. "
            "Put fewer layers in hidden, or pad the images."
        )


def encoder(
    image_shape: Sequence[int],
    body: str,
    hidden: Sequence[int],
    activation: str,
    dtype: Any = None,
) -> keras.Sequential:
    """A network from images (B, H, W, C) to features (B, F).

    Args:
        image_shape: (H, W, C).
        body: "mlp" or "convolutional".
        hidden: widths of the layers, or channels of the convolutions.
        activation: Keras's name of the activation after each layer.
        dtype: Keras dtype or dtype policy.
    """
    stack: list[keras.Layer] = [keras.Input(tuple(image_shape))]
    if body == "mlp":
        stack.append(layers.Flatten(dtype=dtype))
        stack += _dense(hidden, activation, dtype)
    else:
        stack += [
            layers.Conv2D(
                channels,
                KERNEL,
                STRIDE,
                "same",
                activation=activation,
                name=f"down_{index}",
                dtype=dtype,
            )
            for index, channels in enumerate(hidden)
        ]
        stack.append(layers.Flatten(dtype=dtype))
    return keras.Sequential(stack, name="encoder")


def decoder(
    latent_dim: int,
    output_shape: Sequence[int],
    body: str,
    hidden: Sequence[int],
    activation: str,
    dtype: Any = None,
) -> keras.Sequential:
    """A network from latents (B, latent_dim) to (B, H, W, P), the encoder mirrored.

    Args:
        latent_dim: dimensions of the latents.
        output_shape: (H, W, P).
        body: "mlp" or "convolutional".
        hidden: as for the encoder; used from last to first.
        activation: Keras's name of the activation after each hidden layer.
        dtype: Keras dtype or dtype policy.
    """
    hidden, output_shape = list(reversed(hidden)), tuple(output_shape)
    stack: list[keras.Layer] = [keras.Input((latent_dim,))]
    if body == "mlp":
        stack += _dense(hidden, activation, dtype)
        stack.append(Dense(math.prod(output_shape), name="output", dtype=dtype))
        stack.append(layers.Reshape(output_shape, dtype=dtype))
        return keras.Sequential(stack, name="decoder")
    step = STRIDE ** len(hidden)
    small = (output_shape[0] // step, output_shape[1] // step, hidden[0])
    stack += _dense([math.prod(small)], activation, dtype)
    stack.append(layers.Reshape(small, dtype=dtype))
    for index, channels in enumerate([*hidden[1:], output_shape[-1]]):
        last = index == len(hidden) - 1
        stack.append(
            layers.Conv2DTranspose(
                channels,
                KERNEL,
                STRIDE,
                "same",
                activation=None if last else activation,
                name=f"up_{index}",
                dtype=dtype,
            )
        )
    return keras.Sequential(stack, name="decoder")


def decode_samples(decoder: keras.Layer, latents: Tensor) -> Tensor:
    """Decodes latents with any leading axes, from (..., L) to (..., H, W, P)."""
    rows = decoder(ops.reshape(latents, (-1, latents.shape[-1])))
    return ops.reshape(rows, (*ops.shape(latents)[:-1], *rows.shape[1:]))


def _dense(widths: Any, activation: str, dtype: Any) -> list[Any]:
    return [
        Dense(width, activation=activation, name=f"hidden_{index}", dtype=dtype)
        for index, width in enumerate(widths)
    ]


def _is_count(size: Any) -> bool:
    return isinstance(size, int) and size >= 1
