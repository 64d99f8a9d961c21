"""A coefficient that rises over the first updates."""

import keras
from keras import ops

from zoo.layers.layer import Layer


@keras.saving.register_keras_serializable("zoo")
class Warmup(Layer):
    """Rises in even parts from 1/updates to 1, one a training update, and stays there.

    For terms of a loss, such as a VAE's KL term (Sønderby et al. 2016, section 2.3). It
    counts by itself; its count is saved with the weights.
    """

    def __init__(self, updates: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.updates = updates

    def build(self, input_shape=None) -> None:
        """Makes the count, a float, which micro-batches move on once together."""
        self.count = self.add_weight(
            shape=(),
            dtype="float32",
            initializer="zeros",
            trainable=False,
            aggregation="mean",
            name="count",
        )
        self.built = True

    def call(self, training: bool = False):
        """The coefficient; 1 but in training, where each call counts."""
        if not training:
            return 1.0
        self.count.assign_add(1.0)
        return ops.minimum(self.count / self.updates, 1.0)
