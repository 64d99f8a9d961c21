import keras
import numpy as np
import pytest
from keras import ops

from zoo.layers import Convolution, Upsampling
from zoo.training import input_gradient


def pictures(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3},
        {"kernel_size": (1, 4), "use_bias": False},
        {"kernel_size": 3, "strides": 2},
        {"kernel_size": 4, "strides": (2, 1), "activation": "tanh"},
        {"kernel_size": 3, "padding": "valid"},
        {"kernel_size": 3, "groups": 2},
        {"kernel_size": 3, "dilation_rate": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("sides", [(6, 5), (7, 8)])
def test_is_keras_own(options, sides):
    x = pictures(2, *sides, 4)
    options = {"padding": "same", "bias_initializer": "ones", **options}
    ours = Convolution(6, **options)
    theirs = keras.layers.Conv2D(6, **options)
    for layer in (ours, theirs):
        layer.build(x.shape)
    theirs.set_weights(ours.get_weights())
    expected, found = (ops.convert_to_numpy(layer(x)) for layer in (theirs, ours))
    assert ours.compute_output_shape(x.shape) == found.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_the_gradient_is_keras_own():
    x = ops.convert_to_tensor(pictures(2, 6, 5, 4))
    ours = Convolution(3, 3, 2, "same")
    theirs = keras.layers.Conv2D(3, 3, 2, "same")
    for layer in (ours, theirs):
        layer.build(x.shape)
    theirs.set_weights(ours.get_weights())
    found, expected = (
        ops.convert_to_numpy(input_gradient(lambda x, f=f: ops.square(f(x)), x))
        for f in (ours, theirs)
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_upsampling_repeats_pixels():
    x = pictures(2, 3, 4, 5)
    layer = Upsampling(5)
    layer.build(x.shape)
    # The kernel that gives each pixel itself.
    kernel = np.zeros((3, 3, 5, 5), "float32")
    kernel[1, 1] = np.eye(5)
    layer.convolution.kernel.assign(kernel)
    found = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(
        found, x.repeat(2, axis=1).repeat(2, axis=2), rtol=0, atol=1e-6
    )
