"""What the equality matrix trains: a line a model in `CASES`.

Each case is a function that makes a compiled model and one that makes a global batch
from a random generator. The same seed gives the same weights everywhere.
"""

import keras

import zoo
from tests.training.toys import with_weights
from zoo.models.dcgan import DCGAN, DCGANConfig

BATCH = 16
OPTIMIZER = {
    "learning_rate": 1e-3,
    "weight_decay": 0.1,
    "global_clipnorm": 0.5,
    "use_ema": True,
    "ema_momentum": 0.9,
}


def gpt():
    config = zoo.GPTConfig(64, 12, 1, 4, 16, initial_stddev=0.2)
    return with_weights(zoo.GPT(config, name="gpt"), stddev=0.2)


def gpt_batch(rng):
    return rng.integers(64, size=(BATCH, 13), dtype="int32")


def gan():
    config = DCGANConfig(image_shape=(8, 8, 4), latent_dim=12, width=8)
    return with_weights(DCGAN(config, name="gan"), stddev=0.2)


def gan_batch(rng):
    return {
        "real": rng.random((BATCH, 8, 8, 4), dtype="float32"),
        "noise": rng.normal(size=(BATCH, 1, 12)).astype("float32"),
    }


def vae():
    config = zoo.VAEConfig((8, 8, 1), 4, "convolutional", (4, 8), "relu")
    return with_weights(zoo.VAE(config, name="vae"), stddev=0.2)


def vae_batch(rng):
    return {
        "images": rng.integers(2, size=(BATCH, 8, 8, 1)).astype("float32"),
        "noise": rng.normal(size=(BATCH, 1, 4)).astype("float32"),
    }


CASES = {"gpt": (gpt, gpt_batch), "gan": (gan, gan_batch)}
if keras.config.backend() != "tensorflow":
    # There DTensor crashes the process while it lays out the VAE's step.
    CASES["vae"] = (vae, vae_batch)


def compiled(make, accumulate=2):
    """With clipping, weight decay and averaged weights on."""
    model = make()
    names = [phase.name for phase in model.phases()]
    optimizers = {name: keras.optimizers.AdamW(**OPTIMIZER) for name in names}
    model.compile(optimizers, accumulate=accumulate)
    return model
