"""A VAE and an autoencoder with an encoder and a decoder of the user's own."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import zoo
from tests.training.toys import with_weights
from zoo.presets.weights import named_weights

SHAPE, LATENT = (4, 4, 1), 3
CONFIG = zoo.VAEConfig(SHAPE, latent_dim=LATENT)
IMAGES = np.random.default_rng(0).random((8, *SHAPE)).astype("float32")


def encoder(width=2 * LATENT):
    """A model whose layers have whatever names Keras gives them."""
    return keras.Sequential(
        [keras.Input(SHAPE), layers.Flatten(), layers.Dense(8), layers.Dense(width)]
    )


def decoder(channels=1):
    return keras.Sequential(
        [
            keras.Input((LATENT,)),
            layers.Dense(16 * channels),
            layers.Reshape((4, 4, channels)),
        ]
    )


@keras.saving.register_keras_serializable("own_tests")
class Encoder(keras.Model):
    """Gives a pair of mean and log-variance, and drops units in training."""

    def __init__(self, width=8, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.body = layers.Dense(width, activation="relu")
        self.drop = layers.Dropout(0.5)
        self.mean, self.log_variance = layers.Dense(LATENT), layers.Dense(LATENT)

    def call(self, images, training=False):
        x = self.body(keras.ops.reshape(images, (-1, 16)))
        x = self.drop(x, training=training)
        return self.mean(x), self.log_variance(x)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


@keras.saving.register_keras_serializable("own_tests")
class Decoder(keras.layers.Layer):
    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(LATENT, 16))

    def call(self, codes):
        return keras.ops.reshape(codes @ self.kernel, (-1, *SHAPE))


def test_it_is_the_model_of_its_networks():
    """The VAE's own networks, given as a user's, have the same losses."""
    ours = with_weights(zoo.VAE(zoo.VAEConfig(SHAPE, latent_dim=LATENT, hidden=(6,))))
    features = keras.Input(SHAPE)
    inner = keras.Model(features, ours.head(ours.encoder(features)))
    theirs = zoo.VAE(ours.config, encoder=inner, decoder=ours.decoder)
    noise = np.random.default_rng(1).normal(size=(8, 1, LATENT)).astype("float32")
    batch = {"images": IMAGES, "noise": noise}
    for model in (ours, theirs):
        model.compile(keras.optimizers.SGD(0.0))
    found = [m.evaluate(batch, verbose=0, return_dict=True) for m in (ours, theirs)]
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_fit_sample_and_likelihood():
    vae = zoo.VAE(CONFIG, encoder=Encoder(), decoder=Decoder())
    before = [w.copy() for w in vae.get_weights()]
    vae.compile(keras.optimizers.SGD(0.1))
    history = vae.fit(IMAGES, batch_size=4, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    moved = [(a != b).any() for a, b in zip(before, vae.get_weights(), strict=True)]
    assert all(moved) and len(moved) == 7
    assert vae.sample(2, seed=0).shape == (2, *SHAPE)
    assert vae.reconstruct(IMAGES).shape == IMAGES.shape
    assert vae.encode(IMAGES).shape == (8, LATENT)
    bounds = vae.log_likelihood(IMAGES[:2], num_samples=8)
    assert np.isfinite(bounds).all() and bounds.shape == (2,)


def test_only_one_of_them():
    vae = zoo.VAE(CONFIG, encoder=encoder())
    assert [*vae.foreign_networks()] == ["encoder"]
    assert vae.reconstruct(IMAGES).shape == IMAGES.shape


def test_presets_of_given_networks(tmp_path):
    vae = zoo.VAE(CONFIG, encoder=encoder(), decoder=decoder())
    assert "encoder/0/kernel" in named_weights(vae)
    vae.save_to_preset(tmp_path)
    again = zoo.VAE.from_preset(tmp_path, encoder=encoder(), decoder=decoder())
    assert (again.reconstruct(IMAGES) == vae.reconstruct(IMAGES)).all()
    with pytest.raises(ValueError, match=r"from_preset\(\.\.\., encoder=\.\.\.\)"):
        zoo.VAE.from_preset(tmp_path)
    with pytest.raises(ValueError, match="Unexpected: encoder/2/kernel"):
        other = keras.Sequential(
            [keras.Input(SHAPE), layers.Flatten(), layers.Dense(6)]
        )
        zoo.VAE.from_preset(tmp_path, encoder=other, decoder=decoder())
    plain = tmp_path / "plain"
    zoo.VAE(CONFIG).save_to_preset(plain)
    with pytest.raises(ValueError, match="Leave it out"):
        zoo.VAE.from_preset(plain, encoder=encoder())


def test_presets_of_registered_networks(tmp_path):
    vae = zoo.VAE(CONFIG, encoder=Encoder(width=5), decoder=Decoder())
    vae.save_to_preset(tmp_path)
    again = zoo.from_preset(tmp_path)
    assert again.encoder.width == 5
    assert (again.reconstruct(IMAGES) == vae.reconstruct(IMAGES)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"registered": "own_tests>Nobody"}, "no class of that name is registered"),
        ({"registered": "zoo>Normal"}, "no class of that name is registered"),
        ({"registered": ["own_tests>Encoder"]}, "no class of that name is registered"),
        ({"settings": {"width": {"class_name": "Lambda"}}}, "must be plain values"),
        ({"settings": {"dtype": "own>policy"}}, "must be plain values"),
        ({"settings": {"depth": 3}}, "can't be made from its settings"),
    ],
)
def test_what_a_file_says_is_not_run(change, message, tmp_path):
    zoo.VAE(CONFIG, encoder=Encoder(), decoder=Decoder()).save_to_preset(tmp_path)
    file = tmp_path / "config.json"
    saved = json.loads(file.read_text())
    saved["networks"]["encoder"] |= change
    file.write_text(json.dumps(saved))
    with pytest.raises(ValueError, match=message):
        zoo.VAE.from_preset(tmp_path)


def test_keras_files(tmp_path):
    vae = zoo.VAE(CONFIG, encoder=Encoder(width=5), decoder=decoder())
    vae.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.encoder.width == 5
    assert (again.reconstruct(IMAGES) == vae.reconstruct(IMAGES)).all()


def test_autoencoder(tmp_path):
    config = zoo.AutoencoderConfig(SHAPE, code_dim=LATENT)
    model = zoo.Autoencoder(config, encoder=encoder(LATENT), decoder=decoder())
    model.compile(keras.optimizers.SGD(0.1))
    assert np.isfinite(model.fit(IMAGES, verbose=0).history["loss"]).all()
    model.save_to_preset(tmp_path)
    again = zoo.Autoencoder.from_preset(
        tmp_path, encoder=encoder(LATENT), decoder=decoder()
    )
    assert (again.encode(IMAGES) == model.encode(IMAGES)).all()


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ({"encoder": encoder(5)}, r"a mean and a log-variance.* got \('B', 5\)"),
        ({"decoder": decoder(2)}, r"1 per pixel, got \('B', 4, 4, 2\)"),
        ({"decoder": encoder()}, "must take arrays of shape \\('B', 3\\)"),
    ],
)
def test_networks_of_other_shapes(networks, message):
    with pytest.raises(ValueError, match=message):
        zoo.VAE(CONFIG, **networks)


def test_what_is_no_network():
    with pytest.raises(TypeError, match="encoder must be a keras.Model or keras.Layer"):
        zoo.VAE(CONFIG, encoder=lambda x: x)
