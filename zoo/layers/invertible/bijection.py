"""What invertible layers have in common.

Shapes: B examples, (H, W, C) of an image. Values and log-determinants are float32 under
any precision: a sum of thousands of terms in 16 bits would lose whole nats.
"""

from typing import Any

from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.layer import Layer


class Bijection(Layer):
    """An invertible layer: `call` gives values and log-determinants, `inverse` undoes.

    A subclass maps (B, H, W, C) to as many values.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)

    def call(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        pictures: Tensor | None = None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Maps x to values and log|det dy/dx|, (B,) in nats.

        Args:
            x: (B, H, W, C), float32.
            condition: what an example is conditioned on (B, K), such as its class.
            pictures: images (B, H, W, P) that the map is conditioned on.
            training: whether the layer is being trained.
        """
        raise NotImplementedError

    def inverse(
        self,
        y: Tensor,
        condition: Tensor | None = None,
        pictures: Tensor | None = None,
    ) -> Tensor:
        """The x whose values are y."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Shape, *_: Any, **__: Any) -> Any:
        """The input's shape, and one log-determinant per example."""
        return input_shape, input_shape[:1]


def sum_over_image(values: Tensor) -> Tensor:
    """Sums (B, H, W, C) to (B,), in float32."""
    return ops.sum(ops.cast(values, "float32"), axis=(1, 2, 3))
