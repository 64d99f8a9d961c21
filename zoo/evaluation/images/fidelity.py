"""Pixelwise similarity of images to reference images.

Shapes: N images, H height, W width, C channels; values in [0, 1].
"""

import numpy as np
from scipy.ndimage import gaussian_filter

# Wang et al. 2004, section III-C.
SIGMA, RADIUS = 1.5, 5
K1, K2 = 0.01, 0.03


def psnr(images: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of each image, (N,), in decibels.

    10 log10(1 / mean squared error); infinite for equal images.

    Args:
        images: (N, H, W, C), in [0, 1].
        reference: the references, of the same shape and range.

    Raises:
        ValueError: shapes differ, or values lie outside [0, 1].
    """
    x, y = _checked(images, reference)
    errors = np.square(x - y).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return -10 * np.log10(errors)


def ssim(images: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Structural similarity of each image, (N,), at most 1 (Wang et al. 2004).

    Local statistics use a Gaussian window of 11 x 11 pixels with standard deviation
    1.5; the result is the mean over channels and all pixels whose window lies within
    the image.

    Args:
        images: (N, H, W, C), in [0, 1], at least 11 x 11 pixels.
        reference: the references, of the same shape and range.

    Raises:
        ValueError: shapes differ, images are too small, or values lie outside [0, 1].
    """
    x, y = _checked(images, reference)
    if min(x.shape[1:3]) <= 2 * RADIUS:
        raise ValueError(
            f"SSIM needs images of at least {2 * RADIUS + 1} x {2 * RADIUS + 1} "
            f"pixels, got {x.shape[1]} x {x.shape[2]}."
        )

    def local(values: np.ndarray) -> np.ndarray:
        blurred = gaussian_filter(values, SIGMA, radius=RADIUS, axes=(1, 2))
        return blurred[:, RADIUS:-RADIUS, RADIUS:-RADIUS]

    mean_x, mean_y = local(x), local(y)
    variance_x = local(x * x) - mean_x**2
    variance_y = local(y * y) - mean_y**2
    covariance = local(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + K1**2) / (mean_x**2 + mean_y**2 + K1**2)
    structure = (2 * covariance + K2**2) / (variance_x + variance_y + K2**2)
    return (luminance * structure).mean(axis=(1, 2, 3))


def _checked(
    images: np.ndarray, reference: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(images, "float64"), np.asarray(reference, "float64")
    if x.shape != y.shape or x.ndim != 4:
        raise ValueError(
            "images and reference must have the same shape (N, H, W, C), got "
            f"{x.shape} and {y.shape}."
        )
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"Values must be from 0 to 1, got values from {low} to {high}."
        )
    return x, y
