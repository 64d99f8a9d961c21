"""Batches of images, a function of the update number; binarisation.

Shapes: B batch, N images, H height, W width, C channels.
"""

from typing import Literal, get_args

import numpy as np

from zoo.data.epochs import EpochBatches

Binarize = Literal["none", "dynamic", "static"]


class ImageBatches(EpochBatches):
    """Batches of images in another order every epoch.

    A batch is (images,) or (images, labels): float32 in [0, 1] of shape (B, H, W, C),
    and int32 of shape (B,). See `EpochBatches` for the order.

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
        images = _checked(images, seed)
        super().__init__(len(images), batch_size, seed)
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
        self._images, self._labels = images, labels
        self._crop, self._flip, self._binarize = crop, flip, binarize

    def _draw(
        self, rows: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, ...]:
        """(images,) or (images, labels), in [0, 1]: (B, H, W, C) and (B,)."""
        batch = self._images[rows]  # (B, H, W, C)
        if self._crop is not None:
            batch = _cropped(batch, self._crop, rng)
        if self._flip:
            mirrored = rng.random((len(batch), 1, 1, 1)) < 0.5
            batch = np.where(mirrored, batch[:, :, ::-1], batch)
        if self._binarize == "dynamic":
            # By way of a seed: PCG64 draws twice as fast as Grain's Philox.
            batch = binarized(batch, int(rng.integers(2**62)))
        elif self._binarize == "none":
            batch = batch / np.float32(255)
        if self._labels is None:
            return (batch,)
        return batch, self._labels[rows].astype("int32")


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
    if images.ndim != 4 or images.dtype != np.uint8 or 0 in images.shape[1:]:
        raise ValueError(
            f"images are {images.dtype} of shape {images.shape}; expected uint8 of "
            "shape (N, H, W, C)"
        )
    if seed < 0:
        raise ValueError(f"seed={seed}; expected a non-negative integer")
    return images
