"""Spectral normalisation (Miyato et al. 2018)."""

from typing import Any

import keras
from keras import ops

from zoo.engine.tensors import Shape, Tensor


@keras.saving.register_keras_serializable("zoo")
class SpectralNorm(keras.layers.Wrapper):
    """Divides the output of a layer, linear in its weight, by the spectral norm.

    Each training pass makes one step of the power iteration that estimates the norm
    (algorithm 1); the gradient goes through the division (equation 12). Keras's
    `SpectralNormalization` overwrites the weight in the forward pass instead, so a
    discriminator would also change in the generator's phase.

    Args:
        layer: a layer with a `kernel` or `embeddings`, and without bias.
        use_bias: whether to add a bias after the division.

    Raises:
        ValueError: the layer has a bias.
    """

    def __init__(
        self, layer: keras.layers.Layer, use_bias: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(layer, **kwargs)
        if getattr(layer, "use_bias", False):
            raise ValueError(
                f"{layer.name} has a bias, which would be divided too. Make it with "
                "use_bias=False; SpectralNorm(layer, use_bias=True) adds one."
            )
        self.use_bias = use_bias

    def build(self, input_shape: Shape) -> None:
        """Builds the layer; the power iteration starts from a fixed direction."""
        super().build(input_shape)
        outputs = self._weight().shape[-1]
        self.direction = self.add_weight(
            shape=(outputs,),
            initializer="ones",
            trainable=False,
            autocast=False,
            name="direction",
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(outputs,), initializer="zeros", name="bias"
            )

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """The layer's output divided by the norm, plus the bias."""
        y = self.layer(x)
        y = y / ops.cast(self.norm(training), y.dtype)
        return y if self.bias is None else y + self.bias

    def norm(self, training: bool = False) -> Tensor:
        """The weight's largest singular value, estimated by one more step."""
        weight = ops.cast(self._weight(), "float32")
        matrix = ops.reshape(weight, (-1, weight.shape[-1]))
        fixed = ops.stop_gradient(matrix)
        left = _unit(ops.matmul(fixed, self.direction))
        right = _unit(ops.matmul(left, fixed))
        if training:
            self.direction.assign(right)
        return ops.sum(left * ops.matmul(matrix, right))

    def _weight(self) -> keras.Variable:
        found = getattr(self.layer, "kernel", None)
        return self.layer.embeddings if found is None else found

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The layer's output shape."""
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict:
        """The layer's configuration and `use_bias`."""
        return {**super().get_config(), "use_bias": self.use_bias}


def _unit(vector: Tensor) -> Tensor:
    return vector * ops.rsqrt(ops.sum(ops.square(vector)) + 1e-12)
