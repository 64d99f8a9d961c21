"""Selects vectors at given positions."""

from keras import ops


def gather(x, positions):
    """The vectors (B, P, ...) at positions (B, P) of x (B, T, ...)."""
    for _ in range(2, len(x.shape)):
        positions = ops.expand_dims(positions, -1)
    return ops.take_along_axis(x, positions, axis=1)
