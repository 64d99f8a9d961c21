"""Invertible layers: inverses, log-determinants, splines, and the first batch."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from zoo.layers.invertible.actnorm import ActNorm
from zoo.layers.invertible.coupling import PATTERNS, Coupling
from zoo.layers.invertible.mixing import Mixing
from zoo.layers.invertible.multiscale import Multiscale
from zoo.layers.invertible.spline import num_parameters, rational_quadratic
from zoo.layers.invertible.squeeze import Squeeze, squeezed, unsqueezed
from zoo.layers.latent.dequantization import VariationalDequantization

SMALL = {"hidden": 5, "num_blocks": 1}


def started(make, shape, seed=0, stddev=0.3):
    """A layer with weights drawn anew, and an input of `shape`."""
    layer = make()
    rng = np.random.default_rng(seed)
    layer.build((None, *shape))
    for variable in layer.trainable_variables:
        if "lower" in variable.path or "upper" in variable.path:
            continue
        variable.assign(rng.normal(0, stddev, variable.shape).astype("float32"))
    return layer, rng.normal(size=(3, *shape)).astype("float32")


def multiscale():
    scales = [
        [Squeeze(), ActNorm(), Mixing(), Coupling("halves", **SMALL)],
        [Squeeze(), Coupling("diagonal", num_bins=3, **SMALL)],
    ]
    return Multiscale(scales)


CASES = {
    "squeeze": (Squeeze, (4, 2, 3)),
    "mixing": (lambda: Mixing(seed=1), (2, 3, 6)),
    "actnorm": (ActNorm, (2, 3, 4)),
    **{
        pattern: (lambda pattern=pattern: Coupling(pattern, **SMALL), (4, 4, 4))
        for pattern in PATTERNS
    },
    "flipped": (lambda: Coupling("halves", True, "plain", **SMALL), (2, 2, 5)),
    "residual": (lambda: Coupling("rows", True, "residual", **SMALL), (2, 2, 4)),
    "spline": (lambda: Coupling("rows", num_bins=4, **SMALL), (2, 2, 4)),
    "board": (lambda: Coupling("checkerboard", num_bins=3, **SMALL), (2, 2, 1)),
    "multiscale": (multiscale, (4, 4, 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_inverse(name):
    layer, x = started(*CASES[name])
    y, _ = layer(ops.convert_to_tensor(x))
    back = ops.convert_to_numpy(layer.inverse(y))
    np.testing.assert_allclose(back, x, rtol=0, atol=1e-5)
    shape = layer.compute_output_shape((3, *x.shape[1:]))
    assert tuple(shape[0]) == tuple(y.shape)
    if name not in ("squeeze",):
        assert np.abs(ops.convert_to_numpy(y).ravel() - x.ravel()).max() > 0.01


@pytest.mark.parametrize("name", CASES)
def test_log_determinant_is_autodiffs(name):
    torch = pytest.importorskip("torch")
    if keras.config.backend() != "torch":
        pytest.skip("needs torch's Jacobian")
    layer, x = started(*CASES[name])
    one = torch.tensor(x[:1])
    jacobian = torch.autograd.functional.jacobian(
        lambda v: layer(v.reshape(one.shape))[0].reshape(-1), one.reshape(-1)
    )
    expected = torch.linalg.slogdet(jacobian.double())[1]
    found = layer(ops.convert_to_tensor(x[:1]))[1]
    assert found.shape == (1,)
    assert found.item() == pytest.approx(expected.item(), abs=1e-4)


def test_condition_and_pictures_change_the_map_and_not_its_inverse():
    options = {"condition_dim": 3, "picture_channels": 2, **SMALL}
    layer, x = started(lambda: Coupling("halves", **options), (2, 2, 4))
    x = ops.convert_to_tensor(x)
    rng = np.random.default_rng(5)
    pictures = rng.normal(size=(3, 2, 2, 2)).astype("float32")
    seen = []
    for condition in (np.eye(3, dtype="float32"), np.eye(3, dtype="float32")[::-1]):
        y, _ = layer(x, condition.copy(), pictures)
        back = layer.inverse(y, condition.copy(), pictures)
        back, given = ops.convert_to_numpy(back), ops.convert_to_numpy(x)
        np.testing.assert_allclose(back, given, rtol=0, atol=1e-5)
        seen.append(ops.convert_to_numpy(y))
    assert np.abs(seen[0][0] - seen[1][0]).max() > 1e-3
    np.testing.assert_allclose(seen[0][1], seen[1][1], rtol=0, atol=1e-6)


def test_squeeze_puts_four_pixels_in_one():
    x = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    y = ops.convert_to_numpy(squeezed(x))
    assert y.shape == (1, 2, 2, 4)
    assert y[0, 0, 1].tolist() == [2, 3, 6, 7]
    np.testing.assert_array_equal(ops.convert_to_numpy(unsqueezed(y)), x)


def test_spline_is_identity_at_zero_and_outside():
    x = np.linspace(-4, 4, 33, dtype="float32")
    given = ops.convert_to_tensor(x)
    zeros = np.zeros((num_parameters(5), 33), "float32")
    y, log_slope = rational_quadratic(given, ops.convert_to_tensor(zeros), 3.0)
    np.testing.assert_allclose(ops.convert_to_numpy(y), x, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(log_slope), 0, atol=1e-6)
    random = np.random.default_rng(0).normal(size=zeros.shape).astype("float32")
    y, log_slope = rational_quadratic(given, ops.convert_to_tensor(random), 3.0)
    outside = np.abs(x) >= 3
    np.testing.assert_array_equal(ops.convert_to_numpy(y)[outside], x[outside])
    assert np.abs(ops.convert_to_numpy(y) - x)[~outside].max() > 0.01


def test_spline_is_monotone_and_its_slope_is_right():
    rng = np.random.default_rng(1)
    parameters = np.repeat(rng.normal(size=(num_parameters(6), 1)), 4001, 1)
    parameters = ops.convert_to_tensor(parameters.astype("float32"))
    x = np.linspace(-2.1, 2.1, 4001)
    y, log_slope = rational_quadratic(
        ops.convert_to_tensor(x.astype("float32")), parameters, 2.0
    )
    y = ops.convert_to_numpy(y).astype("float64")
    assert (np.diff(y) > 0).all()
    slope = np.exp(ops.convert_to_numpy(log_slope))
    area = np.sum((slope[1:] + slope[:-1]) / 2 * np.diff(x))
    assert area == pytest.approx(y[-1] - y[0], abs=2e-3)
    back, _ = rational_quadratic(
        ops.convert_to_tensor(y.astype("float32")), parameters, 2.0, inverse=True
    )
    np.testing.assert_allclose(ops.convert_to_numpy(back), x, rtol=0, atol=1e-5)


def test_mixing_starts_as_a_rotation():
    layer = Mixing(seed=3)
    layer.build((None, 2, 2, 6))
    x = np.random.default_rng(0).normal(size=(2, 2, 2, 6)).astype("float32")
    y, log_det = layer(x)
    np.testing.assert_allclose(ops.convert_to_numpy(log_det), 0, atol=1e-5)
    lengths = [np.linalg.norm(ops.convert_to_numpy(v), axis=-1) for v in (x, y)]
    np.testing.assert_allclose(*lengths, rtol=0, atol=1e-5)


def test_first_training_batch_alone_sets_actnorm():
    layer = ActNorm()
    layer.build((None, 4, 4, 2))
    rng = np.random.default_rng(0)
    first = rng.normal([3, -1], [2, 0.5], size=(50, 4, 4, 2)).astype("float32")
    y, log_det = layer(first)
    np.testing.assert_array_equal(ops.convert_to_numpy(y), first)
    y, log_det = layer(first, training=True)
    y = ops.convert_to_numpy(y)
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-4)
    expected = -16 * np.log(first.std((0, 1, 2))).sum()
    np.testing.assert_allclose(ops.convert_to_numpy(log_det), expected, atol=1e-3)
    held = [ops.convert_to_numpy(v).copy() for v in layer.variables]
    layer(5 * first, training=True)
    for variable, value in zip(layer.variables, held, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)


def test_actnorm_survives_a_constant_channel():
    layer = ActNorm()
    layer.build((None, 2, 2, 1))
    y, log_det = layer(np.full((3, 2, 2, 1), 7, "float32"), training=True)
    assert np.isfinite(ops.convert_to_numpy(y)).all()
    assert np.isfinite(ops.convert_to_numpy(log_det)).all()


@pytest.mark.parametrize("squeeze", [False, True])
def test_density_of_variational_noise_integrates_to_one(squeeze):
    # One pixel's noise varies while the others' stay: E over uniform noise of
    # 1 / q(u | x) is the volume of all u, which is 1.
    layer = VariationalDequantization(2, squeeze, "gated", 4, 1)
    layer.build((None, 2, 2, 1))
    rng = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(0, 0.2, variable.shape).astype("float32"))
    noise = rng.random((40_000, 2, 2, 1), "float32")
    picture = np.repeat(rng.random((1, 2, 2, 1), "float32"), len(noise), 0)
    u, log_q = layer(noise, picture)
    u, log_q = ops.convert_to_numpy(u), ops.convert_to_numpy(log_q)
    assert u.min() >= 0 and u.max() <= 1
    volumes = np.exp(-log_q)
    error = volumes.std() / math.sqrt(len(volumes))
    assert volumes.mean() == pytest.approx(1, abs=float(4 * error))
    assert error < 0.02 and np.abs(log_q).max() > 0.1


def test_log_determinants_are_float32_under_mixed_precision():
    mixed = {"dtype": "mixed_bfloat16", **SMALL}
    layer, x = started(lambda: Coupling("halves", **mixed), (4, 4, 4))
    y, log_det = layer(x)
    assert ops.dtype(y) == ops.dtype(log_det) == "float32"
    assert ops.dtype(layer.network.first(x[..., :2])) == "bfloat16"


def test_layers_restore_from_their_configuration():
    for name, (make, _) in CASES.items():
        if name != "multiscale":
            layer = make()
            again = type(layer).from_config(layer.get_config())
            assert again.get_config() == layer.get_config()


def test_bad_patterns_say_what_to_do():
    with pytest.raises(ValueError, match="pattern must be one of .* got 'stripes'"):
        Coupling("stripes")
    with pytest.raises(ValueError, match="can't halve 1 channel.*checkerboard"):
        Coupling("halves").build((None, 4, 4, 1))
    with pytest.raises(ValueError, match="multiple of 4 channels.*got 6"):
        Coupling("rows").build((None, 4, 4, 6))
