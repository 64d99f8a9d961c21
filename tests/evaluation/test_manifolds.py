import numpy as np
import pytest
from scipy.spatial.distance import cdist

from zoo.evaluation.images import feature_arrays
from zoo.evaluation.images.manifolds import manifold_scores

pytestmark = pytest.mark.host

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(300, 5))
FAKE = 0.7 * RNG.normal(size=(200, 5)) + 0.4


def plain(real, fake, k):
    """Computes the metrics as the package `prdc` does, with all distances at once."""
    real_radii = np.sort(cdist(real, real), axis=1)[:, k]
    fake_radii = np.sort(cdist(fake, fake), axis=1)[:, k]
    distances = cdist(real, fake)
    return {
        "precision": (distances < real_radii[:, None]).any(axis=0).mean(),
        "recall": (distances < fake_radii).any(axis=1).mean(),
        "density": (distances < real_radii[:, None]).sum(axis=0).mean() / k,
        "coverage": (distances.min(axis=1) < real_radii).mean(),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("block", [1, 1000, 2**23])
def test_it_is_that_of_all_distances_at_once(k, block, monkeypatch):
    monkeypatch.setattr(feature_arrays, "BLOCK", block)
    expected = plain(REAL, FAKE, k)
    assert len({round(value, 6) for value in expected.values()}) == 4
    assert vars(manifold_scores(REAL, FAKE, k)) == pytest.approx(expected, abs=1e-12)
    same = manifold_scores(REAL.astype("float32"), FAKE.astype("float32"), k)
    assert vars(same) == pytest.approx(expected, abs=0.01)


def test_what_each_of_them_is_for():
    far = manifold_scores(REAL, FAKE + 100)
    assert vars(far) == dict.fromkeys(vars(far), 0)
    # Samples cover one of two modes: realistic, but not diverse.
    modes = np.concatenate([REAL, REAL + 50])
    half = manifold_scores(modes, RNG.normal(size=(300, 5)))
    assert half.precision > 0.9 and half.density > 0.8
    assert half.recall < 0.55 and half.coverage < 0.55
    # One outlier among the samples raises recall, but not coverage.
    outlier = np.concatenate([FAKE - 20, np.full((1, 5), 20.0)])
    fooled = manifold_scores(REAL, outlier)
    assert fooled.recall > 0.9 and fooled.coverage == 0


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="k=5 needs at least 6 rows, but fake has 5"):
        manifold_scores(REAL, FAKE[:5])
    manifold_scores(REAL, FAKE[:6])
    with pytest.raises(ValueError, match="k must be"):
        manifold_scores(REAL, FAKE, k=0)
    with pytest.raises(ValueError, match="one width"):
        manifold_scores(REAL, FAKE[:, 1:])
