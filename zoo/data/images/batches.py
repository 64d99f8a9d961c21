"""Batches of images as a function of the update number, and binarisation.

Shapes: B batch, N images, H height, W width, C channels.
"""

from typing import Literal, get_args

import numpy as np

from zoo.data.epochs import EpochBatches

Binarize = Literal["none", "dynamic", "static"]


class ImageBatches(EpochBatches):
    """Batches of images in a new order every epoch.

    A batch is (images,) or (images, labels): images are float32 in [0, 1] of shape
    (B, H, W, C), labels int32 of shape (B,). See `EpochBatches` for the order.

    Args:
        images: uint8 of shape (N, H, W, C).
        batch_size: B.
        labels: integers of shape (N,), or None.
        crop: the side, in pixels, of a square cut out of each image at a random place,
            drawn anew in every update; None for whole images.
        flip: whether to mirror each image left to right with probability 1/2, drawn
            anew in every update.
        binarize: how pixels become 0 or 1, with the intensity as the probability of 1:
            "dynamic" draws anew in every update (Burda et al. 2016, section 5),
            "static" draws once (`binarized`), "none" keeps the grey levels.
        seed: a non-negative integer that determines the order and the binarisation.

    Attributes:
        steps_per_epoch: the number of batches in an epoch, N // B.
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
        images = _checked(images, seed)
        super().__init__(len(images), batch_size, seed)
        if crop is not None and not 1 <= crop <= min(images.shape[1:3]):
            raise ValueError(
                f"crop must be from 1 to {min(images.shape[1:3])}, the shorter side of "
                f"the images, got {crop}."
            )
        if binarize not in get_args(Binarize):
            raise ValueError(
                f"binarize must be one of {get_args(Binarize)}, got {binarize!r}."
            )
        if labels is not None:
            labels = np.asarray(labels)
            if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
                raise ValueError(
                    f"labels must be integers of shape ({len(images)},), one per "
                    f"image, got {labels.dtype} of shape {labels.shape}."
                )
        if binarize == "static":
            images = binarized(images, seed)
        self._images, self._labels = images, labels
        self._crop, self._flip, self._binarize = crop, flip, binarize

    def _draw(
        self, rows: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, ...]:
        """Returns (images,) or (images, labels), of shapes (B, H, W, C) and (B,)."""
        batch = self._images[rows]  # (B, H, W, C)
        if self._crop is not None:
            batch = _cropped(batch, self._crop, rng)
        if self._flip:
            mirrored = rng.random((len(batch), 1, 1, 1)) < 0.5
            batch = np.where(mirrored, batch[:, :, ::-1], batch)
        if self._binarize == "dynamic":
            # Through a seed, since PCG64 draws twice as fast as Grain's Philox.
            batch = binarized(batch, int(rng.integers(2**62)))
        elif self._binarize == "none":
            batch = batch / np.float32(255)
        if self._labels is None:
            return (batch,)
        return batch, self._labels[rows].astype("int32")


def binarized(images: np.ndarray, seed: int) -> np.ndarray:
    """Draws each pixel as 0 or 1, with its intensity as the probability of 1.

    As in the experiments of Salakhutdinov & Murray 2008. The draws are the same on
    every platform.

    Args:
        images: uint8 of shape (N, H, W, C).
        seed: a non-negative integer.

    Returns:
        0.0 or 1.0, float32 of shape (N, H, W, C).
    """
    images = _checked(images, seed)
    rng = np.random.Generator(np.random.PCG64(seed))
    draws = rng.random(images.shape, np.float32)  # in [0, 1)
    return np.less(draws, images / np.float32(255), out=draws)


def _cropped(images: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Cuts a square out of each image at a random place, (B, side, side, C)."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (side, side), (1, 2))
    places = windows.shape[1:3]
    top, left = (rng.integers(count, size=len(images)) for count in places)
    # (B, C, side, side)
    return np.moveaxis(windows[np.arange(len(images)), top, left], 1, -1)


def _checked(images: np.ndarray, seed: int) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim != 4 or images.dtype != np.uint8 or 0 in images.shape[1:]:
        raise ValueError(
            "images must be uint8 of shape (N, H, W, C), got "
            f"{images.dtype} of shape {images.shape}."
        )
    if seed < 0:
        raise ValueError(f"seed must be a non-negative integer, got {seed}.")
    return images
