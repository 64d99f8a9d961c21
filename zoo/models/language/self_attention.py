"""A self-attention text classifier, from the simplest form of attention up.

After Peter Bloem's lecture "Transformers from scratch" (2019): the output at a token is
a mean of all tokens, weighted by similarity. The embeddings are its only weights; the
configuration's options add what makes it the attention of Vaswani et al. 2017, section
3.2.

Shapes: B batch, T tokens, D width, N heads, V vocabulary, C classes.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.configs.checks import check_choice, check_fields, check_whole
from zoo.configs.class_names import NamesClasses, check_class_names
from zoo.engine.current import engine
from zoo.engine.plain_attention import attention_weights
from zoo.engine.tensors import Tensor
from zoo.generation.scoring import pad_right
from zoo.generation.texts import TakesTexts, Texts, is_single, plain
from zoo.layers.attention.multi_head import MultiHeadAttention, check_heads
from zoo.layers.dense import Dense
from zoo.layers.embeddings import LearnedPositions, SinusoidalPositions, TokenEmbedding
from zoo.layers.initializers import Normal
from zoo.layers.layer import Layer
from zoo.models.checks.classes import check_classes
from zoo.models.checks.classified import classified
from zoo.presets.preset import FromPreset
from zoo.presets.registration import register
from zoo.training import Model, Phase
from zoo.training.batched import Batched
from zoo.training.checks.example_weights import parts, total_of
from zoo.training.checks.ranges import Range
from zoo.training.checks.token_ids import token_range
from zoo.training.phases import Batch, Terms, shape_of
from zoo.training.raw.texts import Segments

ATTENTION = ("simple", "scaled", "learned")
POSITIONS = ("none", "learned", "sinusoidal")
POOLING = ("mean", "max")
# Of the initial embeddings. At a width of 64, a token's product with itself is then
# about 16 (2 if scaled), and 0 with others: it sees only itself (or others too).
INITIAL_STDDEV = 0.5
# Lengths are rounded up to multiples of this, so that few shapes are ever compiled.
BUCKET = 16


@dataclass(frozen=True)
class SelfAttentionClassifierConfig:
    """Configuration of a classifier, by default the simplest one.

    Attributes:
        vocab_size: number of token ids, V.
        context_length: maximum number of tokens per text.
        num_classes: number of classes, C.
        class_names: names of the classes, in order; empty if unknown.
        width: width of the token vectors, D.
        attention: "simple" weighs by products of token vectors; "scaled" divides these
            by the square root of D; "learned" uses queries, keys and values, which are
            learned projections of the vectors.
        num_heads: heads of "learned" attention; must divide `width`.
        positions: the position vectors that are added to token vectors: "none",
            "learned" or "sinusoidal".
        pooling: "mean" or "max" pooling over a text's tokens before classification.
        pad_id: id of the padding token.
    """

    vocab_size: int
    context_length: int
    num_classes: int
    class_names: tuple[str, ...] = field(default=(), kw_only=True)
    width: int = 64
    attention: str = "simple"
    num_heads: int = 1
    positions: str = "none"
    pooling: str = "mean"
    pad_id: int = 0

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_whole(self, "vocab_size", "context_length", "width", "num_heads")
        check_whole(self, "num_classes", least=2)
        check_fields(self)
        check_class_names(self)
        check_choice(self, "attention", ATTENTION)
        check_choice(self, "positions", POSITIONS)
        check_choice(self, "pooling", POOLING)
        check_heads(self.width, self.num_heads)
        if self.num_heads > 1 and self.attention != "learned":
            raise ValueError(
                f"attention must be 'learned' for num_heads={self.num_heads}, since "
                f"heads differ only in their weights, got {self.attention!r}."
            )
        if self.positions == "sinusoidal" and self.width % 2:
            raise ValueError(
                f"width must be even for sinusoidal positions, got {self.width}."
            )
        if not 0 <= self.pad_id < self.vocab_size:
            raise ValueError(
                f"pad_id must be an id from 0 to {self.vocab_size - 1}, got "
                f"{self.pad_id}."
            )


@keras.saving.register_keras_serializable("zoo")
class SimpleSelfAttention(Layer):
    """Replaces each vector by a weighted mean of all; has no weights.

    y_i = sum_j softmax_j(x_i · x_j / scale) x_j. A vector is most similar to itself:
    with independent entries of variance 1, its product with itself is about D, and with
    others about sqrt(D) in magnitude. So unscaled, the mean is nearly the vector.
    """

    def __init__(self, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.built = True

    def call(self, x_BTD: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Attends, from vectors (B, T, D) to (B, T, D)."""
        weights_BTT = self.probabilities(x_BTD, attention_mask)[:, 0]
        return ops.matmul(ops.cast(weights_BTT, x_BTD.dtype), x_BTD)

    def probabilities(
        self, x_BTD: Tensor, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Attention weights of each token on each, (B, 1, T, T)."""
        scores_BTT = ops.matmul(x_BTD, ops.transpose(x_BTD, (0, 2, 1))) / self.scale
        mask = None if attention_mask is None else attention_mask[:, None]
        return attention_weights(scores_BTT[:, None], mask)


@keras.saving.register_keras_serializable("zoo")
class SelfAttentionClassifier(NamesClasses, FromPreset, TakesTexts, Model):
    """One layer of self-attention, pooled and classified.

    Called with token ids (B, T), padded with `pad_id`, it gives scores (B, C) in
    float32. `fit` takes (ids, classes) or (ids, classes, weights) and logs `loss`, the
    cross-entropy in nats, and `accuracy`. Padding is neither attended to nor pooled.
    """

    Config = SelfAttentionClassifierConfig
    # As in `zoo.GPT`.
    layout = (
        (r"embeddings$", (None, "model")),
        (r"query_key_value/kernel$", (None, "model")),
        (r"query_key_value/bias$", ("model",)),
        (r"(output|classifier)/kernel$", ("model", None)),
    )
    fusion_pays = True
    divided = ("num_heads",)

    def __init__(self, config: SelfAttentionClassifierConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = {"dtype": self.dtype_policy}
        drawn = {"initializer": Normal(INITIAL_STDDEV), **dtype}
        self.token_embedding = TokenEmbedding(
            config.vocab_size, config.width, name="token_embedding", **drawn
        )
        length_width = (config.context_length, config.width)
        self.positions = None
        if config.positions == "learned":
            self.positions = LearnedPositions(*length_width, name="positions", **drawn)
        elif config.positions == "sinusoidal":
            self.positions = SinusoidalPositions(
                *length_width, name="positions", **dtype
            )
        self.attention: MultiHeadAttention | SimpleSelfAttention
        if config.attention == "learned":
            self.attention = MultiHeadAttention(
                config.num_heads, config.width, name="attention", **dtype
            )
        else:
            scale = math.sqrt(config.width) if config.attention == "scaled" else 1.0
            self.attention = SimpleSelfAttention(scale, name="attention", **dtype)
        self.classifier = Dense(config.num_classes, name="classifier", **dtype)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Creates all weights, whose shapes follow from the configuration."""
        for layer in self._flatten_layers(include_self=False, recursive=False):
            if not layer.built:
                layer.build((None, None, self.config.width))
        self.built = True

    def call(self, token_ids: Tensor, training: bool = False) -> Tensor:
        """Class scores (B, C), float32, of token ids (B, T)."""
        del training
        x = self.attended(token_ids)
        real_BT1 = self._real(token_ids)[:, :, None]
        if self.config.pooling == "max":
            pooled = ops.max(ops.where(real_BT1, x, -1e4), axis=1)
        else:
            # In float32, since half precision sums inaccurately.
            weights = ops.cast(real_BT1, "float32")
            total = ops.sum(ops.cast(x, "float32") * weights, axis=1)
            pooled = ops.cast(total / ops.sum(weights, axis=1), x.dtype)
        return ops.cast(self.classifier(engine().by_rows(pooled)), "float32")

    def attended(self, token_ids: Tensor) -> Tensor:
        """Attention's output at each token, (B, T, D)."""
        visible = self._real(token_ids)[:, None, :]
        x = self.attention(self._embedded(token_ids), attention_mask=visible)
        return engine().by_rows(x)

    def _embedded(self, token_ids: Tensor) -> Tensor:
        self.check_length(token_ids.shape[1])
        x = self.token_embedding(token_ids)
        return engine().by_rows(x if self.positions is None else self.positions(x))

    def _real(self, token_ids: Tensor) -> Tensor:
        return ops.not_equal(token_ids, self.config.pad_id)

    # === Training ===

    def text_inputs(
        self, segments: Segments, length: int | None
    ) -> tuple[np.ndarray, int]:
        """Token ids (N, T) of texts, cut at `context_length`, and how many were cut."""
        if len(segments) > 1:
            raise ValueError(f"{type(self).__name__} reads texts, got pairs of texts.")
        rows = self.tokenizer.encode_batch(segments[0])
        length = length or min(max(map(len, rows)), self.config.context_length)
        cut = sum(len(row) > length for row in rows)
        rows = [row[:length] for row in rows]
        return pad_right(rows, length, length, self.config.pad_id), cut

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: cross-entropy."""
        return (Phase("classes", self.class_loss, [self], weights=self.loss_weights),)

    def prepare(self, batch: Batch) -> dict[str, Tensor]:
        """A batch (ids, classes[, weights]) as a dict."""
        token_ids, classes, weights = parts(batch)
        given = ops.ones_like(classes) if weights is None else weights
        return {
            "token_ids": token_ids,
            "classes": classes,
            "weights": ops.cast(given, "float32"),
        }

    def loss_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The texts' total weight."""
        return total_of(batch, "loss")

    def class_loss(self, batch: Batch, training: bool) -> Terms:
        """Cross-entropy in nats, and accuracy."""
        scores = self(batch["token_ids"], training=training)
        loss, accuracy = classified(scores, batch["classes"], batch["weights"])
        return {"loss": loss, "accuracy": accuracy}

    def form(self, batch: Batch) -> None:
        """Raises unless a batch has texts as ids, and one class for each."""
        ids, classes, _ = parts(batch)
        dtype = ops.dtype(ids)
        if len(ids.shape) != 2 or "int" not in dtype:
            raise ValueError(
                f"Texts must be integer ids of shape (B, T), got {dtype} of shape "
                f"{shape_of(ids)}."
            )
        check_classes(self, classes, ids, "text")

    def ranges(self, batch: Batch) -> tuple[Range, ...]:
        """The ranges of ids and classes."""
        ids, classes, _ = parts(batch)
        last = self.config.num_classes - 1
        return token_range(ids, self.config), Range("classes", classes, 0, last)

    def check(self, batch: Batch) -> None:
        """Raises for data that do not fit the model, and for texts without tokens."""
        super().check(batch)
        self._check_rows(np.asarray(batch[0]))

    def weight_shapes(self, batch: Batch) -> list[tuple[int, ...]]:
        """One weight per text."""
        return [shape_of(batch[1])]

    def check_inputs(self, inputs: Any) -> None:
        """Raises for ids outside the vocabulary, and for texts without tokens."""
        self._check_rows(np.asarray(inputs))

    def _check_rows(self, ids: np.ndarray) -> None:
        self.check_ids(ids)
        self.check_length(ids.shape[1])
        empty = np.flatnonzero(np.all(ids == self.config.pad_id, axis=1))
        if empty.size:
            raise ValueError(
                f"Each text must have tokens, got only padding (pad_id="
                f"{self.config.pad_id}) in text {empty[0]}. Leave such texts out."
            )

    # === Any number of texts ===

    def predict_probabilities(self, texts: Texts) -> np.ndarray:
        """Class probabilities (N, C) of one or several texts, as strings or ids."""
        return self._probabilities(self._padded(self._rows(plain(texts))))

    def attention_maps(self, text: Texts) -> np.ndarray:
        """Attention weights of each of a text's T tokens on each, (N, T, T).

        Rows sum to 1.

        Args:
            text: a string or ids.
        """
        if not is_single(text := plain(text)):
            raise ValueError(f"text must be a single text, got {text!r:.80}.")
        (row,) = self._rows(text)
        return self._maps(self._padded([row]))[0][:, : len(row), : len(row)]

    def _padded(self, rows: list[np.ndarray]) -> np.ndarray:
        ids = pad_right(rows, BUCKET, self.config.context_length, self.config.pad_id)
        self._check_rows(ids)
        return ids

    @cached_property
    def _probabilities(self) -> Batched:
        return Batched(lambda ids: ops.softmax(self(ids)), lambda: self.variables)

    @cached_property
    def _maps(self) -> Batched:
        def maps(ids: Tensor) -> Tensor:
            visible = self._real(ids)[:, None, :]
            x = self._embedded(ids)
            return self.attention.probabilities(x, attention_mask=visible)

        return Batched(maps, lambda: self.variables)


register(SelfAttentionClassifier)
