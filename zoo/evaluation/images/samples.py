"""All metrics of samples at once, with the protocol by which they were measured."""

import dataclasses
from typing import Any

import numpy as np

from zoo.evaluation.images.features import Features
from zoo.evaluation.images.frechet import frechet_distance
from zoo.evaluation.images.kernel_mmd import kernel_distance
from zoo.evaluation.images.manifolds import manifold_scores


def sample_metrics(
    real: np.ndarray,
    fake: np.ndarray,
    features: Features,
    *,
    test: np.ndarray | None = None,
    split: str = "train",
    k: int = 5,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compares generated images with real ones by their features.

    The metrics depend on the features, both counts and the split, so the result records
    them: metrics are only comparable under the same protocol.

    Args:
        real: images (N, H, W, C) in [0, 1].
        fake: samples (M, H, W, C) in [0, 1].
        features: the function from images to features.
        test: M real images that are not among `real`. Measured as if they were
            samples, they give the floor, which a perfect model reaches.
        split: the part of the data that `real` is, for the protocol.
        k: the number of neighbours for `manifold_scores`.
        subsets: the number of subsets for `kernel_distance`.
        subset_size: the size of subsets for `kernel_distance`.
        seed: the seed for `kernel_distance`.

    Returns:
        A flat dict: the metrics of `feature_metrics`, those of `test` as `floor_...`,
        and the protocol as `protocol_...`.

    Raises:
        ValueError: there are too few images for k or the subsets, or they do not suit
            the features.
    """
    options = {"k": k, "subsets": subsets, "subset_size": subset_size, "seed": seed}
    # Checked before the features are computed, which can take long.
    for name, images in (("real", real), ("fake", fake), ("test", test)):
        if images is not None and len(images) < (least := max(k + 1, subset_size)):
            raise ValueError(
                f"k={k} and subset_size={subset_size} need at least {least} images; "
                f"{name} has {len(images)}."
            )
    expected = features(real)
    figures = feature_metrics(expected, features(fake), **options)
    protocol = {
        "features": features.name,
        "split": split,
        "num_real": len(real),
        "num_fake": len(fake),
        **options,
    }
    if test is not None:
        floor = feature_metrics(expected, features(test), **options)
        figures |= {f"floor_{name}": value for name, value in floor.items()}
        protocol["num_test"] = len(test)
    return figures | {f"protocol_{name}": value for name, value in protocol.items()}


def feature_metrics(
    real: np.ndarray,
    fake: np.ndarray,
    *,
    k: int = 5,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """The metrics of `sample_metrics`, from features (N, F) and (M, F).

    Args:
        real: features (N, F) of real images.
        fake: features (M, F) of samples.
        k: the number of neighbours for `manifold_scores`.
        subsets: the number of subsets for `kernel_distance`.
        subset_size: the size of subsets for `kernel_distance`.
        seed: the seed for `kernel_distance`.

    Returns:
        `fid`, `kid` and `kid_stddev`, `precision`, `recall`, `density`, `coverage`.
    """
    kernel = kernel_distance(
        real, fake, subsets=subsets, subset_size=subset_size, seed=seed
    )
    return {
        "fid": frechet_distance(real, fake),
        "kid": kernel.mean,
        "kid_stddev": kernel.stddev,
        **dataclasses.asdict(manifold_scores(real, fake, k)),
    }
