import numpy as np
import pytest
import torch
from keras import ops
from torch.nn import functional

from zoo.layers import InstanceNorm, ReflectionPadding
from zoo.training import input_gradient


def pictures(seed=0, shape=(2, 6, 5, 3)):
    return np.random.default_rng(seed).normal(1.0, 2.0, shape).astype("float32")


@pytest.mark.parametrize(
    "layer, reference",
    [
        (InstanceNorm(), functional.instance_norm),
        (
            ReflectionPadding(2),
            lambda x: functional.pad(x, (2, 2, 2, 2), mode="reflect"),
        ),
    ],
    ids=["instance_norm", "reflection_padding"],
)
def test_equals_torchs(layer, reference):
    x = pictures()
    theirs = torch.tensor(x).permute(0, 3, 1, 2).requires_grad_()
    expected = reference(theirs)
    weights = np.random.default_rng(1).normal(size=expected.shape).astype("float32")
    (expected * torch.tensor(weights)).sum().backward()
    ours = ops.convert_to_tensor(weights.transpose(0, 2, 3, 1))

    found = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(
        found, expected.detach().permute(0, 2, 3, 1), rtol=0, atol=1e-5
    )
    assert layer.compute_output_shape(x.shape) == found.shape
    gradient = input_gradient(lambda x: layer(x) * ours, ops.convert_to_tensor(x))
    np.testing.assert_allclose(
        ops.convert_to_numpy(gradient),
        theirs.grad.permute(0, 2, 3, 1),
        rtol=0,
        atol=1e-5,
    )


def test_sixteen_bits_are_normed_in_float32():
    # Squares of 300 overflow float16.
    x = pictures() + 300
    found = InstanceNorm(dtype="mixed_float16")(x)
    assert "float16" in str(found.dtype)
    x = x.astype("float16").astype("float32")
    expected = ops.convert_to_numpy(InstanceNorm()(x))
    found = ops.convert_to_numpy(ops.cast(found, "float32"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)
