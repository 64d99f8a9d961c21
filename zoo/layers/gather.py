"""Vectors of some of a text's tokens."""

from keras import ops


def gather(x, positions):
    """(B, P, ...) at positions (B, P) of (B, T, ...)."""
    for _ in range(2, len(x.shape)):
        positions = ops.expand_dims(positions, -1)
    return ops.take_along_axis(x, positions, axis=1)
