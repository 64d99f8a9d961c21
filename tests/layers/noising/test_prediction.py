import numpy as np
import pytest
from keras import ops

from zoo.layers.noising import (
    EDM,
    LOSS_WEIGHTS,
    PATHS,
    PREDICTIONS,
    Cosine,
    DDPMLinear,
    FlowMatching,
    LossWeight,
    Prediction,
    VariancePreserving,
)

RNG = np.random.default_rng(0)
DATA, NOISE, OTHER = RNG.normal(size=(3, 5, 3, 3, 1)).astype("float32")
TIMES = np.array([0.1, 0.3, 0.5, 0.7, 0.95], "float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def combinations():
    for cls in PATHS.values():
        for kind in PREDICTIONS:
            if kind == "noise" and not cls().keeps_data:
                continue
            yield pytest.param(Prediction(cls(), kind), id=f"{cls.name}-{kind}")


@pytest.mark.parametrize("prediction", list(combinations()))
def test_estimates_invert_the_target(prediction):
    path = prediction.path
    clean, drawn = map(ops.convert_to_tensor, (DATA, NOISE))
    x = path.noised(clean, drawn, TIMES)
    output = prediction.target(clean, drawn, TIMES)
    data, noise = prediction.estimates(x, output, TIMES)
    # Rounding is magnified by what x is divided by.
    worse = np.max(np.maximum(numpy(path.ratio(TIMES)), 1 / numpy(path.ratio(TIMES))))
    np.testing.assert_allclose(numpy(data), DATA, rtol=0, atol=3e-6 * worse)
    np.testing.assert_allclose(numpy(noise), NOISE, rtol=0, atol=3e-6 * worse)


@pytest.mark.parametrize("prediction", list(combinations()))
def test_errors_of_outputs_become_errors_of_data(prediction):
    path = prediction.path
    clean, drawn = map(ops.convert_to_tensor, (DATA, NOISE))
    x = path.noised(clean, drawn, TIMES)
    output = prediction.target(clean, drawn, TIMES)
    first, _ = prediction.estimates(x, output, TIMES)
    second, _ = prediction.estimates(x, output + 1, TIMES)
    change = (numpy(second) - numpy(first))[:, 0, 0, 0] ** 2
    found = numpy(prediction.data_error(TIMES))
    np.testing.assert_allclose(found, change, rtol=2e-2, atol=1e-6)


@pytest.mark.parametrize("prediction", list(combinations()))
def test_all_is_finite_at_both_ends(prediction):
    t = np.array([0.0, 0.0, 1e-3, 1.0, 1.0], "float32")
    data, noise, output = map(ops.convert_to_tensor, (DATA, NOISE, OTHER))
    x = prediction.path.noised(data, noise, t)
    found = [
        *prediction.inputs(x, t),
        prediction.target(data, noise, t),
        *prediction.estimates(x, output, t),
        prediction.path.velocity(data, noise, t),
        *(LossWeight(kind).of(prediction, t) for kind in LOSS_WEIGHTS),
    ]
    for values in found:
        assert np.isfinite(numpy(values)).all()


def test_edm_is_table_1():
    sigma = np.array([0.002, 0.5, 3.0, 10.0, 80.0], "float32")
    t = sigma / 80
    prediction = Prediction(EDM(), "edm", 0.5)
    x = DATA + sigma.reshape(-1, 1, 1, 1) * NOISE
    s = sigma.reshape(-1, 1, 1, 1)
    inputs, times = prediction.inputs(ops.convert_to_tensor(x), t)
    np.testing.assert_allclose(numpy(inputs), x / np.sqrt(s**2 + 0.25), rtol=2e-6)
    np.testing.assert_allclose(numpy(times), np.log(sigma) / 4, rtol=0, atol=1e-6)
    expected = 0.25 / (s**2 + 0.25) * x + s * 0.5 / np.sqrt(s**2 + 0.25) * OTHER
    found = prediction.estimates(*map(ops.convert_to_tensor, (x, OTHER)), t)
    np.testing.assert_allclose(numpy(found[0]), expected, rtol=0, atol=1e-5)
    # Its loss weight is uniform for the network's own output.
    weights = numpy(LossWeight("edm").of(prediction, t))
    np.testing.assert_allclose(weights, 1, rtol=1e-5)


def test_weights_are_the_papers():
    path = VariancePreserving()
    snr = numpy(path.alpha(TIMES)) ** 2 / numpy(path.sigma(TIMES)) ** 2

    def weight(kind, prediction):
        return numpy(LossWeight(kind).of(Prediction(path, prediction), TIMES))

    for kind, prediction, expected in (
        ("uniform", "noise", np.ones(5)),
        ("snr", "noise", np.ones(5)),
        ("min_snr", "data", np.minimum(snr, 5)),
        ("min_snr", "noise", np.minimum(snr, 5) / snr),
        ("min_snr", "velocity", np.minimum(snr, 5) / (snr + 1)),
        ("truncated", "data", np.maximum(snr, 1)),
        ("truncated", "velocity", np.maximum(snr, 1) / (snr + 1)),
    ):
        np.testing.assert_allclose(weight(kind, prediction), expected, rtol=1e-4)
    h = 1e-3
    slope = (numpy(path.snr(TIMES + h)) - numpy(path.snr(TIMES - h))) / (2 * h)
    np.testing.assert_allclose(weight("elbo", "data"), -slope / 2, rtol=2e-3)


@pytest.mark.parametrize(
    "path", [Cosine(), FlowMatching(), DDPMLinear(zero_terminal_snr=True)]
)
def test_noise_is_refused_where_no_data_are_left(path):
    with pytest.raises(ValueError, match="Predict 'velocity'"):
        Prediction(path, "noise")


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="kind must be one of"):
        Prediction(EDM(), "score")
    with pytest.raises(ValueError, match="kind must be one of"):
        LossWeight("p2")
    with pytest.raises(ValueError, match="sigma_data"):
        Prediction(EDM(), "edm", 0.0)
    with pytest.raises(ValueError, match="gamma"):
        LossWeight(gamma=0.0)
