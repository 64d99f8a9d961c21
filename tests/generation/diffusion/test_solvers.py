import itertools

import keras
import numpy as np
import pytest

from tests.generation.diffusion.gaussian import Gaussian
from zoo.generation.diffusion import SOLVERS, Sampler, grid
from zoo.layers.noising import (
    EDM,
    Cosine,
    DDPMLinear,
    FlowMatching,
    VarianceExploding,
    VariancePreserving,
)

X = np.random.default_rng(0).normal(size=(3, 2, 2, 1)).astype("float32")
PATHS = [
    VariancePreserving(),
    Cosine(),
    DDPMLinear(),
    DDPMLinear(zero_terminal_snr=True),
    VarianceExploding(sigma_max=5.0),
    EDM(sigma_max=5.0),
    FlowMatching(),
]
ORDERS = {"ddim": 1, "euler": 1, "heun": 2, "multistep": 2, "rk4": 4}


def sampler(path, solver="ddim", **options):
    return Sampler(Gaussian(path).denoise, path, solver, **options)


@pytest.mark.parametrize("solver", ORDERS)
def test_solvers_converge_with_their_order(solver):
    # More steps of rk4 would meet float32's rounding.
    counts = (2, 4, 8) if solver == "rk4" else (16, 32, 64)
    path = VariancePreserving()
    run, exact = sampler(path, solver), Gaussian(path).carried(X, 0.9, 0.2)
    errors = [
        np.abs(run(X, np.linspace(0.9, 0.2, count + 1)) - exact).max()
        for count in counts
    ]
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert abs(slope - ORDERS[solver]) < 0.25 * ORDERS[solver], errors


