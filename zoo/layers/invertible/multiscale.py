"""Invertible layers in a row, with latents that leave on the way.

Dinh et al. 2017, section 3.6: after each scale half of the channels become latents, so
that the layers that follow have fewer values to transform.

Shapes: B examples, (H, W, C) of an image, D = H·W·C values, K of a condition.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.invertible.bijection import Bijection
from zoo.layers.layer import Layer


@keras.saving.register_keras_serializable("zoo")
class Multiscale(Layer):
    """Maps images (B, H, W, C) to latents (B, D) by scales of invertible layers.

    After each scale but the last, the second half of the channels joins the latents.

    Args:
        scales: the layers of each scale, in order.
    """

    def __init__(self, scales: Sequence[Sequence[Bijection]], **kwargs: Any) -> None:
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.scales = [list(scale) for scale in scales]

    def get_config(self) -> dict[str, Any]:
        """The layers of each scale, as plain values."""
        plain = [
            [keras.saving.serialize_keras_object(layer) for layer in scale]
            for scale in self.scales
        ]
        return {**keras.layers.Layer.get_config(self), "scales": plain}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Multiscale":
        """A new layer with this configuration and its own weights."""
        made = [
            [keras.saving.deserialize_keras_object(layer) for layer in scale]
            for scale in config["scales"]
        ]
        return cls(**{**config, "scales": made})

    def build(self, input_shape: Shape) -> None:
        """Builds all layers for images (B, H, W, C)."""
        shape = tuple(input_shape)
        # Of what each scale adds to the latents.
        self.leaving: list[tuple[int, ...]] = []
        for index, scale in enumerate(self.scales):
            for layer in scale:
                if not layer.built:
                    layer.build(shape)
                shape = tuple(layer.compute_output_shape(shape)[0])
            if index < len(self.scales) - 1:
                leaving = shape[-1] // 2
                self.leaving.append((*shape[1:3], leaving))
                shape = (*shape[:-1], shape[-1] - leaving)
        self.leaving.append(shape[1:])
        self.built = True

    def call(
        self, x: Tensor, condition: Tensor | None = None, training: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Maps images to latents (B, D) and log-determinants (B,), in float32."""
        latents = []
        log_det = ops.zeros_like(x[:, 0, 0, 0])
        for index, scale in enumerate(self.scales):
            for layer in scale:
                x, more = layer(x, condition, training=training)
                log_det = log_det + more
            if index < len(self.scales) - 1:
                kept = x.shape[-1] - self.leaving[index][-1]
                latents.append(_flat(x[..., kept:]))
                x = x[..., :kept]
        return ops.concatenate([*latents, _flat(x)], axis=1), log_det

    def inverse(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """The images (B, H, W, C) whose latents (B, D) are these."""
        parts, start = [], 0
        for shape in self.leaving:
            size = math.prod(shape)
            part = latents[:, start : start + size]
            parts.append(ops.reshape(part, (-1, *shape)))
            start += size
        x = parts.pop()
        for index in range(len(self.scales) - 1, -1, -1):
            if index < len(self.scales) - 1:
                x = ops.concatenate([x, parts.pop()], axis=-1)
            for layer in self.scales[index][::-1]:
                x = layer.inverse(x, condition)
        return x

    def compute_output_shape(self, input_shape: Shape, *_: Any, **__: Any) -> Any:
        """The latents' shape, and one log-determinant per example."""
        return (input_shape[0], math.prod(input_shape[1:])), input_shape[:1]


def _flat(x: Tensor) -> Tensor:
    return ops.reshape(x, (-1, math.prod(x.shape[1:])))
