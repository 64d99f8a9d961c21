from dataclasses import replace

import numpy as np
import pytest
import torch
from keras import ops

from tests.models import noise_networks
from tests.models import plain_torch_unet as plain
from tests.models.noise_networks import (
    arrays,
    called,
    gradients,
    uninitialised_size,
)
from zoo.models.diffusion.unet import UNet, UNetConfig

# A height other than the width, and each kind of part.
CONFIG = UNetConfig(
    image_shape=(8, 4, 2),
    out_channels=3,
    width=8,
    multipliers=(1, 2),
    num_residual_blocks=1,
    attention_sides=(4,),
    num_heads=2,
    groups=4,
    condition_dim=3,
)


def made(config=CONFIG, **options):
    return noise_networks.made(UNet, config, **options)


def batch(config=CONFIG):
    return noise_networks.batch(config)


def last(planes):
    return planes.permute(0, 2, 3, 1).detach().numpy()


def pair(config):
    """Our network and plain torch's with the same weights, and torch's outputs."""
    network, given = made(config), batch(config)
    theirs = plain.with_weights(plain.UNet(config), arrays(network))
    outputs = theirs(
        torch.tensor(given["x"]).permute(0, 3, 1, 2),
        torch.tensor(given["times"]),
        torch.tensor(given["condition"]),
    )
    return network, theirs, outputs


@pytest.mark.parametrize("scale_shift", [True, False])
def test_outputs_are_plain_torchs(scale_shift):
    config = replace(CONFIG, scale_shift=scale_shift)
    network, _, expected = pair(config)
    given = batch(config)
    found = called(network, given)
    assert found.shape == network.compute_output_shape(given["x"].shape)
    np.testing.assert_allclose(found, last(expected), rtol=0, atol=1e-4)


def test_gradients_are_plain_torchs():
    network, theirs, outputs = pair(CONFIG)
    outputs.square().mean().backward()
    compared = plain.in_torch(theirs, gradients(network, batch()))
    for path, parameter, gradient in compared:
        far = (parameter.grad - gradient).abs().max()
        assert far < 1e-4, (path, far)


def test_a_new_network_gives_zeros():
    network = UNet(CONFIG)
    network.build()
    found = ops.convert_to_numpy(network(**batch()))
    np.testing.assert_array_equal(found, 0)


@pytest.mark.host
def test_parameters_of_ddpms_network_for_cifar():
    # 35.7 million in Ho et al. 2020, appendix B, and this number in its ports.
    config = UNetConfig(
        image_shape=(32, 32, 3),
        width=128,
        multipliers=(1, 2, 2, 2),
        attention_sides=(16,),
        num_heads=1,
        scale_shift=False,
    )
    assert uninitialised_size(UNet, config) == 35_746_307


def test_no_condition_is_a_condition_of_zeros():
    network, given = made(), batch()
    zeros = network(**(given | {"condition": np.zeros_like(given["condition"])}))
    none = network(given["x"], given["times"])
    np.testing.assert_array_equal(*(ops.convert_to_numpy(y) for y in (zeros, none)))


def test_a_condition_that_the_network_lacks():
    network = made(replace(CONFIG, condition_dim=0))
    with pytest.raises(ValueError, match="set condition_dim"):
        network(**batch())


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(dtype):
    given = batch()
    exact, found = called(made(), given), called(made(dtype=dtype), given)
    assert found.dtype == "float32"
    assert np.abs(found - exact).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_near_times_differ_at_any_precision(dtype):
    # bfloat16 rounds both to 0.5.
    network = made(dtype=dtype)
    embedded = network.times(np.array([0.5, 0.501], "float32"))
    assert np.abs(np.diff(ops.convert_to_numpy(embedded), axis=0)).max() > 0.05
    x = np.repeat(batch()["x"][:1], 2, axis=0)
    one, other = ops.convert_to_numpy(network(x, np.array([0.5, 0.501], "float32")))
    assert np.abs(one - other).max() > 1e-3


def test_dropout_only_in_training():
    network, given = made(replace(CONFIG, dropout=0.5)), batch()
    one, other, dropped = (
        called(network, given, training) for training in (False, False, True)
    )
    np.testing.assert_array_equal(one, other)
    assert np.abs(one - dropped).max() > 1e-3


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"image_shape": (7, 4, 1)}, "multiples of 2"),
        ({"attention_sides": (3,)}, r"attention_sides must be among .* \(8, 4\)"),
        ({"groups": 3}, "groups must divide"),
        ({"num_heads": 3}, "num_heads must divide"),
        ({"multipliers": ()}, "multipliers"),
        ({"width": 7, "num_heads": 1, "groups": 1}, "width must be even"),
        ({"time_features": "cosine"}, "time_features must be one of"),
        ({"condition_dim": -1}, "condition_dim"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_bad_configurations(fields, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **fields)
