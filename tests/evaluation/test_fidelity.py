import numpy as np
import pytest

from zoo.evaluation.images.fidelity import psnr, ssim

pytestmark = pytest.mark.host

RNG = np.random.default_rng(0)
X = RNG.uniform(size=(2, 14, 13, 3))
Y = np.clip(X + RNG.normal(0, 0.1, X.shape), 0, 1)


def test_psnr_of_a_known_error():
    y = np.clip(X, 0.2, 0.8)
    np.testing.assert_allclose(psnr(y, y - 0.1), [20.0, 20.0], atol=1e-9)
    np.testing.assert_allclose(psnr(y, y + 0.01), [40.0, 40.0], atol=1e-9)
    assert psnr(X, X).tolist() == [np.inf] * 2


def test_ssim_is_the_papers_formula_window_by_window():
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(line, line)
    window /= window.sum()
    expected = []
    for x, y in zip(X, Y, strict=True):
        values = []
        for channel in range(3):
            for top in range(4):
                for left in range(3):
                    a = x[top : top + 11, left : left + 11, channel]
                    b = y[top : top + 11, left : left + 11, channel]
                    m, n = (window * a).sum(), (window * b).sum()
                    v = (window * (a - m) ** 2).sum()
                    w = (window * (b - n) ** 2).sum()
                    c = (window * (a - m) * (b - n)).sum()
                    values.append(
                        ((2 * m * n + 1e-4) * (2 * c + 9e-4))
                        / ((m**2 + n**2 + 1e-4) * (v + w + 9e-4))
                    )
        expected.append(np.mean(values))
    np.testing.assert_allclose(ssim(X, Y), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ssim(X, X), 1.0, atol=1e-12)


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_what_can_not_be_compared(measure):
    with pytest.raises(ValueError, match="same shape"):
        measure(X, Y[:1])
    with pytest.raises(ValueError, match="from 0 to 1, got values from .* to 255"):
        measure(X, 255 * np.ones_like(X))
    if measure is ssim:
        with pytest.raises(ValueError, match="11 x 11 .* got 10 x 13"):
            ssim(X[:, :10], Y[:, :10])
