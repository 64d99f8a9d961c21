import functools

import numpy as np
import pytest
import torch
from keras import ops
from torch.nn import functional

from zoo.layers import GroupNorm, InstanceNorm, ReflectionPadding
from zoo.training import input_gradient


def pictures(seed=0, shape=(2, 6, 5, 3)):
    return np.random.default_rng(seed).normal(1.0, 2.0, shape).astype("float32")


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    "make, reference",
    [
        (InstanceNorm, functional.instance_norm),
        (functools.partial(GroupNorm, 3), lambda x: functional.group_norm(x, 3)),
        (
            functools.partial(ReflectionPadding, 2),
            lambda x: functional.pad(x, (2, 2, 2, 2), mode="reflect"),
        ),
    ],
    ids=["instance_norm", "group_norm", "reflection_padding"],
)
def test_equals_torchs(make, reference, data_format):
    layer, x = make(data_format=data_format), pictures()
    last = data_format == "channels_last"

    def in_format(planes):
        return planes.permute(0, 2, 3, 1) if last else planes

    theirs = torch.tensor(x)
    theirs = (theirs.permute(0, 3, 1, 2) if last else theirs).requires_grad_()
    expected = reference(theirs)
    weights = np.random.default_rng(1).normal(size=expected.shape).astype("float32")
    (expected * torch.tensor(weights)).sum().backward()
    ours = ops.convert_to_tensor(in_format(torch.tensor(weights)).numpy())

    found = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(found, in_format(expected.detach()), rtol=0, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == found.shape
    gradient = input_gradient(lambda x: layer(x) * ours, ops.convert_to_tensor(x))
    np.testing.assert_allclose(
        ops.convert_to_numpy(gradient), in_format(theirs.grad), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_group_norms_gain_and_offset(data_format):
    last = data_format == "channels_last"
    x = pictures(shape=(2, 6, 5, 4))
    planes = torch.tensor(x if not last else np.moveaxis(x, 3, 1))
    layer = GroupNorm(2, 1e-3, data_format)
    layer.build(x.shape)
    channels = planes.shape[1]
    gamma, beta = np.random.default_rng(1).normal(size=(2, channels)).astype("float32")
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    expected = functional.group_norm(
        planes, 2, torch.tensor(gamma), torch.tensor(beta), 1e-3
    ).numpy()
    expected = np.moveaxis(expected, 1, 3) if last else expected
    found = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_groups_that_do_not_divide_the_channels():
    with pytest.raises(ValueError, match=r"multiple of groups=2, got shape .*, 3\)"):
        GroupNorm(2)(pictures())


@pytest.mark.parametrize(
    "make", [InstanceNorm, functools.partial(GroupNorm, 3)], ids=["instance", "group"]
)
def test_sixteen_bits_are_normed_in_float32(make):
    # Squares of 300 overflow float16.
    x = pictures() + 300
    found = make(dtype="mixed_float16")(x)
    assert "float16" in str(found.dtype)
    x = x.astype("float16").astype("float32")
    expected = ops.convert_to_numpy(make()(x))
    found = ops.convert_to_numpy(ops.cast(found, "float32"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)
