"""Digits and their outlines, for unpaired training with known answers.

No digit occurs in both training parts, so there are no pairs to learn from.
"""

from pathlib import Path

import numpy as np

from zoo.data.images.loading import DIGITS, ImageDataset, load_digits, load_mnist
from zoo.data.images.unpaired import UnpairedDataset
from zoo.data.subsets import fixed_subset


def load_digit_outlines(
    data_dir: Path | None = None, most: int | None = None
) -> UnpairedDataset:
    """Loads MNIST's digits (A), padded to 32 x 32, and outlines of other digits (B).

    A is the first half of the training digits; B holds the outlines of the second half.
    The test parts hold all test digits and their outlines, in the same order.

    Args:
        data_dir: the folder of MNIST; None downloads it.
        most: the most images of each part, chosen by `fixed_subset`; None for all.
    """
    return outlined("digit_outlines", load_mnist(data_dir), most=most)


def load_small_digit_outlines(
    data_dir: Path | None = None, most: int | None = None
) -> UnpairedDataset:
    """Loads scikit-learn's 8 x 8 digits and outlines, at twice the size; no download.

    Args:
        data_dir: must be None.
        most: as in `load_digit_outlines`.
    """
    return outlined("small_digit_outlines", load_digits(data_dir), scale=2, most=most)


def outlined(
    name: str, digits: ImageDataset, scale: int = 1, most: int | None = None
) -> UnpairedDataset:
    """Makes both domains from bright digits on a dark background.

    Args:
        name: the name of the dataset.
        digits: the digits, of any size.
        scale: the factor by which to enlarge them; each pixel becomes a square.
        most: the most images of each part, chosen by `fixed_subset`; None for all.
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
    """Outlines bright shapes: each pixel's brightest neighbour minus the pixel itself.

    Args:
        images: uint8 of shape (N, H, W, C).

    Returns:
        uint8 of the same shape.
    """
    from scipy.ndimage import grey_dilation

    return grey_dilation(images, size=(1, 3, 3, 1)) - images


def _rimmed(images: np.ndarray) -> np.ndarray:
    """Pads sides to a multiple of 4 with room for an outline, at least 16."""
    rims = [(0, 0)]
    for side in images.shape[1:3]:
        added = max(-(-(side + 2) // 4) * 4, 16) - side
        rims.append((added // 2, added - added // 2))
    return np.pad(images, (*rims, (0, 0)))