@pytest.mark.parametrize("solver", ["ddim", "heun", "rk4"])
def test_every_backend_gives_the_numbers_of_float64(solver):
    times = np.linspace(0.9, 0.1, 11).astype("float32").astype("float64")
    mean, variance = 0.4, 0.36

    def slope(t, x):
        centred = (x - (1 - t) * mean) / ((1 - t) ** 2 * variance + t**2)
        return t * centred - mean - (1 - t) * variance * centred

    x = X.astype("float64")
    for t, s in itertools.pairwise(times):
        h = s - t
        k1 = slope(t, x)
        if solver == "rk4":
            k2 = slope(t + h / 2, x + h / 2 * k1)
            k3 = slope(t + h / 2, x + h / 2 * k2)
            mean_slope = (k1 + 2 * k2 + 2 * k3 + slope(s, x + h * k3)) / 6
        elif solver == "heun":
            mean_slope = (k1 + slope(s, x + h * k1)) / 2
        else:  # on straight lines, DDIM is Euler's method
            mean_slope = k1
        x = x + h * mean_slope
    found = sampler(FlowMatching(), solver)(X, times)
    np.testing.assert_allclose(found, x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_noise_becomes_data(path):
    start = float(path.sigma(1.0)) * X
    exact = Gaussian(path).carried(start, 1.0, 0.0)
    run = sampler(path, "multistep")
    found = run(start, grid(path, 60, "karras" if path.name == "edm" else "uniform"))
    np.testing.assert_allclose(found, exact, rtol=0, atol=0.05)


@pytest.mark.parametrize("solver", [s for s in SOLVERS if SOLVERS[s].reverses])
def test_there_and_back(solver):
    path = Cosine()
    run, times = sampler(path, solver), np.linspace(0.9, 0.1, 41)
    back = run(run(X, times), times[::-1])
    np.testing.assert_allclose(
        back, X, rtol=0, atol=0.1 if ORDERS[solver] == 1 else 1e-3
    )


@pytest.mark.parametrize(("solver", "eta"), [("ancestral", 0.0), ("ddim", 0.5)])
def test_stochastic_samplers_draw_from_the_data(solver, eta):
    path = VariancePreserving()
    start = np.random.default_rng(1).normal(size=(1000, 1)).astype("float32")
    run = sampler(path, solver, eta=eta)
    # DDPM's smaller variance is too small if steps are few.
    found = run(start, grid(path, 150), seed=3)
    assert abs(found.mean() - 0.4) < 0.07
    assert abs(found.std() - 0.6) < 0.05
    again, other = (run(start, grid(path, 150), seed=seed) for seed in (3, 4))
    np.testing.assert_array_equal(found, again)
    assert np.abs(found - other).max() > 0.1
    # The noise is the samplers' own, not the start's.
    assert abs(np.corrcoef((found - other)[:, 0], start[:, 0])[0, 1]) < 0.12


def test_known_pixels_are_kept_and_steer_the_rest():
    path = VariancePreserving()
    # Two values that are nearly equal in the data.
    covariance = np.array([[1.0, 0.95], [0.95, 1.0]])

    def denoise(x, t):
        alpha, sigma = path.alpha(t), path.sigma(t)
        values, vectors = np.linalg.eigh(covariance)
        vectors = keras.ops.convert_to_tensor(vectors.astype("float32"))
        values = keras.ops.convert_to_tensor(values.astype("float32"))
        centred = keras.ops.matmul(x, vectors) / (alpha**2 * values + sigma**2)
        back = keras.ops.transpose(vectors)
        data = keras.ops.matmul(alpha * values * centred, back)
        return data, sigma * keras.ops.matmul(centred, back)

    run = Sampler(denoise, path, "ancestral")
    start = np.random.default_rng(2).normal(size=(500, 2)).astype("float32")
    known = np.full((500, 2), np.nan, "float32")
    known[:, 0] = 1.5
    found = run(start, grid(path, 100), known=known, mask=[1, 0])
    np.testing.assert_array_equal(found[:, 0], np.float32(1.5))
    # RePaint without resampling is drawn towards the rest's own mean.
    assert 0.9 < found[:, 1].mean() < 0.95 * 1.5
    free = run(start, grid(path, 100))
    assert abs(free[:, 1].mean()) < 0.2


def test_arrays_reach_the_denoiser_and_grids_compile_once():
    path, traces = FlowMatching(), []

    def denoise(x, t, shift):
        traces.append(1)
        data, noise = Gaussian(path).denoise(x - (1 - t) * shift, t)
        return data + shift, noise

    run = Sampler(denoise, path, "ddim")
    found = [run(X, grid(path, steps), np.float32(2.0)) for steps in (10, 20, 64)]
    seen = len(traces)
    assert np.abs(found[0] - found[2]).max() > 1e-3
    moved = run(X, grid(path, 20, "quadratic"), np.float32(3.0))
    assert np.abs(moved - found[1]).max() > 0.5
    assert len(traces) == seen <= 2


def test_steps_of_the_grid():
    discrete = DDPMLinear(steps=1000)
    np.testing.assert_allclose(grid(discrete, 4), [1, 0.75, 0.5, 0.25, 0])
    for spacing in ("uniform", "quadratic"):
        for steps in (1, 7, 100, 999, 1000):
            times = grid(discrete, steps, spacing) * 1000
            np.testing.assert_allclose(times, np.round(times), atol=1e-3)
            assert times[0] == 1000
            assert times[-1] == 0
            assert len(times) == steps + 1
            assert (np.diff(times) < -0.5).all()
    # Karras et al. 2022, equation 5.
    path, steps = EDM(), np.arange(18)
    levels = (80 ** (1 / 7) + steps / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    found = grid(path, 18, "karras")
    np.testing.assert_allclose(found[:-1] * 80, levels, rtol=1e-5)
    assert found[-1] == 0
    for path in PATHS:
        times = grid(path, 12, "karras")
        assert (np.diff(times) < 0).all()
        assert times[0] == 1
        assert times[-2] >= path.first
        assert len(times) == 13


def test_more_steps_than_the_schedule_has_are_refused():
    with pytest.raises(
        ValueError, match=r"has 1000 steps, got steps=1001. Use at most"
    ):
        grid(DDPMLinear(), 1001)
    assert len(grid(VariancePreserving(), 1001)) == 1002


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sampler(Cosine(), "rk5"), "solver must be one of"),
        (lambda: sampler(Cosine(), "heun", eta=0.5), "eta is an option"),
        (lambda: sampler(Cosine(), eta=2.0), "eta must be from 0 to 1"),
        (lambda: sampler(Cosine())(X, [0.5]), "at least 2"),
        (lambda: sampler(Cosine())(X, [0.5, 0.7, 0.6]), "rise or fall"),
        (lambda: sampler(Cosine())(X, [0.5, 0.5]), "rise or fall"),
        (lambda: sampler(Cosine())(X, [1.5, 0.5]), "between 0 and 1"),
        (lambda: sampler(Cosine(), "ancestral")(X, [0.1, 0.5]), "From data to noise"),
        (lambda: sampler(Cosine())(X, [1, 0], known=X), "given together"),
        (lambda: sampler(Cosine())(X, [1, 0], known=X, mask=[1, 2, 3]), "mask must"),
        (lambda: sampler(Cosine())(X, [1, 0], known=X, mask=0.5), "only 0 and 1"),
        (lambda: sampler(Cosine())(X, [1, 0], known=X[0], mask=1), "known must have"),
        (lambda: grid(Cosine(), 0), "steps must be"),
        (lambda: grid(Cosine(), 5, "log"), "spacing must be"),
        (lambda: grid(Cosine(), 5, "karras", rho=0.0), "rho must be"),
    ],
)
def test_impossible_requests_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_what_does_not_converge_is_refused():
    path = VariancePreserving()
    run = Sampler(lambda x, t: (x * 1e30, x * 1e30), path, "heun")
    with pytest.raises(ValueError, match="did not converge in 5 steps"):
        run(X, grid(path, 5))
