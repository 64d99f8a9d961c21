"""Realism and variety of samples, by balls around features.

Precision and recall: Kynkaanniemi et al. 2019 (arXiv 1904.06991), "Improved precision
and recall metric for assessing generative models", equations 1 and 2. Density and
coverage: Naeem et al. 2020 (arXiv 2002.09797), section 3. The manifold of a set is the
union of balls around its features, each reaching to the k-th nearest other feature. A
feature on a ball's surface counts as outside, as in the latter's code, `prdc`.

Shapes: N real and M generated examples, F features.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neighbors import NearestNeighbors

from zoo.evaluation.images.feature_arrays import checked_features, row_blocks
from zoo.likelihood.importance import check_counts


@dataclass(frozen=True)
class ManifoldScores:
    """Scores from 0 to 1; the density may exceed 1.

    Attributes:
        precision: realism: the share of samples inside a real example's ball.
        recall: variety: the share of real examples inside a sample's ball. Outliers
            among the samples have large balls and inflate it.
        density: realism: the mean number of real balls around a sample, over k; 1 is
            expected for equal distributions. Less sensitive than precision to outliers
            among the real examples.
        coverage: variety: the share of real balls that contain a sample.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold_scores(real: np.ndarray, fake: np.ndarray, k: int = 5) -> ManifoldScores:
    """Precision, recall, density and coverage of generated features.

    Works in blocks, without a matrix of all N · M distances.

    Args:
        real: features (N, F).
        fake: features (M, F).
        k: the nearest neighbour that a ball reaches to; 3 in Kynkaanniemi et al., 5 in
            Naeem et al.

    Raises:
        ValueError: there are at most k rows, widths differ, or values are not finite.
    """
    check_counts(k=k)
    arrays = checked_features({"real": real, "fake": fake}, k + 1, f"k={k}")
    real, fake = (x.astype("float64") for x in arrays)
    real_radii, fake_radii = _radii(real, k), _radii(fake, k)
    balls_around = np.zeros(len(fake), int)
    recalled, covered = (np.zeros(len(real), bool) for _ in range(2))
    for rows in row_blocks(len(real), len(fake)):
        distances = euclidean_distances(real[rows], fake)
        in_real_ball = distances < real_radii[rows, None]
        balls_around += in_real_ball.sum(axis=0)
        covered[rows] = in_real_ball.any(axis=1)
        recalled[rows] = (distances < fake_radii).any(axis=1)
    return ManifoldScores(
        precision=float(np.mean(balls_around > 0)),
        recall=float(recalled.mean()),
        density=float(balls_around.mean() / k),
        coverage=float(covered.mean()),
    )


def _radii(x: np.ndarray, k: int) -> np.ndarray:
    """The distance from each row to its k-th nearest neighbour, (N,)."""
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(x)
    return search.kneighbors()[0][:, -1]
