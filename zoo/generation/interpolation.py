"""Interpolation between latents."""

from collections.abc import Callable

import numpy as np


def interpolated(
    a: np.ndarray, b: np.ndarray, steps: int, spherical: bool = False
) -> np.ndarray:
    """Interpolates from `a` to `b`, both included.

    Args:
        a: latents (..., L).
        b: latents (..., L).
        steps: number of points, at least 2.
        spherical: whether to follow the arc between them instead of the line; there,
            points keep a typical norm for a Gaussian (White 2016, section 2.1).

    Returns:
        The points (steps, ..., L).

    Raises:
        ValueError: `steps` is below 2, or the shapes differ.
    """
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps!r}.")
    a, b = np.asarray(a, "float32"), np.asarray(b, "float32")
    if a.shape != b.shape:
        raise ValueError(f"Both ends must have one shape, got {a.shape} and {b.shape}.")
    t = np.linspace(0, 1, steps, dtype="float32").reshape(-1, *(1,) * a.ndim)
    if not spherical:
        return (1 - t) * a + t * b
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    cosine = np.sum(a * b, axis=-1) / np.maximum(lengths, 1e-12)
    angle = np.arccos(np.clip(cosine, -1, 1))[..., None]
    # Parallel ends span no arc; the line is the limit.
    sine = np.where(np.sin(angle) < 1e-4, 1, np.sin(angle))
    along = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / sine
    return np.where(np.sin(angle) < 1e-4, (1 - t) * a + t * b, along)


def decoded_ways(
    decode: Callable[[np.ndarray], np.ndarray],
    a: np.ndarray,
    b: np.ndarray,
    steps: int,
    spherical: bool = False,
) -> np.ndarray:
    """Decodes interpolations from `a` to `b`.

    Args:
        decode: maps latents (M, L) to data (M, ...), for any M.
        a: latents (N, L).
        b: latents (N, L).
        steps: points per interpolation, both ends included.
        spherical: see `interpolated`.

    Returns:
        The data (N, steps, ...).
    """
    latents = np.swapaxes(interpolated(a, b, steps, spherical), 0, 1)  # (N, steps, L)
    data = decode(latents.reshape(-1, latents.shape[-1]))
    return data.reshape(*latents.shape[:2], *data.shape[1:])
