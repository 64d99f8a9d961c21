"""The state of a recurrent network from one update to the next."""

import keras
from keras import ops

from zoo.layers.layer import Layer
from zoo.layers.places import at_places


@keras.saving.register_keras_serializable("zoo")
class CarriedState(Layer):
    """A state for each row of a batch whose text goes on in the next batch.

    Gradients stop at it: truncated backpropagation through time (Williams & Peng 1990;
    Mikolov et al. 2010). A checkpoint holds it. A preset does not, since it belongs to
    a text and not to what was learned from it.

    The rows of micro-batches and devices find theirs by number, so that `before` is
    for a global batch, and `keep` for any rows of it.

    Args:
        rows: of a global batch, B.
        width: of one row's state, S.
    """

    def __init__(self, rows: int, width: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.rows, self.width = rows, width

    def build(self, input_shape=None) -> None:
        """Makes room, in float32 at any precision."""
        self.state = self.add_weight(
            name="state",
            shape=(self.rows, self.width),
            initializer="zeros",
            dtype="float32",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )
        self.state.gains_parts = True

    @property
    def weights(self) -> list:
        """None; the state is among `variables`."""
        return []

    def before(self, continues=None) -> dict:
        """What the rows of a batch start from.

        Args:
            continues: (B,) booleans, False at rows that begin anew; default all True.

        Returns:
            `states` (B, S), and `rows` (B,), their numbers.
        """
        states = ops.convert_to_tensor(self.state)
        if continues is not None:
            states = states * ops.cast(continues, "float32")[:, None]
        return {"states": states, "rows": ops.arange(self.rows, dtype="int32")}

    def keep(self, states, rows) -> None:
        """Takes the states (b, S) of some rows (b,) for the next update."""
        states, new = at_places(ops.stop_gradient(states), rows, self.rows)
        old = ops.convert_to_tensor(self.state)
        self.state.assign(ops.where(new[:, None], states, old))
