import numpy as np
import pytest

from zoo.evaluation.images import feature_arrays
from zoo.evaluation.images.kernel_mmd import kernel_distance, squared_mmd

pytestmark = pytest.mark.host

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(50, 7)), 1.2 * RNG.normal(size=(40, 7)) + 0.3


def kernel(x, y):
    return (x @ y / len(x) + 1) ** 3


def naive(xs, ys):
    """Computes MMD² as in Gretton et al. 2012, equation 3."""
    n, m = len(xs), len(ys)
    within_x = sum(
        kernel(x, other)
        for i, x in enumerate(xs)
        for j, other in enumerate(xs)
        if i != j
    )
    within_y = sum(
        kernel(y, other)
        for i, y in enumerate(ys)
        for j, other in enumerate(ys)
        if i != j
    )
    across = sum(kernel(x, y) for x in xs for y in ys)
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * across / (n * m)


def torch_fidelity(x, y):
    """Computes the estimate as torch-fidelity (and MMD-GAN before it) does."""
    k_xx, k_yy, k_xy = (
        (np.matmul(a, b.T) / x.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))
    )
    m = len(x)
    total = (k_xx.sum(axis=1) - np.diagonal(k_xx)).sum()
    total += (k_yy.sum(axis=1) - np.diagonal(k_yy)).sum()
    return total / (m * (m - 1)) - 2 * k_xy.sum() / (m * m)


@pytest.mark.parametrize("block", [1, 130, 2**23])
def test_the_estimate_is_that_of_a_double_loop(block, monkeypatch):
    monkeypatch.setattr(feature_arrays, "BLOCK", block)
    assert squared_mmd(X, Y) == pytest.approx(naive(X, Y), rel=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_subsets_of_all_rows_give_torch_fidelitys_figure(dtype):
    x, y = X[:40].astype(dtype), Y.astype(dtype)
    found = kernel_distance(x, y, subsets=3, subset_size=40)
    expected = torch_fidelity(x.astype("float64"), y.astype("float64"))
    assert found.mean == pytest.approx(expected, rel=1e-11)
    assert found.stddev == pytest.approx(0, abs=1e-12)


def test_subsets_are_drawn_from_the_seed():
    options = {"subsets": 200, "subset_size": 20}
    found = kernel_distance(X, Y, seed=1, **options)
    assert found == kernel_distance(X, Y, seed=1, **options)
    assert found != kernel_distance(X, Y, seed=2, **options)
    # Each is an unbiased estimate of the value over all rows; five standard errors.
    error = found.stddev / np.sqrt(200)
    assert 0 < error and abs(found.mean - squared_mmd(X, Y)) < 5 * error


def test_of_one_distribution_it_is_around_zero_and_may_be_below():
    pairs = RNG.normal(size=(100, 2, 30, 4))
    found = [squared_mmd(x, y) for x, y in pairs]
    assert min(found) < 0 < max(found)
    assert abs(np.mean(found)) < 4 * np.std(found) / 10


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="subset_size=1000 needs .* real has 50"):
        kernel_distance(X, Y)
    with pytest.raises(ValueError, match="subset_size=45 needs .* fake has 40"):
        kernel_distance(X, Y, subset_size=45)
    with pytest.raises(ValueError, match="subset_size must be at least 2"):
        kernel_distance(X, Y, subset_size=1)
    with pytest.raises(ValueError, match="subsets must be"):
        kernel_distance(X, Y, subsets=0, subset_size=5)
    with pytest.raises(ValueError, match="one width"):
        squared_mmd(X, Y[:, :3])
    with pytest.raises(ValueError, match=r"first is real\[0\]"):
        squared_mmd(X * np.inf, Y)
