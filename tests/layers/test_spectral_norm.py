import keras
import numpy as np
import pytest
import torch
from keras import layers, ops
from keras.optimizers import SGD

from zoo.layers.convolution.spectral_norm import SpectralNorm
from zoo.training import Model, Phase

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(3, 3, 2, 4)).astype("float32")
X = RNG.normal(size=(5, 6, 6, 2)).astype("float32")
LARGEST = np.linalg.svd(KERNEL.reshape(-1, 4))[1][0]


class Squares(Model):
    """The mean square of what a normed convolution gives."""

    def __init__(self):
        super().__init__()
        inner = layers.Conv2D(4, 3, use_bias=False, name="linear")
        self.convolution = SpectralNorm(inner, name="convolution")
        self.convolution.build((None, 6, 6, 2))
        inner.kernel.assign(KERNEL)

    def phases(self):
        return (Phase("squares", self.squares, [self.convolution]),)

    def squares(self, x, training):
        return {"loss": ops.mean(ops.square(self.convolution(x, training=training)))}


def settled(layer):
    """After enough passes for the power iteration to have converged."""
    for _ in range(60):
        layer(X, training=True)
    return layer


def test_the_norm_is_the_largest_singular_value():
    layer = Squares().convolution
    before = float(ops.convert_to_numpy(layer.norm()))
    direction = ops.convert_to_numpy(layer.direction).copy()
    layer(X)
    np.testing.assert_array_equal(direction, ops.convert_to_numpy(layer.direction))
    settled(layer)
    assert before < LARGEST
    assert float(ops.convert_to_numpy(layer.norm())) == pytest.approx(LARGEST, abs=1e-4)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.layer.kernel), KERNEL)
    plain = ops.conv(X, KERNEL / LARGEST)
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(X)),
        ops.convert_to_numpy(plain),
        rtol=0,
        atol=1e-4,
    )


def test_the_gradient_goes_through_the_division():
    model = Squares()
    settled(model.convolution)
    model.compile(SGD(1.0))
    model.train_on_batch(X)
    kernel = torch.tensor(KERNEL, requires_grad=True)
    norm = torch.linalg.matrix_norm(kernel.reshape(-1, 4), ord=2)
    weight = (kernel / norm).permute(3, 2, 0, 1)
    x = torch.tensor(X).permute(0, 3, 1, 2)
    torch.nn.functional.conv2d(x, weight).square().mean().backward()
    moved = KERNEL - ops.convert_to_numpy(model.convolution.layer.kernel)
    np.testing.assert_allclose(moved, kernel.grad.numpy(), rtol=0, atol=1e-4)


def test_embeddings_and_configuration():
    layer = SpectralNorm(layers.Embedding(3, 2), use_bias=False)
    layer.build((None,))
    table = RNG.normal(size=(3, 2)).astype("float32")
    layer.layer.embeddings.assign(table)
    for _ in range(20):
        rows = layer(np.array([2, 0]), training=True)
    expected = table[[2, 0]] / np.linalg.norm(table, ord=2)
    np.testing.assert_allclose(ops.convert_to_numpy(rows), expected, rtol=0, atol=1e-5)
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert isinstance(again.layer, layers.Embedding) and not again.use_bias
    with pytest.raises(ValueError, match="use_bias=False"):
        SpectralNorm(layers.Dense(2, name="dense"))
