"""Whether samples are copies: the training examples that are nearest to them.

Meehan, Chaudhuri & Dasgupta 2020 (arXiv 2004.05675), "A non-parametric test to detect
data-copying in generative models": samples of a model that copies lie nearer to the
training set than unseen examples of the same distribution do. Examples are pixels or
features, in the same units everywhere.

Shapes: N examples, K neighbours.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from zoo.evaluation.images.feature_arrays import checked_features, row_blocks
from zoo.evaluation.images.pictures import image_grid
from zoo.likelihood.importance import check_counts


@dataclass(frozen=True, eq=False)
class Memorisation:
    """How near samples lie to the training set, beside examples that it lacks.

    Attributes:
        indices: (N,) of the training example nearest to each sample.
        distances: (N,) to it.
        test_distances: (M,) of test examples to the training examples nearest to them.
    """

    indices: np.ndarray
    distances: np.ndarray
    test_distances: np.ndarray

    @property
    def ratio(self) -> float:
        """Median distance of samples over that of test examples; near 0 for copies."""
        return float(np.median(self.distances) / np.median(self.test_distances))

    @property
    def nearer(self) -> float:
        """How often a sample lies nearer than a test example, of all pairs of them.

        0.5 where samples are like new examples, 1 where all are copies; below 0.5
        where they lie off the data. It is the Mann-Whitney statistic over its maximum
        (Meehan et al. 2020, section 3).
        """
        wins = stats.mannwhitneyu(self.test_distances, self.distances).statistic
        return float(wins / (len(self.test_distances) * len(self.distances)))


def memorisation(
    samples: np.ndarray, train: np.ndarray, test: np.ndarray
) -> Memorisation:
    """Compares the samples' distances to the training set with those of test examples.

    Args:
        samples: (N, ...).
        train: (T, ...).
        test: (M, ...), of the training set's distribution and not in it.

    Raises:
        ValueError: sizes differ, or values are not finite.
    """
    indices, distances = nearest_neighbours(samples, train)
    _, test_distances = nearest_neighbours(test, train)
    return Memorisation(indices[:, 0], distances[:, 0], test_distances[:, 0])


def nearest_neighbours(
    queries: np.ndarray, points: np.ndarray, k: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest points to each query, in blocks: no matrix of all distances is held.

    Args:
        queries: (N, ...).
        points: (T, ...).
        k: how many, K.

    Returns:
        Indices and Euclidean distances (N, K), the nearest first.

    Raises:
        ValueError: there are fewer than k points, sizes differ, or values are not
            finite.
    """
    check_counts(k=k)
    flat = {"queries": queries, "points": points}
    flat = {name: np.reshape(x, (len(x), -1)) for name, x in flat.items()}
    queries, points = checked_features(flat)
    checked_features({"points": points}, k, f"k={k}")
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points)
    indices = search.kneighbors(queries, return_distance=False)
    # The search takes |x|² + |y|² - 2 x·y, which for copies is not quite 0.
    distances = np.zeros(indices.shape)
    for rows in row_blocks(len(queries), k * points.shape[1]):
        rest = points[indices[rows]] - queries[rows, None].astype("float64")
        distances[rows] = np.linalg.norm(rest, axis=-1)
    return indices, distances


def neighbour_grid(
    path: Path,
    samples: np.ndarray,
    train: np.ndarray,
    indices: np.ndarray,
    *,
    title: str = "Samples (left) and the training images nearest to them",
) -> None:
    """Draws samples (N, H, W, C) in rows, each beside training images, into a PNG.

    Args:
        path: of the PNG.
        samples: with values in [0, 1].
        train: (T, H, W, C), likewise.
        indices: (N, K) of those to show, by pixels or by features.
        title: above the grid.
    """
    rows = np.concatenate([samples[:, None], train[indices]], axis=1)
    columns = rows.shape[1]
    images = rows.reshape(-1, *rows.shape[2:])
    image_grid(path, images, columns=columns, title=title)
