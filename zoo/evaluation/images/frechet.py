"""Fréchet distance between the features of real and generated images.

Heusel et al. 2017 (arXiv 1706.08500), equation 6: the squared 2-Wasserstein distance of
two Gaussians with the features' means m and covariances C (Dowson & Landau 1982),

    |m1 - m2|² + tr C1 + tr C2 - 2 tr sqrt(C1 C2).

With Inception's features it is the FID. It falls as the number of examples grows, even
for equal distributions: compare values for the same numbers of examples.

Shapes: N examples, F features, R rows of a root.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import linalg
from sklearn.utils import gen_batches

from zoo.evaluation.images.feature_arrays import checked_features


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance C of features, the latter as a root A with C = AᵀA.

    Attributes:
        mean: (F,).
        root: A, (R, F), with R at most F and at most N.
    """

    mean: np.ndarray
    root: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, name: str = "features") -> Self:
        """The moments of features (N, F) in float64; the covariance divides by N - 1.

        Raises:
            ValueError: there are fewer than two rows, or values that are not finite.
        """
        (features,) = checked_features({name: features}, 2, "A covariance")
        mean = features.mean(axis=0, dtype="float64")
        # The triangular factor of all rows so far, updated block by block.
        root: Any = np.zeros((0, len(mean)))  # NumPy's stub ignores qr's mode
        for rows in gen_batches(len(features), max(1024, 4 * len(mean))):
            rest = features[rows] - mean
            root = np.linalg.qr(np.concatenate([root, rest]), mode="r")
        return cls(mean, root / math.sqrt(len(features) - 1))

    @classmethod
    def from_covariance(cls, mean: np.ndarray, covariance: np.ndarray) -> Self:
        """The moments of a mean (F,) and covariance (F, F), as other tools store them.

        Raises:
            ValueError: shapes do not match, or the matrix is not symmetric and positive
                semi-definite.
        """
        if np.ndim(mean) != 1 or np.shape(covariance) != 2 * np.shape(mean):
            raise ValueError(
                "mean and covariance must have shapes (F,) and (F, F), got "
                f"{np.shape(mean)} and {np.shape(covariance)}."
            )
        (mean,), covariance = checked_features(
            {"mean": np.asarray(mean)[None], "covariance": covariance}
        )
        precision, scale = np.finfo(covariance.dtype).eps, np.abs(covariance).max()
        skew = np.abs(covariance - covariance.T).max()
        values, vectors = linalg.eigh(covariance.astype("float64"))
        if max(skew, -values[0]) > math.sqrt(precision) * scale:
            raise ValueError(
                "covariance must be symmetric without eigenvalues below 0, got a "
                f"matrix whose halves differ by up to {skew:g} and whose least "
                f"eigenvalue is {values[0]:g}."
            )
        kept = values > precision * len(mean) * scale  # others are rounding errors
        root = np.sqrt(values[kept])[:, None] * vectors[:, kept].T
        return cls(mean.astype("float64"), root)


def frechet_distance(real: np.ndarray | Moments, fake: np.ndarray | Moments) -> float:
    """The squared distance of two Gaussians fitted to features.

    Args:
        real: features (N, F), or their moments.
        fake: features (M, F), or their moments.

    Raises:
        ValueError: widths differ, there are fewer than two rows, or values that are
            not finite.
    """
    a = real if isinstance(real, Moments) else Moments.of(real, "real")
    b = fake if isinstance(fake, Moments) else Moments.of(fake, "fake")
    widths = {"real": len(a.mean), "fake": len(b.mean)}
    if len(set(widths.values())) > 1:
        raise ValueError(f"Features must have one width, got {widths}.")
    # C1 C2 has the eigenvalues of (A1 A2ᵀ)(A1 A2ᵀ)ᵀ, so the trace of its square root
    # is the sum of the singular values of A1 A2ᵀ. sqrtm(C1 C2) fails or turns complex
    # if a covariance is singular, as it is with fewer examples than features; and the
    # root of an eigenvalue turns a rounding error of 1e-16 into 1e-8, per feature.
    root_trace = linalg.svdvals(a.root @ b.root.T).sum()
    shift = np.square(a.mean - b.mean).sum()
    traces = np.square(a.root).sum() + np.square(b.root).sum()
    return max(0.0, float(shift + traces - 2 * root_trace))
