"""Digits and their outlines: unpaired training with a known answer.

No image is in both training parts, so that there is no pair to learn from.
"""

from pathlib import Path

import numpy as np

from zoo.data.images.loading import DIGITS, ImageDataset, load_digits, load_mnist
from zoo.data.images.unpaired import UnpairedDataset
from zoo.data.subsets import fixed_subset


def load_digit_outlines(
    data_dir: Path | None = None, most: int | None = None
) -> UnpairedDataset:
    """MNIST's digits (A), of 32 x 32 with a dark rim, and the outlines of others (B).

    The first half of the training digits is A, the outlines of the second half are B.
    Of all test digits both are there, in one order.

    Args:
        data_dir: of MNIST; None downloads it.
        most: at most so many images of each part, by `fixed_subset`; None for all.
    """
    return outlined("digit_outlines", load_mnist(data_dir), most=most)


def load_small_digit_outlines(
    data_dir: Path | None = None, most: int | None = None
) -> UnpairedDataset:
    """The same of scikit-learn's digits of 8 x 8, at twice their size; no download."""
    return outlined("small_digit_outlines", load_digits(data_dir), scale=2, most=most)


def outlined(
    name: str, digits: ImageDataset, scale: int = 1, most: int | None = None
) -> UnpairedDataset:
    """Both domains of bright digits on dark ground.

    Args:
        name: of the dataset.
        digits: of any size.
        scale: each pixel becomes a square of so many.
        most: at most so many images of each part, by `fixed_subset`; None for all.
    """
    half = len(digits.train_images) // 2
    a, b, test = (
        _rimmed(x[fixed_subset(len(x), most)].repeat(scale, 1).repeat(scale, 2))
        for x in (
            digits.train_images[:half],
            digits.train_images[half:],
            digits.test_images,
        )
    )
    return UnpairedDataset.of(
        name,
        [a, outlines(b), test, outlines(test)],
        paired_test=True,
        domains=("digits" if digits.class_names == DIGITS else "images", "outlines"),
        origin=digits.origin,
        licence=digits.licence,
    )


def outlines(images: np.ndarray) -> np.ndarray:
    """What lies around bright shapes: each pixel's brightest neighbour, less itself.

    Args:
        images: uint8 of shape (N, H, W, C).

    Returns:
        The same shape.
    """
    from scipy.ndimage import grey_dilation

    return grey_dilation(images, size=(1, 3, 3, 1)) - images


def _rimmed(images: np.ndarray) -> np.ndarray:
    """Up to the next multiples of 4 that leave room for an outline, at least 16."""
    rims = [(0, 0)]
    for side in images.shape[1:3]:
        added = max(-(-(side + 2) // 4) * 4, 16) - side
        rims.append((added // 2, added - added // 2))
    return np.pad(images, (*rims, (0, 0)))
