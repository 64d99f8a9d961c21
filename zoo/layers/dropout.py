"""Dropout whose seed can be drawn in advance and is saved with the weights."""

from typing import Any

import keras
from keras import ops

from zoo.engine.current import engine
from zoo.engine.drawn_seed import DrawnSeed
from zoo.engine.tensors import Shape, Tensor
from zoo.layers.layer import Layer


@keras.saving.register_keras_serializable("zoo")
class Dropout(Layer):
    """Drops inputs with probability `rate` in training (Srivastava et al. 2014).

    Unlike Keras's own layer, it saves its seed's state with the weights, so that a
    resumed run drops the same units as an uninterrupted one. On torch, where seeding
    waits for the device, this holds only if a seed is given or drawn; otherwise torch's
    generator is used, whose state the engine saves.

    Args:
        rate: probability of dropping an input, in [0, 1).
        seed: initial seed; None for a random one.

    Raises:
        ValueError: the rate is out of range.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"A dropout rate must be in [0, 1), got {rate}.")
        self.rate = rate
        self.seed = keras.random.SeedGenerator(seed) if rate else None
        self.built = True

    def draw(self) -> DrawnSeed | None:
        """A seed for one call, for `call(..., seed=)`; None if the rate is 0."""
        return DrawnSeed(self.seed.next()) if self.seed else None

    def call(self, x: Tensor, training: bool = False, seed: Any = None) -> Tensor:
        """Drops inputs in training; the output has the shape and dtype of `x`."""
        if not training or not self.rate:
            return x
        return engine().dropout(x, self.rate, seed or self.seed)

    def save_own_variables(self, store: Any) -> None:
        """Writes the seed's state."""
        if self.seed:
            store["seed"] = ops.convert_to_numpy(self.seed.state)

    def load_own_variables(self, store: Any) -> None:
        """Reads the seed's state, if the file has one."""
        if self.seed and "seed" in store.keys():
            self.seed.state.assign(store["seed"])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape
