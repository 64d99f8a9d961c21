import functools
import math

import keras
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from keras import ops

from zoo.layers.noising import (
    EDM,
    Cosine,
    DDPMLinear,
    FlowMatching,
    VarianceExploding,
    VariancePreserving,
)
from zoo.likelihood.probability_flow import ProbabilityFlow

MEAN = np.array([0.4, -0.3, 0.1, 0.8], "float32")
ROOT = np.array(
    [[0.8, 0, 0, 0], [0.3, 0.7, 0, 0], [-0.2, 0.2, 0.6, 0], [0.1, 0, -0.4, 0.9]]
)
COVARIANCE = ROOT @ ROOT.T
VALUES, VECTORS = (a.astype("float32") for a in np.linalg.eigh(COVARIANCE))
RNG = np.random.default_rng(0)
X = (MEAN + RNG.normal(size=(5, 4)) @ ROOT.T).astype("float32").reshape(5, 2, 2, 1)
EXACT = scipy.stats.multivariate_normal(MEAN, COVARIANCE).logpdf(X.reshape(5, 4))


def velocity(path, x, times):
    """The flow of correlated Gaussian data, (B, 2, 2, 1)."""
    mean, values, vectors = map(ops.convert_to_tensor, (MEAN, VALUES, VECTORS))
    flat, t = ops.reshape(x, (-1, 4)), times[:, None]
    alpha, sigma = path.alpha(t), path.sigma(t)
    turned = ops.matmul(flat - alpha * mean, vectors)
    noise = turned / (ops.square(alpha) * values + ops.square(sigma))
    data = mean + ops.matmul(alpha * values * noise, ops.transpose(vectors))
    noise = sigma * ops.matmul(noise, ops.transpose(vectors))
    return ops.reshape(path.velocity(data, noise, times), ops.shape(x))


def flow(path, **options):
    options = {"trace": "exact", "start": min(path.first, 1e-5), **options}
    stddev = np.sqrt(np.diag(COVARIANCE)).reshape(2, 2, 1)
    moments = {"data_stddev": stddev, "data_mean": MEAN.reshape(2, 2, 1)}
    options = moments | options
    return ProbabilityFlow(functools.partial(velocity, path), path, **options)


@pytest.mark.parametrize(
    "path",
    [VariancePreserving(), Cosine(), EDM(sigma_max=500.0), FlowMatching()],
    ids=lambda path: path.name,
)
def test_gaussian_data_within_a_thousandth_of_a_nat(path):
    found = flow(path).log_likelihood(X)
    error = np.abs(found.log_likelihood - EXACT)
    assert error.max() < 1e-3
    assert (found.probe_error == 0).all()
    assert found.solver_error.max() < 5e-3
    assert found.noise.shape == X.shape


def test_the_tables_flow_is_near_too():
    # Its first time is a step after the data, and slopes change at each step.
    path = DDPMLinear(steps=1000)
    found = flow(path, start=1e-4, steps=60).log_likelihood(X)
    assert np.abs(found.log_likelihood - EXACT).max() < 1e-2


@pytest.mark.parametrize("path", [FlowMatching(), VariancePreserving()])
def test_fixed_steps_converge_with_order_4_and_report_their_error(path):
    errors, reported = [], []
    best = flow(path, steps=48, start=0.01).log_likelihood(X)
    for steps in (4, 12):
        found = flow(path, steps=steps, start=0.01).log_likelihood(X)
        errors.append(np.abs(found.log_likelihood - best.log_likelihood).max())
        reported.append(found.solver_error.max())
        assert found.evaluations == 6 * steps
    slope = -np.polyfit(np.log([4, 12]), np.log(errors), 1)[0]
    assert slope > 3
    assert all(r > e for r, e in zip(reported, errors, strict=True))


def test_smaller_tolerances_give_smaller_errors_and_say_so():
    path, errors, reported, evaluations = FlowMatching(), [], [], []
    for tolerance in (1e-2, 1e-3, 1e-4):
        found = flow(path, rtol=tolerance, atol=tolerance).log_likelihood(X)
        errors.append(np.abs(found.log_likelihood - EXACT).max())
        reported.append(found.solver_error.max())
        evaluations.append(found.evaluations)
    assert errors[0] > errors[2]
    assert errors[2] < 1e-3
    assert reported == sorted(reported, reverse=True)
    assert evaluations == sorted(evaluations)
    # Local errors grow along the flow, so that their sum is not a bound.
    assert all(0.2 < r / e < 5 for r, e in zip(reported, errors, strict=True))


