"""Processes large images in overlapping tiles that are blended."""

from collections.abc import Callable

import numpy as np


def by_tiles(
    function: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    tile: int,
    overlap: int,
) -> np.ndarray:
    """Applies `function` to images tile by tile.

    Each tile's weight falls linearly toward sides with a neighbour; the weights of all
    tiles at a pixel are normalised to sum to 1.

    Args:
        function: maps (N, h, w, C) to (N, h, w, D), for h and w up to `tile`.
        images: (N, H, W, C).
        tile: the maximum side of a tile, in pixels.
        overlap: the minimum overlap of neighbours, in pixels, below `tile`.

    Returns:
        (N, H, W, D), float32.

    Raises:
        ValueError: the overlap is out of range.
    """
    if not 0 <= overlap < tile:
        raise ValueError(
            f"overlap must be from 0 to {tile - 1}, below tile={tile}, got {overlap}."
        )
    height, width = images.shape[1:3]
    total = None
    weights = np.zeros((1, height, width, 1), "float32")
    for top, rows in _spans(height, tile, overlap):
        for left, columns in _spans(width, tile, overlap):
            here = np.s_[:, top : top + len(rows), left : left + len(columns)]
            weight = (rows[:, None] * columns[None, :])[None, :, :, None]
            part = weight * function(images[here])
            if total is None:  # only now is D known
                total = np.zeros((*images.shape[:3], part.shape[-1]), "float32")
            total[here] += part
            weights[here] += weight
    total /= weights
    return total


def _spans(length: int, tile: int, overlap: int) -> list[tuple[int, np.ndarray]]:
    """The starts of evenly spaced tiles along one side, and the weights in each."""
    if length <= tile:
        return [(0, np.ones(length, "float32"))]
    count = -(-(length - overlap) // (tile - overlap))
    starts = np.round(np.linspace(0, length - tile, count)).astype(int)
    # Above 0, for pixels that only one tile covers.
    ramp = np.minimum(np.arange(tile) + 1, max(overlap, 1)) / max(overlap, 1)
    return [
        (
            int(start),
            (
                (ramp if start else np.ones(tile))
                * (ramp[::-1] if start < length - tile else np.ones(tile))
            ).astype("float32"),
        )
        for start in starts
    ]
