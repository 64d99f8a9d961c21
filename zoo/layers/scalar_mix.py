"""A task-specific mixture of a network's layers (Peters et al. 2018, equation 1)."""

from typing import Any

import keras
from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.layer import Layer


@keras.saving.register_keras_serializable("zoo")
class ScalarMix(Layer):
    """gamma times the sum of layers weighted by softmax(s); gamma and s are learned.

    Args:
        num_layers: L.
    """

    def __init__(self, num_layers: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_layers = num_layers

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates s, initially equal for all layers, and gamma, initially 1."""
        self.scores = self.add_weight(
            name="scores", shape=(self.num_layers,), initializer="zeros"
        )
        self.gamma = self.add_weight(name="gamma", shape=(), initializer="ones")

    def call(self, layers: Any) -> Tensor:
        """Mixes layers (L, ...) into (...)."""
        weights = ops.cast(self.layer_weights(), layers.dtype)
        return ops.cast(self.gamma, layers.dtype) * ops.tensordot(weights, layers, 1)

    def layer_weights(self) -> Tensor:
        """The weight of each layer, (L,), in float32."""
        return ops.softmax(ops.cast(self.scores, "float32"))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape without the first axis."""
        return input_shape[1:]
