import numpy as np
import pytest

from zoo.generation.interpolation import interpolated

RNG = np.random.default_rng(0)


def test_a_line():
    a, b = RNG.normal(size=(2, 3, 4)).astype("float32")
    found = interpolated(a, b, 5)
    assert found.shape == (5, 3, 4)
    np.testing.assert_allclose(found[0], a, atol=1e-6)
    np.testing.assert_allclose(found[1], 0.75 * a + 0.25 * b, atol=1e-6)
    np.testing.assert_allclose(found[-1], b, atol=1e-6)


def test_an_arc_keeps_the_length_and_equal_angles():
    a, b = RNG.normal(size=(2, 6))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    found = interpolated(a, b, 4, spherical=True)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-6)
    angles = np.arccos(np.sum(found[1:] * found[:-1], axis=-1))
    np.testing.assert_allclose(angles, np.arccos(a @ b) / 3, atol=1e-4)
    np.testing.assert_allclose(found[[0, -1]], [a, b], atol=1e-6)


def test_an_arc_between_parallel_ends_is_a_line():
    a = np.array([1.0, 2.0])
    found = interpolated(a, 3 * a, 3, spherical=True)
    np.testing.assert_allclose(found, [a, 2 * a, 3 * a], atol=1e-6)


def test_bad_ends():
    with pytest.raises(ValueError, match="steps must be at least 2, got 1"):
        interpolated(np.zeros(2), np.ones(2), 1)
    with pytest.raises(ValueError, match=r"one shape, got \(2,\) and \(3,\)"):
        interpolated(np.zeros(2), np.ones(3), 4)
