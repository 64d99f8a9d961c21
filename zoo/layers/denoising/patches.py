"""Images as sequences of square patches (Dosovitskiy et al. 2021, section 3.1).

Shapes: B images, (H, W, C) of an image, P side of a patch, T patches, D width.
"""

from collections.abc import Sequence

import numpy as np
from keras import ops

from zoo.engine.tensors import Tensor
from zoo.layers.embeddings import geometric_frequencies


def to_patches(x: Tensor, side: int) -> Tensor:
    """Cuts images (B, H, W, C) into patches (B, T, P·P·C), row by row."""
    height, width, channels = x.shape[1] // side, x.shape[2] // side, x.shape[3]
    x = ops.reshape(x, (-1, height, side, width, side, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, height * width, side * side * channels))


def from_patches(x: Tensor, side: int, image_shape: Sequence[int]) -> Tensor:
    """Joins patches (B, T, P·P·C) to images (B, H, W, C)."""
    height, width, channels = image_shape
    rows, columns = height // side, width // side
    x = ops.reshape(x, (-1, rows, columns, side, side, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, height, width, channels))


def grid_positions(rows: int, columns: int, width: int) -> np.ndarray:
    """Sines and cosines of places on a grid, (rows·columns, D) in float32.

    The first half of the features is about the column, the second about the row, as in
    Peebles & Xie's code.

    Args:
        rows: rows of the grid.
        columns: columns of the grid.
        width: D, a multiple of 4.
    """
    row, column = np.mgrid[:rows, :columns].reshape(2, -1, 1)
    angles = [place * geometric_frequencies(width // 2) for place in (column, row)]
    halves = [[np.sin(angle), np.cos(angle)] for angle in angles]
    return np.concatenate([*halves[0], *halves[1]], axis=-1).astype("float32")
