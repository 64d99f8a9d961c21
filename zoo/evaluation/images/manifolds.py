"""How realistic and how varied samples are, by balls around features.

Precision and recall: Kynkaanniemi et al. 2019 (arXiv 1904.06991), "Improved precision
and recall metric for assessing generative models", equations 1 and 2. Density and
coverage: Naeem et al. 2020 (arXiv 2002.09797), section 3. The manifold of a set is the
union of balls around its features, each as large as the distance to the k-th nearest
other one. A feature on a ball's surface is outside, as in the latter's code, `prdc`.

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
    """Shares from 0 to 1; the density may exceed 1.

    Attributes:
        precision: of samples that lie in a real ball: realism.
        recall: of real examples that lie in a sample's ball: variety. An outlier among
            the samples has a large ball and raises it.
        density: the real balls that a sample lies in, over k; 1 is expected of one
            distribution. Outliers among the real ones count less than for precision.
        coverage: of real balls that hold a sample: variety, by real balls alone.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold_scores(real: np.ndarray, fake: np.ndarray, k: int = 5) -> ManifoldScores:
    """Precision, recall, density and coverage of generated features.

    No matrix of N · M distances is held.

    Args:
        real: features (N, F).
        fake: features (M, F).
        k: the neighbour that a ball reaches to; 3 in Kynkaanniemi et al., 5 in Naeem
            et al.

    Raises:
        ValueError: there are not more than k rows, widths differ, or values are not
            finite.
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


def _radii(x, k):
    """Distance of each row to the k-th nearest other one, (N,)."""
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(x)
    return search.kneighbors()[0][:, -1]
