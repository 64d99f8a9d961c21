"""Pictures of what a model's codes hold, and PCA to compare them with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm
from sklearn.decomposition import PCA

from zoo.evaluation.images.pictures import image_grid, save_figure, scatter


def draw_interpolations(
    path: Path,
    model: Any,
    starts: np.ndarray,
    ends: np.ndarray,
    *,
    title: str,
    **options: Any,
) -> None:
    """Draws ways from codes to others, on lines and then on arcs, ten images each.

    Args:
        path: of the PNG.
        model: with a method `interpolate`.
        starts: what it takes to begin from, one per row.
        ends: what it takes to end at.
        title: above the grid.
        **options: of `interpolate`.
    """
    ways = [
        model.interpolate(starts, ends, steps=10, spherical=spherical, **options)
        for spherical in (False, True)
    ]
    images = np.concatenate(ways)
    image_grid(
        path,
        images.reshape(-1, *images.shape[-3:]),
        columns=10,
        title=f"{title}: on a line, on an arc",
        row_names=("line",) * len(starts) + ("arc",) * len(starts),
    )


def draw_reconstructions(
    path: Path, images: np.ndarray, decoded: np.ndarray, title: str
) -> None:
    """Draws images (N, H, W, C) above what a model decodes from their codes."""
    image_grid(
        path,
        np.concatenate([images, decoded]),
        columns=len(images),
        title=title,
        row_names=("image", "decoded"),
    )


def draw_codes(
    path: Path, codes: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> None:
    """Draws codes (N, L) of test images in the plane, coloured by class (N,)."""
    axis_names = ("code 1", "code 2")
    if codes.shape[1] > 2:
        codes = PCA(2).fit_transform(codes)
        axis_names = ("first principal component", "second")
    title = "Codes of test images"
    scatter(path, codes, labels, class_names, title=title, axis_names=axis_names)


def latent_plane(model: Any, side: int) -> np.ndarray:
    """Images (side², H, W, C) decoded from a plane of equally likely codes.

    Args:
        model: with a method `decode` of codes (N, 2), the prior being standard normal.
        side: codes along each axis.
    """
    quantiles = norm.ppf((np.arange(side) + 0.5) / side)
    x, y = np.meshgrid(quantiles, quantiles[::-1])
    return model.decode(np.stack([x.ravel(), y.ravel()], axis=-1))


def principal_components(
    train: np.ndarray, test: np.ndarray, count: int
) -> tuple[np.ndarray, float]:
    """Test images as PCA reconstructs them, and their mean squared error per image.

    Args:
        train: 8-bit images (N, H, W, C) that the components are of.
        test: images (M, H, W, C) from 0 to 1.
        count: components.
    """
    pca = PCA(count, svd_solver="covariance_eigh")
    pca.fit(train.reshape(len(train), -1) / np.float32(255))
    flat = test.reshape(len(test), -1)
    found = pca.inverse_transform(pca.transform(flat))
    error = float(np.square(found - flat).sum(axis=1).mean())
    return found.reshape(test.shape), error


def code_usage(counts: np.ndarray) -> dict[str, float]:
    """How many codes of a codebook occur, and how evenly.

    Args:
        counts: occurrences of each code (K,).

    Returns:
        `codes_used`, the number of codes that occur, and `code_perplexity`, the number
        of equally frequent codes that would have the same entropy.
    """
    shares = counts[counts > 0] / counts.sum()
    return {
        "codes_used": int((counts > 0).sum()),
        "code_perplexity": float(np.exp(-(shares * np.log(shares)).sum())),
    }


def draw_code_usage(path: Path, counts: np.ndarray) -> None:
    """Draws how often each code occurs, from the most frequent to the rarest.

    Args:
        path: of the PNG.
        counts: occurrences of each code (K,).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.add_subplot()
    shares = np.sort(counts)[::-1] / counts.sum()
    axes.bar(np.arange(len(shares)), shares, width=1.0)
    axes.axhline(1 / len(shares), color="black", linewidth=0.8, linestyle="--")
    axes.set(
        xlabel="codes, by frequency",
        ylabel="share of all positions",
        title=f"{(counts > 0).sum()} of {len(counts)} codes occur; dashed: equal use",
    )
    save_figure(figure, path)
