import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import cdist

from zoo.evaluation.images import feature_arrays
from zoo.evaluation.images.neighbours import (
    memorisation,
    nearest_neighbours,
    neighbour_grid,
)

pytestmark = pytest.mark.host

RNG = np.random.default_rng(0)
# Far from 0, where |x|² + |y|² - 2 x·y loses small distances.
TRAIN, TEST, SAMPLES = (100 + RNG.random((n, 3, 3, 1)) for n in (120, 60, 50))


def flat(x):
    return x.reshape(len(x), -1)


@pytest.mark.parametrize("block", [1, 100, 2**23])
def test_they_are_the_nearest_of_all_distances(block, monkeypatch):
    monkeypatch.setattr(feature_arrays, "BLOCK", block)
    indices, distances = nearest_neighbours(SAMPLES, TRAIN, k=4)
    everything = cdist(flat(SAMPLES), flat(TRAIN))
    np.testing.assert_array_equal(indices, everything.argsort(axis=1)[:, :4])
    expected = np.sort(everything, axis=1)[:, :4]
    np.testing.assert_allclose(distances, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_a_copy_is_at_distance_zero(dtype):
    train = (255 * RNG.random((80, 4, 4, 1))).astype(dtype)
    indices, distances = nearest_neighbours(train[30:40], train)
    assert indices[:, 0].tolist() == [*range(30, 40)]
    assert not distances.any()


def test_copies_are_told_from_new_examples():
    fresh = memorisation(SAMPLES, TRAIN, TEST)
    near, far = fresh.distances[:, None], fresh.test_distances
    assert fresh.nearer == pytest.approx((near < far).mean(), abs=1e-12)
    assert fresh.ratio == pytest.approx(np.median(near) / np.median(far))
    assert 0.35 < fresh.nearer < 0.65 and 0.85 < fresh.ratio < 1.15
    copied = memorisation(TRAIN[:50] + 1e-4, TRAIN, TEST)
    assert copied.indices.tolist() == [*range(50)]
    assert copied.nearer == 1 and copied.ratio < 0.01
    assert memorisation(SAMPLES + 1, TRAIN, TEST).nearer == 0
    half = np.concatenate([TRAIN[:25], SAMPLES[:25] + 1])
    assert memorisation(half, TRAIN, TEST).nearer == pytest.approx(0.5)


def test_samples_are_drawn_beside_their_neighbours(tmp_path):
    train = np.zeros((5, 28, 28, 1), "float32")
    train[3] = 0.5
    samples = np.ones((2, 28, 28, 1), "float32")
    indices, _ = nearest_neighbours(samples, train, k=2)
    assert indices[:, 0].tolist() == [3, 3]
    neighbour_grid(tmp_path / "grid.png", samples, train, indices)
    shown = np.asarray(Image.open(tmp_path / "grid.png").convert("L"))
    grey, black = (np.argwhere(abs(shown.astype(int) - v) < 2) for v in (128, 0))
    # The nearest comes first.
    assert len(grey) > 2 * 4 * 28 * 28 * 0.9
    assert grey.mean(axis=0)[1] < black.mean(axis=0)[1]


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="k=6 needs at least 6 rows, but points has 5"):
        nearest_neighbours(SAMPLES, TRAIN[:5], k=6)
    with pytest.raises(ValueError, match=r"one width.*'queries': 6, 'points': 9"):
        nearest_neighbours(SAMPLES[:, :2], TRAIN)
    with pytest.raises(ValueError, match="points must be finite"):
        nearest_neighbours(SAMPLES, TRAIN * np.nan)
