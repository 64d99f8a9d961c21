import numpy as np
import pytest
from keras import ops

from zoo.layers.convolution.coders import check_coders, decode_samples, decoder, encoder


@pytest.mark.parametrize(
    ("shape", "body", "hidden", "features"),
    [
        ((28, 28, 1), "mlp", (20, 10), 10),
        ((28, 28, 1), "convolutional", (3, 5), 7 * 7 * 5),
        ((64, 64, 3), "convolutional", (2, 3, 4, 5), 4 * 4 * 5),
        ((8, 12, 2), "convolutional", (3,), 4 * 6 * 3),
    ],
)
def test_shapes(shape, body, hidden, features):
    images = np.zeros((2, *shape), "float32")
    assert encoder(shape, body, hidden, "tanh")(images).shape == (2, features)
    decode = decoder(6, (*shape[:2], 4), body, hidden, "tanh")
    assert decode(np.zeros((2, 6), "float32")).shape == (2, *shape[:2], 4)


def test_decoder_mirrors_the_encoder():
    shape, hidden = (8, 8, 3), (4, 5)
    widths = [w.shape for w in encoder(shape, "mlp", hidden, "tanh").weights]
    assert widths == [(192, 4), (4,), (4, 5), (5,)]
    widths = [w.shape for w in decoder(2, shape, "mlp", hidden, "tanh").weights]
    assert widths == [(2, 5), (5,), (5, 4), (4,), (4, 192), (192,)]
    down = [w.shape for w in encoder(shape, "convolutional", hidden, "relu").weights]
    assert down == [(4, 4, 3, 4), (4,), (4, 4, 4, 5), (5,)]
    up = [w.shape for w in decoder(2, shape, "convolutional", hidden, "relu").weights]
    # Transposed kernels are (height, width, out, in).
    assert up == [(2, 20), (20,), (4, 4, 4, 5), (4,), (4, 4, 3, 4), (3,)]


def test_samples_are_decoded_one_by_one():
    decode = decoder(3, (4, 4, 1), "mlp", (5,), "tanh")
    latents = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")
    whole = ops.convert_to_numpy(decode_samples(decode, latents))
    assert whole.shape == (2, 6, 4, 4, 1)
    one = ops.convert_to_numpy(decode(latents[:, 4]))
    np.testing.assert_allclose(whole[:, 4], one, rtol=0, atol=1e-6)


def test_what_can_not_be_made():
    with pytest.raises(ValueError, match=r"multiples of 8, got image_shape=\(28, 28"):
        check_coders((28, 28, 1), "convolutional", (8, 8, 8))
    with pytest.raises(ValueError, match=r"\(height, width, channels\).*got \(28, 28"):
        check_coders((28, 28), "mlp", (8,))
    with pytest.raises(ValueError, match="body must be one of .* got 'resnet'"):
        check_coders((28, 28, 1), "resnet", (8,))
    with pytest.raises(ValueError, match=r"hidden must hold .* got \(\)"):
        check_coders((28, 28, 1), "mlp", ())
