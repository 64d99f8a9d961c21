"""The models of the equality matrix: one line per model in `CASES`.

A case has a function that makes a compiled model, and one that makes a global batch
from a random generator. The same seed gives the same weights everywhere.
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops

import zoo
from tests.training.toys import with_weights
from zoo.engine.layout import GATHERED
from zoo.layers import BatchNorm
from zoo.training import Model, Phase

BATCH = 16
OPTIMIZER = {
    "learning_rate": 1e-3,
    "weight_decay": 0.1,
    "global_clipnorm": 0.5,
    "use_ema": True,
    "ema_momentum": 0.9,
}


@dataclass(frozen=True)
class ConvGANConfig:
    """Channels of the hidden layers."""

    channels: int = 8


@keras.saving.register_keras_serializable("tests")
class ConvGAN(Model):
    """A two-phase GAN with convolutions and BatchNorm in both networks; 8x8 images."""

    Config = ConvGANConfig
    layout = (
        # Their columns and rows are rows of pixels, along which convolutions cannot be
        # sharded, so they are gathered like the convolutions' kernels.
        (r"project/kernel$", (None, "model"), GATHERED),
        (r"score/kernel$", ("model", None), GATHERED),
        (r"up/kernel$", (None, None, "model", None)),
        (r"down/kernel$", (None, None, None, "model")),
    )

    def __init__(self, config=ConvGANConfig(), **kwargs):
        super().__init__(config, **kwargs)
        dtype = {"dtype": self.dtype_policy}
        width = config.channels
        self.generator = keras.Sequential(
            [
                keras.Input((12,)),
                layers.Dense(4 * 4 * width, use_bias=False, name="project", **dtype),
                layers.Reshape((4, 4, width), **dtype),
                BatchNorm(name="norm", **dtype),
                layers.Activation("relu", **dtype),
                layers.Conv2DTranspose(4, 4, 2, "same", name="up", **dtype),
                layers.Activation("tanh", **dtype),
            ],
            name="generator",
        )
        self.discriminator = keras.Sequential(
            [
                keras.Input((8, 8, 4)),
                layers.Conv2D(
                    width, 4, 2, "same", use_bias=False, name="down", **dtype
                ),
                BatchNorm(name="norm", **dtype),
                layers.LeakyReLU(0.2, **dtype),
                layers.Flatten(**dtype),
                layers.Dense(1, name="score", **dtype),
            ],
            name="discriminator",
        )

    def call(self, noise, training=False):
        return self.generator(noise, training=training)

    def phases(self):
        return (
            Phase("discriminator", self.discriminator_loss, [self.discriminator]),
            Phase(
                "generator",
                self.generator_loss,
                [self.generator],
                through_shared=True,
            ),
        )

    def shared(self, batch, training):
        return {"fake": self.generator(batch["noise"], training=training)}

    def discriminator_loss(self, batch, training):
        real = ops.mean(ops.softplus(-self._score(batch["real"], training)))
        fake = ops.mean(ops.softplus(self._score(batch["fake"], training)))
        return {"loss": real + fake, "real": real, "fake": fake}

    def generator_loss(self, batch, training):
        return {"loss": ops.mean(ops.softplus(-self._score(batch["fake"], training)))}

    def _score(self, x, training):
        return ops.cast(self.discriminator(x, training=training), "float32")


def gpt():
    config = zoo.GPTConfig(64, 12, 1, 4, 16, initial_stddev=0.2)
    return with_weights(zoo.GPT(config, name="gpt"), stddev=0.2)


def gpt_t5():
    """Returns a GPT with one shared table of relative distances, and a window."""
    config = zoo.GPTConfig(64, 12, 2, 4, 16, positions="t5_bias", window=5)
    return with_weights(zoo.GPT(config, name="gpt_t5"), stddev=0.2)


def gpt_xl():
    config = zoo.GPTConfig(64, 12, 1, 4, 16, positions="transformer_xl")
    return with_weights(zoo.GPT(config, name="gpt_xl"), stddev=0.2)


def gpt_llama():
    """Returns a LLaMA-like GPT: grouped queries, gates, RMS norms, rotary positions."""
    config = zoo.GPTConfig(
        64,
        12,
        2,
        8,
        16,
        head_width=4,
        positions="rotary",
        norm="rms",
        activation="silu",
        gated=True,
        use_bias=False,
        query_key_norm=True,
        num_key_value_heads=4,
        tie_embeddings=False,
    )
    return with_weights(zoo.GPT(config, name="gpt_llama"), stddev=0.2)


def gpt_batch(rng):
    return rng.integers(64, size=(BATCH, 13), dtype="int32")


def linear():
    config = zoo.LinearLMConfig(64, 12, 16)
    return with_weights(zoo.LinearLM(config, name="linear"), stddev=1.0)


def bert():
    config = zoo.BertConfig(64, 12, 1, 4, 16, dropout=0.0)
    return with_weights(zoo.BertPretrainer(config, name="bert"), stddev=0.2)


def bert_batch(rng):
    """Returns padded pairs with uneven numbers of masked positions."""
    mask = np.arange(12) < rng.integers(6, 13, size=(BATCH, 1))
    return {
        "token_ids": rng.integers(64, size=(BATCH, 12), dtype="int32") * mask,
        "segment_ids": (np.arange(12) > 4).astype("int32") * mask,
        "padding_mask": mask,
        "mask_positions": rng.integers(6, size=(BATCH, 3), dtype="int32"),
        "mask_ids": rng.integers(64, size=(BATCH, 3), dtype="int32"),
        "mask_weights": rng.integers(2, size=(BATCH, 3)).astype("float32"),
        "next_sentence": rng.integers(2, size=BATCH, dtype="int32"),
    }


SMALL_BERT = (64, 12, 1, 4, 16)  # vocabulary, context, layers, heads, width


def bert_inputs(rng):
    batch = bert_batch(rng)
    return {name: batch[name] for name in ("token_ids", "segment_ids", "padding_mask")}


def bert_classifier():
    config = zoo.BertClassifierConfig(*SMALL_BERT, dropout=0.0, num_classes=3)
    return with_weights(zoo.BertClassifier(config, name="classes"), stddev=0.2)


def bert_classifier_batch(rng):
    return bert_inputs(rng), rng.integers(3, size=BATCH, dtype="int32")


def bert_tagger():
    config = zoo.BertTaggerConfig(*SMALL_BERT, dropout=0.0, num_classes=3)
    return with_weights(zoo.BertTagger(config, name="tags"), stddev=0.2)


def bert_tagger_batch(rng):
    """Returns a batch in which some tokens have no tag."""
    tags = rng.integers(-1, 3, size=(BATCH, 12), dtype="int32")
    return bert_inputs(rng), np.where(tags < 0, -100, tags).astype("int32")


def bert_span():
    config = zoo.BertConfig(*SMALL_BERT, dropout=0.0)
    return with_weights(zoo.BertSpanQA(config, name="spans"), stddev=0.2)


def bert_span_batch(rng):
    """Returns answers that end before the padding; some have weight one half."""
    spans = np.sort(rng.integers(6, size=(BATCH, 2), dtype="int32"), axis=1)
    return bert_inputs(rng), spans, rng.choice([0.5, 1.0], BATCH).astype("float32")


def bert_lora():
    """Returns a classifier that trains LoRA factors and the head of a frozen body."""
    model = bert_classifier()
    model.enable_lora(2)
    return with_weights(model, stddev=0.2)


def distiller():
    teacher = zoo.BertConfig(64, 12, 2, 4, 16, dropout=0.0)
    teacher = with_weights(zoo.BertPretrainer(teacher, name="teacher"), stddev=0.2)
    return zoo.Distiller(teacher, name="distiller")


def electra():
    config = zoo.ElectraConfig(
        64, 12, 1, 8, 16, dropout=0.0, embedding_width=8, generator_divisor=2
    )
    return with_weights(zoo.Electra(config, name="electra"), stddev=0.2)


def electra_batch(rng):
    return bert_batch(rng) | {"noise": rng.random((BATCH, 3), dtype="float32")}


def transformer():
    config = zoo.TransformerConfig(64, 12, 1, 4, 16, 32, dropout=0.0)
    return with_weights(zoo.Transformer(config, name="transformer"), stddev=0.2)


def transformer_batch(rng):
    """Returns rows with uneven numbers of tokens."""
    batch = []
    for length in (10, 13):
        mask = np.arange(length) < rng.integers(6, length + 1, size=(BATCH, 1))
        batch.append(rng.integers(3, 64, size=(BATCH, length), dtype="int32") * mask)
    return tuple(batch)


def self_attention():
    config = zoo.SelfAttentionClassifierConfig(
        64, 12, 4, 16, attention="learned", num_heads=4, positions="learned"
    )
    model = zoo.SelfAttentionClassifier(config, name="self_attention")
    return with_weights(model, stddev=0.2)


def self_attention_batch(rng):
    """Returns rows with uneven numbers of tokens."""
    mask = np.arange(12) < rng.integers(6, 13, size=(BATCH, 1))
    ids = rng.integers(1, 64, size=(BATCH, 12), dtype="int32") * mask
    return ids.astype("int32"), rng.integers(4, size=BATCH, dtype="int32")


def recurrent():
    """Returns a model that carries its state."""
    config = zoo.RecurrentLMConfig(64, 12, 1, 16, carried_rows=BATCH)
    return with_weights(zoo.RecurrentLM(config, name="recurrent"), stddev=0.8)


def elmo(**characters):
    config = zoo.ELMoConfig(64, 1, 16, dropout=0.0, **characters)
    return with_weights(zoo.ELMo(config, name="elmo"), stddev=0.8)


def elmo_of_characters():
    return elmo(character_filters=(4, 8, 8), character_width=8)


def elmo_batch(rng):
    mask = np.arange(12) < rng.integers(6, 13, size=(BATCH, 1))
    ids = rng.integers(64, size=(BATCH, 12), dtype="int32") * mask
    return {"token_ids": ids, "padding_mask": mask}


def elmo_of_characters_batch(rng):
    batch = elmo_batch(rng)
    spelled = rng.integers(1, 262, size=(BATCH, 12, 6), dtype="int32")
    return {**batch, "character_ids": spelled * batch["padding_mask"][..., None]}


def elmo_classifier():
    config = zoo.ELMoClassifierConfig(
        64, 1, 16, dropout=0.0, num_classes=3, hidden_width=8
    )
    return with_weights(zoo.ELMoClassifier(config, name="elmo_classes"), stddev=0.8)


def elmo_classifier_batch(rng):
    return elmo_batch(rng), rng.integers(3, size=BATCH, dtype="int32")


def gan():
    return with_weights(ConvGAN(name="gan"), stddev=0.2)


def gan_batch(rng):
    return {
        "real": rng.normal(0.3, 0.5, (BATCH, 8, 8, 4)).astype("float32"),
        "noise": rng.normal(size=(BATCH, 12)).astype("float32"),
    }


def dcgan(**options):
    size = {"image_shape": (8, 8, 4), "latent_dim": 12, "width": 8}
    config = zoo.DCGANConfig(**size, **options)
    model = with_weights(zoo.DCGAN(config, name="dcgan"), stddev=0.2)
    for variable in model.trainable_variables:
        # The model draws its noise.
        if variable.path.endswith("gamma"):
            variable.assign(np.linspace(0.5, 1.5, variable.shape[0]))
        elif variable.path.endswith("bias"):
            variable.assign(np.linspace(-0.25, 0.25, variable.shape[0]))
    return model


def dcgan_batch(rng):
    return {
        "real": rng.random((BATCH, 8, 8, 4), dtype="float32"),
        "noise": rng.normal(size=(BATCH, 1, 12)).astype("float32"),
    }


def wgan_gp():
    model = dcgan(loss="wgan_gp", discriminator_norm="none", discriminator_steps=2)
    # Keeps scores away from 0, which they would otherwise cross.
    (*_, bias) = model.discriminator.trainable_variables
    bias.assign(np.ones(bias.shape))
    return model


def wgan_gp_batch(rng):
    return {
        "real": rng.random((BATCH, 8, 8, 4), dtype="float32"),
        "noise": rng.normal(size=(BATCH, 2, 12)).astype("float32"),
        "mix": rng.random((BATCH, 2), dtype="float32"),
    }


def diffusion():
    config = zoo.DiffusionConfig(
        (4, 4, 4),
        num_classes=3,
        width=8,
        multipliers=(1, 2),
        num_residual_blocks=1,
        groups=4,
        num_heads=4,
        condition_dim=8,
    )
    return with_weights(zoo.Diffusion(config, name="diffusion"), stddev=0.2)


def diffusion_batch(rng):
    shape = (BATCH, 4, 4, 4)
    return {
        "images": rng.random(shape, dtype="float32"),
        "conditions": rng.integers(3, size=BATCH, dtype="int32"),
        "times": rng.random(BATCH, dtype="float32"),
        "noise": rng.normal(size=shape).astype("float32"),
        "jitter": rng.random(shape, dtype="float32"),
        "drops": rng.integers(2, size=BATCH).astype("float32"),
    }


def vqvae():
    config = zoo.VQVAEConfig(
        (8, 8, 4),
        num_codes=8,
        code_dim=4,
        channels=8,
        num_residual_blocks=1,
        downsampling=1,
        decay=0.9,
    )
    model = with_weights(zoo.VQVAE(config, name="vqvae"), stddev=0.2)
    model.quantizer.sums.assign(np.random.default_rng(0).normal(size=(8, 4)))
    return model


def vqvae_batch(rng):
    # The image and position from which each dead code restarts.
    restarts = np.full((BATCH, 8), -1, "int32")
    restarts[rng.integers(BATCH, size=8), np.arange(8)] = rng.integers(16, size=8)
    images = rng.random((BATCH, 8, 8, 4), dtype="float32")
    return {"images": images, "restarts": restarts}


def vae():
    config = zoo.VAEConfig((8, 8, 1), 4, "convolutional", (4, 8), "relu")
    return with_weights(zoo.VAE(config, name="vae"), stddev=0.2)


def vae_batch(rng):
    return {
        "images": rng.integers(2, size=(BATCH, 8, 8, 1)).astype("float32"),
        "noise": rng.normal(size=(BATCH, 1, 4)).astype("float32"),
    }


def flow():
    config = zoo.NormalizingFlowConfig(
        (8, 8, 1),
        dequantization="variational",
        stages=("squeeze", "squeeze"),
        steps=(2, 1),
        hidden=(4, 4),
        actnorm=True,
        mixing="convolution",
        num_blocks=1,
        num_bins=4,
        noise_steps=2,
        noise_hidden=4,
    )
    # The first batch sets the statistics of activation norm.
    return with_weights(zoo.NormalizingFlow(config, name="flow"), stddev=0.1)


def flow_batch(rng):
    return {
        "images": rng.random((BATCH, 8, 8, 1), dtype="float32"),
        "noise": rng.uniform(0.1, 0.9, (BATCH, 8, 8, 1)).astype("float32"),
    }


def autoencoder():
    config = zoo.AutoencoderConfig((8, 8, 1), 4, "convolutional", (4, 8))
    return with_weights(zoo.Autoencoder(config, name="autoencoder"), stddev=0.2)


def autoencoder_batch(rng):
    return rng.random((BATCH, 8, 8, 1), dtype="float32")


def classifier():
    config = zoo.ImageClassifierConfig((8, 8, 1), 3, (4, 8), 8, dropout=0.0)
    return with_weights(zoo.ImageClassifier(config, name="classifier"), stddev=0.2)


def classifier_batch(rng):
    images = rng.random((BATCH, 8, 8, 1), dtype="float32")
    return images, rng.integers(3, size=BATCH, dtype="int32")


def cyclegan():
    config = zoo.CycleGANConfig(
        (16, 16),
        (4, 4),
        width=8,
        residual_blocks=1,
        discriminator_layers=1,
        history=BATCH // 2,
    )
    model = with_weights(zoo.CycleGAN(config, name="cyclegan"), stddev=0.1)
    for variable in model.trainable_variables:
        if variable.path.endswith("bias"):  # keeps scores away from 0
            variable.assign(np.full(variable.shape, float("score" in variable.path)))
    return model


def cyclegan_batch(rng):
    batch = {name: rng.random((BATCH, 16, 16, 4), dtype="float32") for name in "ab"}
    for name in "ab":
        # Half of the rows take a place each; half of these show what was there before.
        place = np.full(BATCH, -1, "int32")
        place[rng.choice(BATCH, BATCH // 2, replace=False)] = np.arange(BATCH // 2)
        batch[f"place_{name}"] = place
        batch[f"shown_{name}"] = np.where(place % 2, place, -1).astype("int32")
    return batch


QUICK = {"gpt": (gpt, gpt_batch), "gan": (gan, gan_batch)}
SLOW = {
    "autoencoder": (autoencoder, autoencoder_batch),
    "bert": (bert, bert_batch),
    "bert_classifier": (bert_classifier, bert_classifier_batch),
    "bert_lora": (bert_lora, bert_classifier_batch),
    "bert_span": (bert_span, bert_span_batch),
    "bert_tagger": (bert_tagger, bert_tagger_batch),
    "classifier": (classifier, classifier_batch),
    "cyclegan": (cyclegan, cyclegan_batch),
    "flow": (flow, flow_batch),
    "dcgan": (dcgan, dcgan_batch),
    "diffusion": (diffusion, diffusion_batch),
    "distiller": (distiller, bert_batch),
    "electra": (electra, electra_batch),
    "linear": (linear, gpt_batch),
    "gpt_t5": (gpt_t5, gpt_batch),
    "gpt_xl": (gpt_xl, gpt_batch),
    "gpt_llama": (gpt_llama, gpt_batch),
    "self_attention": (self_attention, self_attention_batch),
    "elmo": (elmo, elmo_batch),
    "elmo_of_characters": (elmo_of_characters, elmo_of_characters_batch),
    "elmo_classifier": (elmo_classifier, elmo_classifier_batch),
    "recurrent": (recurrent, gpt_batch),
    "transformer": (transformer, transformer_batch),
    "vae": (vae, vae_batch),
    "vqvae": (vqvae, vqvae_batch),
    "wgan_gp": (wgan_gp, wgan_gp_batch),
}
CASES = QUICK | SLOW

# Options for particular models. On one device, a relative change of 1e-7 in CycleGAN's
# weights grows to 1e-1 within ten steps at the rates above, where Adam turns gradients
# that are only rounding into full steps, and to 2e-6 at these.
GENTLER = {cyclegan: {"learning_rate": 1e-4, "epsilon": 1e-3}}


def compiled(make, accumulate=2):
    """Compiles with clipping, weight decay and averaged weights."""
    model = make()
    names = [phase.name for phase in model.phases()]
    options = OPTIMIZER | GENTLER.get(make, {})
    optimizers = {name: keras.optimizers.AdamW(**options) for name in names}
    model.compile(optimizers, accumulate=accumulate)
    return model
