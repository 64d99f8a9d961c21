"""ELECTRA: a BERT that learns to tell which tokens a small generator has replaced.

Clark et al. 2020, section 2; numerics follow google-research/electra and its Hugging
Face port. The generator is a masked language model, trained to be right and not to
deceive; both losses are one sum. Both networks share their embeddings.

Shapes: B batch, T tokens, M masked places, D width, V vocabulary.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from zoo.configs.checks import check_whole
from zoo.engine.current import engine
from zoo.layers.activations import ACTIVATIONS
from zoo.layers.attention.multi_head import check_heads
from zoo.layers.dense import Dense
from zoo.layers.initializers import TruncatedNormal
from zoo.layers.layer import Layer
from zoo.models.bert.backbone import (
    Bert,
    BertConfig,
    BertEncoder,
    encoder_inputs,
)
from zoo.models.bert.pretrainer import (
    PRETRAINING,
    MaskedLMHead,
    masked_form,
    masked_ranges,
    token_weights,
)
from zoo.models.checks.classified import classified
from zoo.presets.registration import register
from zoo.training import Phase, WeightedMean
from zoo.training.checks.ranges import Range
from zoo.training.phases import same_shape, shape_of

# Clark et al. 2020, section 2: lambda, since the second loss is by far the smaller.
OBJECTIVE = {"mlm_loss": 1.0, "rtd_loss": 50.0}


@dataclass(frozen=True)
class ElectraConfig(BertConfig):
    """The shape of a discriminator, and how much smaller its generator is.

    Attributes:
        generator_divisor: of the discriminator's width, heads (of which one remains)
            and feed-forward width. The paper has 4, and 3 for its base size.
    """

    generator_divisor: int = 4

    def __post_init__(self) -> None:
        """Checks what can be checked before anything is built."""
        super().__post_init__()
        check_whole(self, "generator_divisor")
        for name in ("width", "feed_forward_width"):
            if getattr(self, name) % self.generator_divisor:
                raise ValueError(
                    f"generator_divisor={self.generator_divisor} must divide {name}="
                    f"{getattr(self, name)}"
                )
        check_heads(self.width // self.generator_divisor, self.generator_heads)

    @property
    def generator_heads(self) -> int:
        """Attention heads of the generator."""
        return max(1, self.num_heads // self.generator_divisor)

    @property
    def generator(self) -> BertConfig:
        """The shape of the generator, which has the discriminator's embeddings."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(BertConfig)}
        width = self.width // self.generator_divisor
        embedding_width = self.embedding_width or self.width
        fields |= {
            "num_heads": self.generator_heads,
            "width": width,
            "feed_forward_width": self.feed_forward_width // self.generator_divisor,
            "embedding_width": 0 if embedding_width == width else embedding_width,
        }
        return BertConfig(**fields)


