"""Ways between two latents."""

from collections.abc import Callable

import numpy as np


def interpolated(
    a: np.ndarray, b: np.ndarray, steps: int, spherical: bool = False
) -> np.ndarray:
    """Points from `a` to `b`, both included.

    Args:
        a: (..., L).
        b: likewise.
        steps: how many points, at least 2.
        spherical: along the arc between them, on which a Gaussian's points keep
            their usual distance from 0 (White 2016, section 2.1), not the line.

    Returns:
        (steps, ..., L).
    """
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps!r}")
    a, b = np.asarray(a, "float32"), np.asarray(b, "float32")
    if a.shape != b.shape:
        raise ValueError(f"Both ends need one shape, got {a.shape} and {b.shape}")
    t = np.linspace(0, 1, steps, dtype="float32").reshape(-1, *(1,) * a.ndim)
    if not spherical:
        return (1 - t) * a + t * b
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    cosine = np.sum(a * b, axis=-1) / np.maximum(lengths, 1e-12)
    angle = np.arccos(np.clip(cosine, -1, 1))[..., None]
    # Parallel ends span no arc; there the line is the limit.
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
    """What `decode`, of any number of latents, gives on the ways from `a` to `b`.

    Args:
        decode: from (M, L) to (M, ...).
        a: (N, L).
        b: likewise.
        steps: how many points a way, both ends included.
        spherical: see `interpolated`.

    Returns:
        (N, steps, ...).
    """
    latents = np.swapaxes(interpolated(a, b, steps, spherical), 0, 1)  # (N, steps, L)
    data = decode(latents.reshape(-1, latents.shape[-1]))
    return data.reshape(*latents.shape[:2], *data.shape[1:])
