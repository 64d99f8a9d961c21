from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.models import noise_networks
from tests.models import plain_torch_dit as plain
from tests.models.noise_networks import (
    arrays,
    called,
    gradients,
    uninitialised_size,
)
from zoo.models.diffusion.dit import DiT, DiTConfig

# A height other than the width.
CONFIG = DiTConfig(
    image_shape=(8, 4, 2),
    out_channels=3,
    patch=2,
    width=8,
    num_layers=2,
    num_heads=2,
    condition_dim=3,
)


def made(config=CONFIG, **options):
    return noise_networks.made(DiT, config, **options)


def batch(config=CONFIG):
    return noise_networks.batch(config)


@pytest.fixture(scope="module")
def pair():
    """Our network and plain torch's with the same weights, and torch's outputs."""
    network, given = made(), batch()
    theirs = plain.with_weights(plain.DiT(CONFIG), arrays(network))
    outputs = theirs(
        torch.tensor(given["x"]).permute(0, 3, 1, 2),
        torch.tensor(given["times"]),
        torch.tensor(given["condition"]),
    )
    return network, theirs, outputs


def test_outputs_are_plain_torchs(pair):
    network, _, expected = pair
    found = called(network, batch())
    assert found.shape == network.compute_output_shape(batch()["x"].shape)
    expected = expected.permute(0, 2, 3, 1).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_gradients_are_plain_torchs(pair):
    _, theirs, outputs = pair
    outputs.square().mean().backward()
    compared = plain.in_torch(theirs, gradients(made(), batch()))
    for path, parameter, rows, gradient in compared:
        far = (parameter.grad[rows] - gradient).abs().max()
        assert far < 1e-4, (path, far)


def test_a_new_network_gives_zeros():
    network = DiT(CONFIG)
    network.build()
    np.testing.assert_array_equal(called(network, batch()), 0)


SIZES = {
    "DiT-S/2": (384, 12, 6, 33),
    "DiT-B/2": (768, 12, 12, 130),
    "DiT-L/2": (1024, 24, 16, 458),
    "DiT-XL/2": (1152, 28, 16, 675),
}


def of_size(name):
    """The parameters of ours, and those of the labels that theirs embed."""
    width, num_layers, num_heads, _ = SIZES[name]
    config = DiTConfig((32, 32, 4), 8, 2, width, num_layers, num_heads)
    return uninitialised_size(DiT, config) + 1001 * width


@pytest.mark.host
@pytest.mark.parametrize("name", SIZES)
def test_parameters_of_the_papers_sizes(name):
    assert round(of_size(name) / 1e6) == SIZES[name][-1]


@pytest.mark.host
def test_parameters_of_the_largest():
    # As facebookresearch/DiT logs them; it counts the fixed positions too.
    assert of_size("DiT-XL/2") + 16 * 16 * 1152 == 675_129_632


def test_a_condition_that_the_network_lacks():
    network = made(replace(CONFIG, condition_dim=0))
    with pytest.raises(ValueError, match="set condition_dim"):
        network(**batch())


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(dtype, pair):
    exact, found = called(pair[0], batch()), called(made(dtype=dtype), batch())
    assert found.dtype == "float32"
    assert np.abs(found - exact).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"image_shape": (7, 4, 1)}, "patch must divide"),
        ({"num_heads": 3}, "multiple of num_heads"),
        ({"width": 6}, "multiple of 4"),
        ({"out_channels": 0}, "out_channels"),
        ({"time_features": "cosine"}, "time_features must be one of"),
    ],
)
def test_bad_configurations(fields, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **fields)