@keras.saving.register_keras_serializable("zoo", "ElectraGenerator")
class Generator(Layer):
    """Scores (B, M, V) of what stands at masked places (B, M)."""

    def __init__(
        self, config: BertConfig, embedder: BertEncoder, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.config = config
        dtype = {"dtype": self.dtype_policy}
        self.encoder = BertEncoder(config, embedder, name="encoder", **dtype)
        self.masked_lm = MaskedLMHead(config, name="masked_lm", **dtype)

    def build(self, input_shape: Any = None) -> None:
        """Makes all weights but the embedder's."""
        self.encoder.build()
        self.masked_lm.build((None, None, self.config.width))

    def call(self, inputs, mask_positions, training: bool = False):
        """See the class."""
        masked = self.encoder(inputs, training=training, wanted=mask_positions)
        return self.masked_lm(masked, embedding=self.encoder.token_embedding)


@keras.saving.register_keras_serializable("zoo")
class ReplacedTokenHead(Layer):
    """Scores (B, T), in float32, above 0 where a token seems to be replaced."""

    def __init__(self, config: BertConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = config.width
        self.activation = ACTIVATIONS[config.activation]
        make: dict[str, Any] = {
            "kernel_initializer": TruncatedNormal(config.initial_stddev),
            "dtype": self.dtype_policy,
        }
        self.transform = Dense(config.width, name="transform", **make)
        self.score = Dense(1, name="score", **make)

    def build(self, input_shape: Any = None) -> None:
        """Makes the weights."""
        for layer in (self.transform, self.score):
            layer.build((None, None, self.width))

    def call(self, x):
        """(B, T, D) to (B, T)."""
        x = engine().by_rows(self.activation(self.transform(x)))
        return ops.cast(self.score(x)[..., 0], "float32")


@keras.saving.register_keras_serializable("zoo")
class Electra(Bert):
    """A discriminator of replaced tokens, and the generator that replaces them.

    `fit` takes what `BertPretrainer` takes; sentences' labels are passed over. Masked
    places get tokens drawn from the generator's scores: the smallest whose cumulative
    probability reaches `noise` (B, M), numbers between 0 and 1, which are drawn unless
    the batch has them. A token that is drawn as it was counts as original.

    It logs `loss`, `mlm_loss` + 50 · `rtd_loss`; `mlm_loss` and `mlm_accuracy`, the
    generator's over masked places; `rtd_loss` and `rtd_accuracy`, the discriminator's
    over all tokens but padding; and `replaced`, the share of these that are replaced.

    Called with `BertBackbone`'s inputs it gives the discriminator's scores (B, T). The
    discriminator's encoder is `bert`: other models of the family take it from a preset
    that this model saved, `zoo.BertClassifier.from_preset(folder)`.
    """

    Config = ElectraConfig
    weightless = "each masked place has a weight of its own: scale mask_weights."
    divided = ("num_heads", "generator_heads")

    def __init__(self, config: ElectraConfig, **kwargs: Any) -> None:
        super().__init__(config, pooler=False, **kwargs)
        dtype = {"dtype": self.dtype_policy}
        self.replaced = ReplacedTokenHead(config, name="replaced", **dtype)
        self.generator = Generator(
            config.generator, self.bert, name="generator", **dtype
        )
        self.seed = keras.random.SeedGenerator(name="noise")
        self.build()

    def call(self, inputs, training: bool = False):
        """See the class."""
        return self.replaced(self.bert(inputs, training=training))

    # === Training ===

    def phases(self):
        """One: the networks do not play against each other."""
        return (
            Phase(
                "pretraining",
                self.pretraining_loss,
                [self],
                OBJECTIVE,
                weights=self.loss_weights,
            ),
        )

    def prepare(self, batch):
        """The batch with noise."""
        if "noise" in batch:
            return batch
        shape = ops.shape(batch["mask_positions"])
        return {**batch, "noise": engine().uniform(shape, self.seed)}

    def loss_weights(self, batch) -> dict:
        """How many masked places count, and how many tokens."""
        return {
            "mlm_loss": ops.sum(ops.cast(batch["mask_weights"], "float32")),
            "rtd_loss": ops.sum(token_weights(batch)),
        }

    def pretraining_loss(self, batch, training):
        """See the class."""
        inputs = encoder_inputs(batch, *PRETRAINING, "noise")
        logits = self.generator(inputs, batch["mask_positions"], training=training)
        mlm_loss, mlm_accuracy = classified(
            logits,
            batch["mask_ids"],
            batch["mask_weights"],
            counted=batch["mask_weights"],
        )
        original = placed(batch["mask_ids"], batch)
        token_ids = placed(drawn(ops.stop_gradient(logits), batch["noise"]), batch)
        replaced = token_ids != original
        scores = self({**inputs, "token_ids": token_ids}, training=training)
        nats = ops.softplus(ops.where(replaced, -scores, scores))
        weights = token_weights(batch)
        return {
            "mlm_loss": mlm_loss,
            "mlm_accuracy": mlm_accuracy,
            "rtd_loss": WeightedMean.of(nats, weights),
            "rtd_accuracy": WeightedMean.of((scores > 0) == replaced, weights),
            "replaced": WeightedMean.of(replaced, weights),
        }

    def form(self, batch) -> None:
        """Batches that lack something, or have it of another shape, raise."""
        masked_form(self, batch, allowed=(*PRETRAINING, "noise"))
        if "noise" not in batch:
            return
        noise, places = shape_of(batch["noise"]), shape_of(batch["mask_positions"])
        if not same_shape(noise, places):
            raise ValueError(
                f"noise must be of mask_positions' shape {places}, got {noise}"
            )

    def ranges(self, batch):
        """All ids, places and masks, and the noise."""
        found = masked_ranges(self, batch, (*PRETRAINING, "noise"))
        if "noise" in batch:
            found.append(Range("noise", batch["noise"], 0, 1, whole=False))
        return found


def drawn(logits, noise):
    """Classes (...), int32, of scores (..., V), by the inverse of their distribution.

    One uniform number a draw, where Gumbel noise would take V of them.
    """
    shares = ops.softmax(logits, axis=-1)
    sums = ops.cumsum(shares, axis=-1)
    # The last sum is not exactly 1.
    below = sums < noise[..., None] * sums[..., -1:]
    return ops.sum(ops.cast(below, "int32"), axis=-1)


def placed(mask_ids, batch: Mapping[str, Any]):
    """`token_ids` (B, T) with tokens (B, M) put at the masked places that count."""
    token_ids = ops.cast(batch["token_ids"], "int32")
    places = ops.arange(token_ids.shape[1], dtype="int32")
    at = ops.cast(batch["mask_positions"], "int32")[..., None] == places  # (B, M, T)
    at = ops.logical_and(at, (batch["mask_weights"] > 0)[..., None])
    put = ops.where(at, ops.cast(mask_ids, "int32")[..., None], -1)
    put = ops.max(put, axis=1)
    return ops.where(put < 0, token_ids, put)


register(Electra, formats={"huggingface": "zoo.formats.huggingface.bert"})
