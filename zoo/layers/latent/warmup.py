"""A coefficient that increases over the first updates."""

from typing import Any

import keras
from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.layer import Layer


@keras.saving.register_keras_serializable("zoo")
class Warmup(Layer):
    """Increases linearly from 1/updates to 1, one step per update, and stays there.

    For terms of a loss, such as a VAE's KL term (Sønderby et al. 2016, section 2.3). It
    keeps its own count, which is saved with the weights.

    Args:
        updates: training updates until the coefficient is 1.
    """

    def __init__(self, updates: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.updates = updates

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the count, a float, which advances once for all micro-batches."""
        self.count = self.add_weight(
            shape=(),
            dtype="float32",
            initializer="zeros",
            trainable=False,
            aggregation="mean",
            name="count",
        )
        self.built = True

    def call(self, training: bool = False) -> Tensor:
        """The coefficient; in training each call advances it, otherwise it is 1."""
        if not training:
            return 1.0
        self.count.assign_add(1.0)
        return ops.minimum(self.count / self.updates, 1.0)
