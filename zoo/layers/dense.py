"""A product with a matrix."""

import keras
from keras import ops


class Dense(keras.layers.Dense):
    """Keras's `Dense`, applied to rows: (…, D) is multiplied as (rows, D).

    On two axes, the gradient for the matrix is one plain product. With more, XLA
    first writes a transposed copy of the activations: on a CPU a GPT's step takes
    1.3 to 1.5 times as long.
    """

    def call(self, x, training=None):
        """(…, D) to (…, units)."""
        rows = super().call(ops.reshape(x, (-1, x.shape[-1])), training=training)
        return ops.reshape(rows, (-1, *x.shape[1:-1], self.units))
