"""Pictures of translations between two domains."""

from pathlib import Path

import numpy as np

from zoo.data.subsets import fixed_subset
from zoo.evaluation.images.pictures import image_grid
from zoo.models.gan.cyclegan import CycleGAN, Direction


def draw_translations(
    path: Path,
    cyclegan: CycleGAN,
    a: np.ndarray,
    b: np.ndarray,
    domains: tuple[str, str],
) -> None:
    """Draws pictures, their translations and these translated back, of both domains.

    Args:
        path: of the PNG.
        cyclegan: translates.
        a: pictures (N, H, W, C) of domain A, from 0 to 1; ten of them are drawn.
        b: pictures of domain B.
        domains: what A and B are called.
    """
    rows, names = [], []
    ways: list[tuple[np.ndarray, Direction, Direction]]
    ways = [(a, "a_to_b", "b_to_a"), (b, "b_to_a", "a_to_b")]
    for (pictures, there, back), given in zip(ways, domains, strict=True):
        shown = pictures[fixed_subset(len(pictures), 10)]
        translated = cyclegan.translate(shown, there)
        rows += [shown, translated, cyclegan.translate(translated, back)]
        names += [given, "translated", "and back"]
    channels = max(row.shape[-1] for row in rows)
    image_grid(
        path,
        np.concatenate([np.broadcast_to(r, (*r.shape[:3], channels)) for r in rows]),
        columns=len(rows[0]),
        title=f"{domains[0]} and {domains[1]}",
        row_names=names,
    )


def middle_of(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of images (N, H, W, C), of a size (height, width)."""
    height, width = size
    top, left = (n - m for n, m in zip(images.shape[1:3], size, strict=True))
    return images[:, top // 2 : top // 2 + height, left // 2 : left // 2 + width]
