"""Detects copies among samples by their nearest training examples.

Meehan, Chaudhuri & Dasgupta 2020 (arXiv 2004.05675), "A non-parametric test to detect
data-copying in generative models": a model that copies draws samples that are nearer to
the training set than unseen examples of the same distribution are. Examples are pixels
or features, in the same units throughout.

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
    """Distances of samples and of test examples to the training set.

    Attributes:
        indices: (N,) the index of the training example nearest to each sample.
        distances: (N,) the distance to it.
        test_distances: (M,) the distances from test examples to the nearest training
            examples.
    """

    indices: np.ndarray
    distances: np.ndarray
    test_distances: np.ndarray

    @property
    def ratio(self) -> float:
        """Median distance of samples over that of test examples; copies give 0."""
        return float(np.median(self.distances) / np.median(self.test_distances))

    @property
    def nearer(self) -> float:
        """The share of pairs in which a sample is nearer than a test example.

        It is 0.5 if samples are like new examples, 1 if all are copies, and below 0.5
        if they lie off the data: the Mann-Whitney statistic over its maximum (Meehan
        et al. 2020, section 3).
        """
        wins = stats.mannwhitneyu(self.test_distances, self.distances).statistic
        return float(wins / (len(self.test_distances) * len(self.distances)))


def memorisation(
    samples: np.ndarray, train: np.ndarray, test: np.ndarray
) -> Memorisation:
    """Compares the samples' distances to the training set with those of test examples.

    Args:
        samples: generated examples (N, ...).
        train: training examples (T, ...).
        test: examples (M, ...) from the same distribution as, but not in, `train`.

    Raises:
        ValueError: sizes differ, or values are not finite.
    """
    indices, distances = nearest_neighbours(samples, train)
    _, test_distances = nearest_neighbours(test, train)
    return Memorisation(indices[:, 0], distances[:, 0], test_distances[:, 0])


def nearest_neighbours(
    queries: np.ndarray, points: np.ndarray, k: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The points nearest to each query, without a matrix of all distances.

    Args:
        queries: (N, ...).
        points: (T, ...).
        k: the number of neighbours, K.

    Returns:
        Indices and Euclidean distances (N, K), nearest first.

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
    # The search computes |x|² + |y|² - 2 x·y, which is not exactly 0 for copies.
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
    """Draws a PNG with one row per sample, next to its nearest training images.

    Args:
        path: the PNG file.
        samples: images (N, H, W, C) in [0, 1].
        train: training images (T, H, W, C) in [0, 1].
        indices: (N, K) the training images to show, nearest by pixels or by features.
        title: the text above the grid.
    """
    rows = np.concatenate([samples[:, None], train[indices]], axis=1)
    columns = rows.shape[1]
    images = rows.reshape(-1, *rows.shape[2:])
    image_grid(path, images, columns=columns, title=title)
