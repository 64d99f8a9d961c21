"""ELECTRA: a BERT trained to detect the tokens that a small generator replaced.

Clark et al. 2020, section 2; numerics follow google-research/electra and its Hugging
Face port. The generator is trained as a masked language model, not adversarially, and
both losses are summed. The networks share their embeddings.

Shapes: B batch, T tokens, M masked positions, D width, V vocabulary.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from zoo.configs.checks import check_whole
from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.layers.activations import ACTIVATIONS
from zoo.layers.attention.multi_head import check_heads
from zoo.layers.dense import Dense
from zoo.layers.initializers import TruncatedNormal
from zoo.layers.layer import Layer
from zoo.models.bert.backbone import (
    BertConfig,
    BertEncoder,
    encoder_inputs,
)
from zoo.models.bert.masked_texts import MaskedTexts
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
from zoo.training.phases import Batch, Terms, same_shape, shape_of

# Clark et al. 2020, section 2: lambda is 50, since the second loss is far smaller.
OBJECTIVE = {"mlm_loss": 1.0, "rtd_loss": 50.0}


@dataclass(frozen=True)
class ElectraConfig(BertConfig):
    """Configuration of a discriminator and its smaller generator.

    Attributes:
        generator_divisor: divides the generator's width, number of heads (at least one)
            and feed-forward width. The paper uses 4, and 3 for its base size.
    """

    generator_divisor: int = 4

    def __post_init__(self) -> None:
        """Validates the fields."""
        super().__post_init__()
        check_whole(self, "generator_divisor")
        for name in ("width", "feed_forward_width"):
            if getattr(self, name) % self.generator_divisor:
                raise ValueError(
                    f"generator_divisor must divide {name}={getattr(self, name)}, got "
                    f"{self.generator_divisor}."
                )
        check_heads(self.width // self.generator_divisor, self.generator_heads)

    @property
    def generator_heads(self) -> int:
        """Attention heads of the generator."""
        return max(1, self.num_heads // self.generator_divisor)

    @property
    def generator(self) -> BertConfig:
        """The generator's configuration; its embeddings are the discriminator's."""
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
    """A masked language model that shares another encoder's embeddings."""

    def __init__(
        self, config: BertConfig, embedder: BertEncoder, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.config = config
        dtype = {"dtype": self.dtype_policy}
        self.encoder = BertEncoder(config, embedder, name="encoder", **dtype)
        self.masked_lm = MaskedLMHead(config, name="masked_lm", **dtype)

    def build(self, input_shape: Any = None) -> None:
        """Creates all weights but the shared embeddings."""
        self.encoder.build()
        self.masked_lm.build((None, None, self.config.width))

    def call(
        self, inputs: Any, mask_positions: Tensor, training: bool = False
    ) -> Tensor:
        """Logits (B, M, V) of the tokens at masked positions (B, M)."""
        masked = self.encoder(inputs, training=training, wanted=mask_positions)
        return self.masked_lm(masked, embedding=self.encoder.token_embedding)


@keras.saving.register_keras_serializable("zoo")
class ReplacedTokenHead(Layer):
    """Scores tokens; above 0 means that a token seems to be replaced."""

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
        """Creates the weights."""
        for layer in (self.transform, self.score):
            layer.build((None, None, self.width))

    def call(self, x: Tensor) -> Tensor:
        """Scores (B, T), float32, of vectors (B, T, D)."""
        x = engine().by_rows(self.activation(self.transform(x)))
        return ops.cast(self.score(x)[..., 0], "float32")


@keras.saving.register_keras_serializable("zoo")
class Electra(MaskedTexts):
    """A discriminator of replaced tokens, and the generator that replaces them.

    `fit` takes what `BertPretrainer` takes; sentence labels are ignored. Masked tokens
    are replaced by tokens sampled from the generator: at each position, the first whose
    cumulative probability reaches `noise` (B, M), uniform in [0, 1], which is drawn
    unless the batch has it. A sampled token equal to the original counts as original.

    It logs `loss`, `mlm_loss` + 50 · `rtd_loss`; `mlm_loss` and `mlm_accuracy`, the
    generator's over masked positions; `rtd_loss` and `rtd_accuracy`, the
    discriminator's over all tokens but padding; and `replaced`, the fraction of those
    tokens that were replaced.

    Called with `BertBackbone`'s inputs, it gives the discriminator's scores (B, T). The
    discriminator's encoder is `bert`; other models of the family load it from this
    model's preset: `zoo.BertClassifier.from_preset(folder)`.
    """

    Config = ElectraConfig
    weightless = "each masked position has its own weight: scale mask_weights."
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

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        """The discriminator's scores (B, T), float32."""
        return self.replaced(self.bert(inputs, training=training))

    # === Training ===

    def phases(self) -> tuple[Phase, ...]:
        """A single phase, since the networks are not adversaries."""
        return (
            Phase(
                "pretraining",
                self.pretraining_loss,
                [self],
                OBJECTIVE,
                weights=self.loss_weights,
            ),
        )

    def prepare(self, batch: Batch) -> Batch:
        """Adds noise (B, M) to a batch that has none."""
        if "noise" in batch:
            return batch
        shape = ops.shape(batch["mask_positions"])
        return {**batch, "noise": engine().uniform(shape, self.seed)}

    def loss_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The masked positions' total weight, and the number of tokens."""
        return {
            "mlm_loss": ops.sum(ops.cast(batch["mask_weights"], "float32")),
            "rtd_loss": ops.sum(token_weights(batch)),
        }

    def pretraining_loss(self, batch: Batch, training: bool) -> Terms:
        """Both networks' losses and accuracies, and the fraction of tokens replaced."""
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

    def form(self, batch: Batch) -> None:
        """Raises for batches with missing arrays or arrays of other shapes."""
        masked_form(self, batch, allowed=(*PRETRAINING, "noise"))
        if "noise" not in batch:
            return
        noise, places = shape_of(batch["noise"]), shape_of(batch["mask_positions"])
        if not same_shape(noise, places):
            raise ValueError(
                f"noise must have mask_positions' shape {places}, got {noise}."
            )

    def ranges(self, batch: Batch) -> list[Range]:
        """The ranges of all ids, positions and masks, and of noise."""
        found = masked_ranges(self, batch, (*PRETRAINING, "noise"))
        if "noise" in batch:
            found.append(Range("noise", batch["noise"], 0, 1, whole=False))
        return found


def drawn(logits: Tensor, noise: Tensor) -> Tensor:
    """Samples classes (...), int32, from logits (..., V) by inverse transform sampling.

    That takes one uniform number per sample, where Gumbel noise would take V.
    """
    shares = ops.softmax(logits, axis=-1)
    sums = ops.cumsum(shares, axis=-1)
    # The last sum may differ from 1 by rounding.
    below = sums < noise[..., None] * sums[..., -1:]
    return ops.sum(ops.cast(below, "int32"), axis=-1)


def placed(mask_ids: Tensor, batch: Mapping[str, Any]) -> Tensor:
    """`token_ids` (B, T) with `mask_ids` (B, M) at the masked positions that count."""
    token_ids = ops.cast(batch["token_ids"], "int32")
    places = ops.arange(token_ids.shape[1], dtype="int32")
    at = ops.cast(batch["mask_positions"], "int32")[..., None] == places  # (B, M, T)
    at = ops.logical_and(at, (batch["mask_weights"] > 0)[..., None])
    put = ops.where(at, ops.cast(mask_ids, "int32")[..., None], -1)
    put = ops.max(put, axis=1)
    return ops.where(put < 0, token_ids, put)


register(Electra, formats={"huggingface": "zoo.formats.huggingface.bert"})