def test_beside_scipys_rk45():
    path = FlowMatching()
    found = flow(path, rtol=1e-6, atol=1e-6).log_likelihood(X)

    def slope(t, y):
        t, alpha = np.float64(t), 1 - t
        turned = (y[:4] - alpha * MEAN) @ VECTORS
        noise = turned / (alpha**2 * VALUES + t**2)
        data = MEAN + (alpha * VALUES * noise) @ VECTORS.T
        trace = (t - alpha * VALUES) / (alpha**2 * VALUES + t**2)
        return np.append(t * noise @ VECTORS.T - data, trace.sum())

    for row, log_p, noise in zip(X, found.log_likelihood, found.noise, strict=True):
        start = np.append(row.reshape(4), 0.0).astype("float64")
        end = scipy.integrate.solve_ivp(slope, (0, 1), start, rtol=1e-9, atol=1e-9)
        y = end.y[:, -1]
        expected = scipy.stats.norm.logpdf(y[:4]).sum() + y[4]
        np.testing.assert_allclose(noise.reshape(4), y[:4], rtol=0, atol=1e-5)
        assert abs(log_p - expected) < 3e-5


@pytest.mark.parametrize("law", ["rademacher", "gaussian"])
def test_hutchinsons_error_falls_with_the_root_of_the_probes(law):
    counts, rows = (1, 8, 64), np.repeat(X[:1], 128, axis=0)
    exact = flow(FlowMatching(), steps=8).log_likelihood(X[:1]).log_likelihood
    errors = []
    for probes in counts:
        run = flow(FlowMatching(), steps=8, trace=law, probes=probes, batch_size=128)
        found = run.log_likelihood(rows, seed=5)
        errors.append(np.sqrt(np.mean((found.log_likelihood - exact) ** 2)))
        if probes > 1:
            # The reported standard error is the error's own size.
            size = np.sqrt(np.mean(found.probe_error**2))
            assert 0.8 < size / errors[-1] < 1.25
        else:
            assert np.isnan(found.probe_error).all()
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert abs(slope + 0.5) < 0.06


def test_conditions_have_a_row_per_example_and_batches_change_nothing():
    path = FlowMatching()

    def moved(x, times, shift):
        alpha = (1 - times)[:, None, None, None]
        shift = shift[:, None, None, None]
        return velocity(path, x - alpha * shift, times) - shift

    shift = np.arange(5, dtype="float32")
    x = X + shift[:, None, None, None]
    runs = [
        ProbabilityFlow(moved, path, trace="exact", batch_size=size) for size in (2, 5)
    ]
    found = [run.log_likelihood(x, shift).log_likelihood for run in runs]
    np.testing.assert_allclose(found[0], EXACT, rtol=0, atol=2e-3)
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="Arrays must have 5 rows"):
        runs[0].log_likelihood(x, shift[:3])


def test_a_networks_weights_are_read_at_each_call():
    path, layer = FlowMatching(), keras.layers.Dense(2, kernel_initializer="zeros")
    layer.build((None, 2))
    run = ProbabilityFlow(
        lambda x, t: layer(x), path, trace="exact", variables=layer.variables
    )
    x = np.zeros((1, 2), "float32")
    before = run.log_likelihood(x).log_likelihood
    layer.kernel.assign(np.diag([0.5, 0.25]).astype("float32"))
    after = run.log_likelihood(x).log_likelihood
    assert abs(before[0] + math.log(2 * math.pi)) < 1e-5
    assert abs(after[0] - before[0] - 0.75) < 1e-4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_steps": 3}, r"did not converge: example 0 stopped at time .* Give more"),
        ({"steps": 2}, r"is not finite after 2 steps"),
    ],
)
def test_what_does_not_converge_is_refused(options, words):
    scale = 1e30 if "steps" in options else 1.0
    run = ProbabilityFlow(
        lambda x, t: scale * x * ops.square(x) * 50, FlowMatching(), **options
    )
    with pytest.raises(ValueError, match=words):
        run.log_likelihood(np.ones((2, 3), "float32"))


def test_infinite_slopes_end_soon():
    run = ProbabilityFlow(lambda x, t: x / 0.0 * 0.0, FlowMatching())
    with pytest.raises(ValueError, match="did not converge"):
        run.log_likelihood(np.ones((2, 3), "float32"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trace": "skilling"}, "trace must be one of"),
        ({"probes": 0}, "probes"),
        ({"steps": 5}, "steps must be even"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"rtol": 1e-9}, "rtol must be from"),
        ({"atol": math.nan}, "atol must be from"),
        ({"start": 1.0}, "start must be"),
        ({"data_stddev": -1.0}, "data_stddev"),
        ({"batch_size": 0}, "batch_size"),
        ({"max_steps": 0}, "max_steps"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        ProbabilityFlow(lambda x, t: x, VarianceExploding(), **options)
