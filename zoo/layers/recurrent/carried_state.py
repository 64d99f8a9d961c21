"""The state that a recurrent network carries from one update to the next."""

from typing import Any

import keras
from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.layer import Layer
from zoo.layers.places import at_places


@keras.saving.register_keras_serializable("zoo")
class CarriedState(Layer):
    """One state per batch row, whose text continues in the next batch.

    Gradients stop at it: truncated backpropagation through time (Williams & Peng 1990;
    Mikolov et al. 2010). A checkpoint contains it; a preset does not, since it belongs
    to the text, not to what was learned.

    Rows of micro-batches and devices find their state by row number: `before` is for a
    global batch, `keep` for any of its rows.

    Args:
        rows: rows of a global batch, B.
        width: width of one row's state, S.
    """

    def __init__(self, rows: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows, self.width = rows, width

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the states, in float32 at any precision."""
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
        """Empty, so that presets leave the state out; `variables` has it."""
        return []

    def before(self, continues: Tensor | None = None) -> dict:
        """The initial states of a batch.

        Args:
            continues: (B,) booleans, False at rows that start a new text; default all
                True.

        Returns:
            A dict of `states` (B, S) and the row numbers `rows` (B,).
        """
        states = ops.convert_to_tensor(self.state)
        if continues is not None:
            states = states * ops.cast(continues, "float32")[:, None]
        return {"states": states, "rows": ops.arange(self.rows, dtype="int32")}

    def keep(self, states: Any, rows: Any) -> None:
        """Stores the states (b, S) of some rows (b,) for the next update."""
        states, new = at_places(ops.stop_gradient(states), rows, self.rows)
        old = ops.convert_to_tensor(self.state)
        self.state.assign(ops.where(new[:, None], states, old))
