"""Selects vectors at given positions."""

from keras import ops

from zoo.engine.tensors import Tensor


def gather(x: Tensor, positions: Tensor) -> Tensor:
    """The vectors (B, P, ...) at positions (B, P) of x (B, T, ...)."""
    for _ in range(2, len(x.shape)):
        positions = ops.expand_dims(positions, -1)
    return ops.take_along_axis(x, positions, axis=1)
