import dataclasses

import numpy as np
import pytest

from zoo.evaluation import (
    ChinchillaLaw,
    ComputeLaw,
    KaplanLaw,
    Trainings,
    fit_scaling_law,
    isoflop_minimum,
)

pytestmark = pytest.mark.host

# Hoffmann et al. 2022, equation 10; Kaplan et al. 2020, table 3.
CHINCHILLA = ChinchillaLaw(1.69, 406.4, 0.34, 410.7, 0.28)
KAPLAN = KaplanLaw(6.4e13, 0.076, 1.8e13, 0.103)
SIZES, TOKENS = (
    grid.ravel()
    for grid in np.meshgrid(np.geomspace(4e7, 1.6e10, 6), np.geomspace(3e9, 1e12, 5))
)


@pytest.mark.parametrize("law", [CHINCHILLA, KAPLAN])
def test_published_laws_come_out_of_a_table_that_they_made(law):
    fit = fit_scaling_law(
        type(law), law.loss(SIZES, TOKENS), SIZES, TOKENS, resamples=2
    )
    found, expected = (np.array(dataclasses.astuple(each)) for each in (fit.law, law))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_compute_law():
    law = ComputeLaw(30.0, -0.1, 1.2)
    flops = np.geomspace(1e10, 1e14, 6)
    fit = fit_scaling_law(ComputeLaw, law.loss(flops), flops, resamples=2)
    found = dataclasses.astuple(fit.law)
    np.testing.assert_allclose(found, dataclasses.astuple(law), rtol=1e-6)
    predicted = fit.predict(1e16)
    assert predicted.loss == pytest.approx(float(law.loss(1e16)), abs=1e-8)


@pytest.mark.parametrize("law", [CHINCHILLA, KAPLAN])
def test_optimal_sizes_are_the_lowest_of_a_compute(law):
    sizes = np.geomspace(1e7, 1e13, 60_001)
    tokens = 5.76e23 / (6 * sizes)
    size, length = law.optimal(5.76e23)
    assert 6 * size * length == pytest.approx(5.76e23)
    lowest = sizes[np.argmin(law.loss(sizes, tokens))]
    assert size == pytest.approx(lowest, rel=1e-3)


def test_an_outlier_does_not_decide():
    losses = CHINCHILLA.loss(SIZES, TOKENS)
    losses[7] *= 1.2
    fit = fit_scaling_law(ChinchillaLaw, losses, SIZES, TOKENS, resamples=2)
    predicted = fit.law.loss(7e10, 1.4e12)
    assert predicted == pytest.approx(float(CHINCHILLA.loss(7e10, 1.4e12)), rel=1e-3)


def test_intervals_hold_the_truth_and_grow_with_the_noise():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=len(SIZES))
    widths = []
    for scale in (1e-4, 1e-3):
        losses = CHINCHILLA.loss(SIZES, TOKENS) * np.exp(scale * noise)
        fit = fit_scaling_law(ChinchillaLaw, losses, SIZES, TOKENS, resamples=40)
        predicted = fit.predict(7e10, 1.4e12)
        assert predicted.low < float(CHINCHILLA.loss(7e10, 1.4e12)) < predicted.high
        for name, (low, high) in fit.intervals(0.99).items():
            assert low < getattr(CHINCHILLA, name) < high
        widths.append(predicted.high - predicted.low)
    assert 5 < widths[1] / widths[0] < 20


def test_isoflop_minimum():
    sizes = np.array([1e6, 2e6, 4e6, 8e6])
    losses = 3.0 + 0.1 * np.log(sizes / 3e6) ** 2
    size, loss = isoflop_minimum(sizes, losses)
    assert size == pytest.approx(3e6) and loss == pytest.approx(3.0)
    with pytest.raises(ValueError, match="train larger models"):
        isoflop_minimum(sizes[:3], [3.0, 2.0, 1.5])
    with pytest.raises(ValueError, match="three sizes"):
        isoflop_minimum(sizes[:2], losses[:2])


@pytest.mark.parametrize(
    ("losses", "inputs", "message"),
    [
        ([1.0] * 5, ([1.0] * 5, [1.0] * 5), "5 constants and needs more training runs"),
        ([1.0] * 6, ([1.0] * 6, [1.0] * 5), "with a value of each kind"),
        ([1.0] * 5 + [0.0], ([1.0] * 6, [1.0] * 6), "losses must be"),
        ([1.0] * 6, ([1.0] * 6, [float("nan")] * 6), "tokens must be"),
    ],
)
def test_what_cannot_be_fitted(losses, inputs, message):
    with pytest.raises(ValueError, match=message):
        fit_scaling_law(ChinchillaLaw, losses, *inputs)


def test_tables(tmp_path):
    trainings = Trainings.of([(1e6, 4e7, 3.0), (1e6, 1e7, 3.5), (2e6, 5e6, 3.25)])
    trainings.write(tmp_path / "table.csv")
    again = Trainings.read(tmp_path / "table.csv")
    for name in ("parameters", "tokens", "losses"):
        np.testing.assert_array_equal(getattr(again, name), getattr(trainings, name))
    first, second = again.budgets()
    assert first.losses.tolist() == [3.5, 3.25] and second.flops.tolist() == [2.4e14]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parameters,loss\n1,2\n", "Missing: tokens"),
        ("", "Missing: loss, parameters, tokens"),
        ("parameters,tokens,loss\n1,2,3\n1,2,nan\n", "line 3"),
        ("parameters,tokens,loss\n1,2\n", "line 2"),
        ("parameters,tokens,loss\n1,x,3\n", "'x'"),
        ("parameters,tokens,loss,loss\n1,2,3,4\n", "column loss more than once"),
        ("parameters,tokens,loss\n", "has no training runs"),
    ],
)
def test_bad_tables(tmp_path, text, message):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        Trainings.read(tmp_path / "table.csv")


def test_a_bad_line_of_a_table(tmp_path):
    table = tmp_path / "table.csv"
    table.write_bytes(b"\xef\xbb\xbfparameters,tokens,loss\n1,2,3\n1,\xff,3\n1,x,3\n")
    with pytest.raises(ValueError, match="line 3 of .* is not UTF-8"):
        Trainings.read(table)
    with pytest.warns(UserWarning, match="2 bad lines .* line 3 of"):
        assert len(Trainings.read(table, on_bad="skip")) == 1
