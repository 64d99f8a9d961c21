import numpy as np
import pytest
from keras import ops
from keras.optimizers import Adam

import zoo
from tests.training.toys import values, with_weights
from zoo.presets.registry import count_parameters

CONFIG = zoo.AutoencoderConfig(
    image_shape=(4, 4, 1), code_dim=2, hidden=(6,), activation="tanh"
)
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(12, 4, 4, 1)).astype("float32")


def test_published_size():
    # 784-1000-500-250-30 and back, with biases.
    widths = (784, 1000, 500, 250, 30)
    pairs = list(zip(widths, widths[1:], strict=False))
    expected = sum(2 * m * n + m + n for m, n in pairs)
    assert count_parameters("autoencoder_mlp") == expected == 2_837_314


@pytest.mark.parametrize("observation", ["gaussian", "bernoulli"])
def test_losses_are_what_they_say(observation):
    config = zoo.AutoencoderConfig((4, 4, 1), 2, "mlp", (6,), "tanh", observation)
    model = with_weights(zoo.Autoencoder(config))
    model.compile("adam")
    logs = model.evaluate(IMAGES, batch_size=12, verbose=0, return_dict=True)
    decoded = model.reconstruct(IMAGES).astype("float64")
    squares = np.square(IMAGES - decoded).sum(axis=(1, 2, 3)).mean()
    assert logs["squared_error"] == pytest.approx(squares, abs=1e-5)
    if observation == "gaussian":
        assert logs["loss"] == pytest.approx(squares / 2, abs=1e-5)
    else:
        nats = IMAGES * np.log(decoded) + (1 - IMAGES) * np.log(1 - decoded)
        expected = -nats.sum(axis=(1, 2, 3)).mean()
        assert logs["loss"] == pytest.approx(expected, abs=1e-4)


def test_reconstruction_is_decoding_of_the_code():
    model = with_weights(zoo.Autoencoder(CONFIG))
    codes = model.encode(IMAGES)
    assert codes.shape == (12, 2)
    found = model.decode(codes)
    np.testing.assert_allclose(found, model.reconstruct(IMAGES), rtol=0, atol=1e-6)
    called = ops.convert_to_numpy(model(IMAGES))
    np.testing.assert_allclose(found, called, rtol=0, atol=1e-6)


def test_it_learns_and_moves_every_weight():
    model = with_weights(zoo.Autoencoder(CONFIG))
    model.compile(Adam(0.03))
    before = values(model)
    history = model.fit(IMAGES, batch_size=12, epochs=20, verbose=0).history
    assert history["squared_error"][-1] < 0.5 * history["squared_error"][0]
    after = values(model)
    assert all((before[name] != after[name]).any() for name in before)


def test_bad_input_says_what_to_do(tmp_path):
    model = zoo.Autoencoder(CONFIG)
    model.compile("adam")
    with pytest.raises(ValueError, match=r"from 0 to 1, .*255"):
        model.fit(255 * IMAGES, verbose=0)
    with pytest.raises(ValueError, match=r"\(N, 4, 4, 1\), got \(12, 4, 4\)"):
        model.fit(IMAGES[..., 0], verbose=0)
    with pytest.raises(ValueError, match=r"\(N, 4, 4, 1\), got \(4, 4, 1\)"):
        model.encode(IMAGES[0])
    with pytest.raises(ValueError, match=r"\(N, 2\), got shape \(3, 5\)"):
        model.decode(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="code_dim must be a whole number from 1"):
        zoo.AutoencoderConfig(code_dim=0)
    with pytest.raises(ValueError, match="got 'learned_gaussian'"):
        zoo.AutoencoderConfig(observation="learned_gaussian")
    with pytest.raises(ValueError, match="activation"):
        zoo.AutoencoderConfig(activation="gleu")


def test_save_and_load(tmp_path):
    model = with_weights(zoo.Autoencoder(CONFIG))
    model.save_to_preset(tmp_path)
    loaded = zoo.Autoencoder.from_preset(tmp_path)
    assert loaded.config == CONFIG
    np.testing.assert_array_equal(loaded.encode(IMAGES), model.encode(IMAGES))
