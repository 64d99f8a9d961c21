"""Batches of images, a function of the update number; binarisation.

Shapes: B batch, N images, H height, W width, C channels.
"""

import functools
import itertools
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from zoo.data.crops import ENDLESS

Binarize = Literal["none", "dynamic", "static"]


class ImageBatches:
    """Batches of images in another order every epoch.

    An epoch is a permutation of all images, drawn from the seed and the epoch's
    number, and cut into batches. Where B does not divide N, the N mod B images at its
    end are left out: others in the next epoch.

    Args:
        images: uint8 of shape (N, H, W, C).
        batch_size: B.
        labels: Integers of shape (N,), or None.
        crop: Side of a square that is cut out of each image at random, anew in every
            update; None for whole images.
        flip: Mirror half of the images left to right, anew in every update.
        binarize: How pixels become 0 or 1, the intensity being the probability of 1:
            "dynamic" draws anew in every update (Burda et al. 2016, section 5),
            "static" once for all (`binarized`), "none" leaves them grey.
        seed: A non-negative integer that selects the order and the binarisation.

    Attributes:
        steps_per_epoch: Batches in an epoch, N // B.
    """

    def __init__(
        self,
        images: np.ndarray,
        batch_size: int,
        *,
        labels: np.ndarray | None = None,
        crop: int | None = None,
        flip: bool = False,
        binarize: Binarize = "none",
        seed: int = 0,
    ) -> None:
        """Checks the arguments; raises ValueError naming the one at fault."""
        import grain

        images = _checked(images, seed)
        if not 1 <= batch_size <= len(images):
            raise ValueError(
                f"batch_size={batch_size}; expected 1 to {len(images)}, the number of "
                "images"
            )
        if crop is not None and not 1 <= crop <= min(images.shape[1:3]):
            raise ValueError(
                f"crop={crop}; expected 1 to {min(images.shape[1:3])}, the shorter "
                "side of the images"
            )
        if binarize not in get_args(Binarize):
            raise ValueError(
                f"binarize={binarize!r}; expected one of {get_args(Binarize)}"
            )
        if labels is not None:
            labels = np.asarray(labels)
            if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
                raise ValueError(
                    f"labels are {labels.dtype} of shape {labels.shape}; expected "
                    f"integers of shape ({len(images)},), one for each image"
                )
        if binarize == "static":
            images = binarized(images, seed)
        self.steps_per_epoch = len(images) // batch_size

        def rows(update: int) -> np.ndarray:
            epoch, step = divmod(update, self.steps_per_epoch)
            return order(epoch)[step * batch_size : (step + 1) * batch_size]

        def draw(rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
            batch = images[rows]  # (B, H, W, C)
            if crop is not None:
                batch = _cropped(batch, crop, rng)
            if flip:
                mirrored = rng.random((len(batch), 1, 1, 1)) < 0.5
                batch = np.where(mirrored, batch[:, :, ::-1], batch)
            if binarize == "dynamic":
                # By way of a seed: PCG64 draws twice as fast as Grain's Philox.
                batch = binarized(batch, int(rng.integers(2**62)))
            elif binarize == "none":
                batch = batch / np.float32(255)
            return (batch,) if labels is None else (batch, labels[rows].astype("int32"))

        # One Grain element is a whole batch, or a whole epoch's order: its cost an
        # element is paid once. Grain seeds the two random maps differently, since they
        # are one and two steps from the seed.
        numbers = grain.MapDataset.range(ENDLESS).seed(seed)
        orders = numbers.random_map(lambda _, rng: rng.permutation(len(images)))
        order = functools.lru_cache(maxsize=2)(orders.__getitem__)
        self._batches = numbers.map(rows).random_map(draw)

    def batch(self, update: int) -> tuple[np.ndarray, ...]:
        """Returns one update's (images,) or (images, labels).

        Images are float32 in [0, 1] of shape (B, H, W, C), labels int32 of shape (B,).

        Args:
            update: The number of the update, from 0.
        """
        if update < 0:
            raise ValueError(f"update={update}; expected a number from 0")
        return self._batches[update]

    def batches(self, start: int = 0) -> Iterator[tuple[np.ndarray, ...]]:
        """Returns the endless iterator over `batch(start)`, `batch(start + 1)`, ..."""
        if start < 0:
            raise ValueError(f"start={start}; expected an update number from 0")
        return map(self.batch, itertools.count(start))


def binarized(images: np.ndarray, seed: int) -> np.ndarray:
    """Draws each pixel 0 or 1, its intensity being the probability of 1.

    As in the experiments of Salakhutdinov & Murray 2008; alike on every platform.

    Args:
        images: uint8 of shape (N, H, W, C).
        seed: A non-negative integer.

    Returns:
        0.0 and 1.0, float32 of shape (N, H, W, C).
    """
    images = _checked(images, seed)
    rng = np.random.Generator(np.random.PCG64(seed))
    draws = rng.random(images.shape, np.float32)  # in [0, 1)
    return np.less(draws, images / np.float32(255), out=draws)


def _cropped(images: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A square of each image, (B, side, side, C)."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (side, side), (1, 2))
    places = windows.shape[1:3]
    top, left = (rng.integers(count, size=len(images)) for count in places)
    # (B, C, side, side)
    return np.moveaxis(windows[np.arange(len(images)), top, left], 1, -1)


def _checked(images: np.ndarray, seed: int) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ValueError(
            f"images are {images.dtype} of shape {images.shape}; expected uint8 of "
            "shape (N, H, W, C)"
        )
    if seed < 0:
        raise ValueError(f"seed={seed}; expected a non-negative integer")
    return images
