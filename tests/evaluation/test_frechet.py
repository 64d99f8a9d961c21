import warnings

import numpy as np
import pytest
from scipy import linalg

from zoo.evaluation.images.frechet import Moments, frechet_distance

pytestmark = pytest.mark.host

RNG = np.random.default_rng(0)


def correlated(count, width, scale=1.0, shift=0.0):
    """Returns features like a network's: correlated and non-negative."""
    mix = RNG.normal(size=(width, width)) / np.sqrt(width)
    return scale * np.maximum(RNG.normal(size=(count, width)) @ mix + 0.5, 0) + shift


def classical(real, fake):
    """Computes the distance as pytorch-fid and clean-fid do."""
    (m1, c1), (m2, c2) = (
        (x.mean(axis=0), np.cov(x, rowvar=False)) for x in (real, fake)
    )
    root = linalg.sqrtm(c1 @ c2)
    assert np.isfinite(root).all()
    return np.sum((m1 - m2) ** 2) + np.trace(c1 + c2 - 2 * np.real(root))


def by_eigenvalues(real, fake):
    """Computes the distance as torch-fidelity does."""
    c1, c2 = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    roots = np.sqrt(np.linalg.eigvals(c1 @ c2).astype("complex128")).real.sum()
    shift = np.sum((real.mean(axis=0) - fake.mean(axis=0)) ** 2)
    return shift + np.trace(c1) + np.trace(c2) - 2 * roots


@pytest.mark.parametrize("reference", [classical, by_eigenvalues])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_that_of_the_classical_arithmetic(reference, dtype):
    real = correlated(3000, 40).astype(dtype)  # more rows than a block has
    fake = correlated(900, 40, scale=1.3, shift=0.2).astype(dtype)
    found = frechet_distance(real, fake)
    # Those packages average float32 features in float32, which costs 1e-5.
    expected = reference(real.astype("float64"), fake.astype("float64"))
    assert found == pytest.approx(expected, rel=1e-9)
    assert found == pytest.approx(reference(real, fake), rel=1e-4)
    assert frechet_distance(fake, real) == pytest.approx(found, rel=1e-10)
    assert found == frechet_distance(Moments.of(real), fake)


def test_closed_forms():
    width = 6
    mean = RNG.normal(size=width)
    a, b = RNG.uniform(0.1, 2, size=(2, width))
    expected = np.sum(mean**2) + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    zero = np.zeros(width)
    # Covariances that commute: diagonal, and in another basis.
    basis = linalg.qr(RNG.normal(size=(width, width)))[0]
    for turn in (np.eye(width), basis):
        found = frechet_distance(
            Moments.from_covariance(zero, turn * a @ turn.T),
            Moments.from_covariance(turn @ mean, turn * b @ turn.T),
        )
        assert found == pytest.approx(expected, rel=1e-12)
    # Two point masses; a singular Gaussian and a standard one.
    flat = np.zeros((width, width))
    flat[0, 0] = 4.0
    point = Moments.from_covariance(zero, np.zeros((width, width)))
    line = Moments.from_covariance(zero, flat)
    round_one = Moments.from_covariance(zero, np.eye(width))
    assert frechet_distance(point, point) == 0
    assert frechet_distance(point, line) == pytest.approx(4)
    assert frechet_distance(line, round_one) == pytest.approx((2 - 1) ** 2 + width - 1)
    # Two that do not commute: their product's eigenvalues solve a quadratic.
    c1, c2 = np.array([[2.0, 1.0], [1.0, 1.0]]), np.diag([1.0, 3.0])
    root_trace = np.sqrt(np.trace(c1 @ c2) + 2 * np.sqrt(linalg.det(c1 @ c2)))
    found = frechet_distance(
        Moments.from_covariance([0, 0], c1), Moments.from_covariance([1, 0], c2)
    )
    assert found == pytest.approx(1 + 3 + 4 - 2 * root_trace, rel=1e-12)


def test_moments_of_features_are_their_mean_and_covariance():
    x = correlated(2100, 9)
    moments = Moments.of(x)
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), atol=1e-14)
    covariance = np.cov(x, rowvar=False)
    np.testing.assert_allclose(moments.root.T @ moments.root, covariance, atol=1e-13)
    stored = Moments.from_covariance(x.mean(axis=0), covariance)
    np.testing.assert_allclose(stored.root.T @ stored.root, covariance, atol=1e-13)
    assert frechet_distance(moments, stored) == pytest.approx(0, abs=1e-12)


def test_fewer_examples_than_features():
    x, y = correlated(500, 2048), correlated(500, 2048, shift=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        total = np.square(Moments.of(x).root).sum()
        assert frechet_distance(x, x) < 1e-12 * total
        assert frechet_distance(x, x[::-1] + 1e-9) < 1e-10 * total
        found = frechet_distance(x, y)
    # If both have few rows, the nuclear norm of their cross product is exact.
    rows = [(z - z.mean(axis=0)) / np.sqrt(499) for z in (x, y)]
    norm = np.linalg.norm(rows[0] @ rows[1].T, "nuc")
    expected = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2) - 2 * norm
    expected += sum(np.square(r).sum() for r in rows)
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_rank_deficient_covariance_as_the_classical_arithmetic_sees_it():
    x, y = correlated(20, 64), correlated(30, 64, shift=0.1)
    stored = [
        Moments.from_covariance(z.mean(axis=0), np.cov(z, rowvar=False)) for z in (x, y)
    ]
    assert [len(moments.root) for moments in stored] == [19, 29]
    found = frechet_distance(x, y)
    assert found == pytest.approx(frechet_distance(*stored), rel=1e-9)
    # Rounding: sqrt(1e-16) for each of the 64 features.
    assert found == pytest.approx(by_eigenvalues(x, y), rel=1e-4)


def test_bad_features_are_named():
    x = correlated(10, 3)
    with pytest.raises(ValueError, match=r"one width.*'real': 3, 'fake': 2"):
        frechet_distance(x, x[:, :2])
    with pytest.raises(ValueError, match=r"2 rows, but fake has 1"):
        frechet_distance(x, x[:1])
    with pytest.raises(ValueError, match=r"real must hold features .*\(10, 3, 1\)"):
        frechet_distance(x[..., None], x)
    bad = x.copy()
    bad[4, 1] = np.nan
    with pytest.raises(ValueError, match=r"1 of its 10 rows .*first is fake\[4\]"):
        frechet_distance(x, bad)
    with pytest.raises(ValueError, match=r"\(3,\) and \(2, 2\)"):
        Moments.from_covariance(np.zeros(3), np.eye(2))
    with pytest.raises(ValueError, match="least eigenvalue is -1"):
        Moments.from_covariance(np.zeros(2), np.diag([1.0, -1.0]))
    with pytest.raises(ValueError, match="halves differ by up to 1 "):
        Moments.from_covariance(np.zeros(2), np.array([[2.0, 0], [1, 2]]))
