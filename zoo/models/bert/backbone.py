"""BERT: a bidirectional transformer encoder.

Devlin et al. 2019; numerics follow google-research/bert and its Hugging Face port,
whose GELU uses the error function (the authors' later code uses tanh).
The configuration covers RoBERTa (Liu et al. 2019), ALBERT (Lan et al. 2020), ELECTRA's
networks (Clark et al. 2020) and DistilBERT (Sanh et al. 2019). The heads are in
`pretrainer` and `tasks`.

Shapes: B batch, T tokens, D width, E embedding width, V vocabulary.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import keras
import numpy as np
from keras import ops

from zoo.configs.checks import check_choice, check_fields, check_rate, check_whole
from zoo.data.tasks.sequences import cut_to, text_sequences
from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.layers.activations import ACTIVATIONS
from zoo.layers.attention.multi_head import check_heads
from zoo.layers.attention.transformer import TransformerBlock, rematerialised
from zoo.layers.dense import Dense
from zoo.layers.dropout import Dropout
from zoo.layers.embeddings import LearnedPositions, TokenEmbedding
from zoo.layers.initializers import TruncatedNormal
from zoo.layers.layer import Layer
from zoo.layers.norm import LayerNorm
from zoo.presets import registry
from zoo.presets.inference import BATCH, Array, Served, Side
from zoo.presets.preset import FromPreset
from zoo.presets.registration import register
from zoo.training import Model
from zoo.training.checks.ranges import Range
from zoo.training.checks.token_ids import token_range
from zoo.training.phases import same_shape, shape_of
from zoo.training.raw.texts import Segments

INPUTS = ("token_ids", "segment_ids", "padding_mask")


@dataclass(frozen=True)
class BertConfig:
    """Configuration of a BERT.

    Attributes:
        vocab_size: number of token ids, V.
        context_length: maximum number of tokens.
        num_layers: number of transformer blocks.
        num_heads: attention heads; must divide `width`.
        width: width of the residual stream, D.
        feed_forward_width: width of the hidden layer; 0 means 4·width.
        num_segments: number of segment ids; 0 for no segment embedding (DistilBERT).
        dropout: dropout rate after embeddings, attention and feed-forward.
        attention_dropout: dropout rate of attention probabilities; None means
            `dropout`. At 0, attention uses a faster fused kernel.
        activation: "gelu", "gelu_tanh" (ALBERT) or "relu".
        norm_epsilon: constant added to the variance in norms.
        initial_stddev: standard deviation of all initial matrices, which are drawn from
            a normal distribution truncated at two standard deviations.
        pooler: whether `BertBackbone` has a pooler, and `BertPretrainer` the sentence
            loss that trains it. `BertClassifier` has one whenever its head is "bert";
            taggers and span readers never do.
        embedding_width: width of the embeddings, E, which a projection widens to D
            (ALBERT); 0 means D without a projection.
        shared_layers: whether all blocks share their weights (ALBERT).
        position_offset: rows of the position table before the first token's; 2 in
            RoBERTa, whose tokens must not be left-padded here.
        remat: whether to recompute blocks in the backward pass instead of keeping
            their activations.
    """

    vocab_size: int
    context_length: int
    num_layers: int
    num_heads: int
    width: int
    feed_forward_width: int = 0
    num_segments: int = 2
    dropout: float = 0.1
    attention_dropout: float | None = None
    activation: str = "gelu"
    norm_epsilon: float = 1e-12
    initial_stddev: float = 0.02
    pooler: bool = True
    embedding_width: int = 0
    shared_layers: bool = False
    position_offset: int = 0
    remat: bool = False

    def __post_init__(self) -> None:
        """Validates the fields."""
        sizes = ("vocab_size", "context_length", "num_layers", "num_heads", "width")
        check_whole(self, *sizes)
        counts = ("feed_forward_width", "num_segments", "embedding_width")
        check_whole(self, *counts, "position_offset", least=0)
        check_fields(self)
        check_heads(self.width, self.num_heads)
        check_choice(self, "activation", tuple(ACTIVATIONS))
        check_rate(self, "dropout")
        if self.attention_dropout is not None:
            check_rate(self, "attention_dropout")

    @property
    def attention_rate(self) -> float:
        """The dropout rate of attention probabilities."""
        rate = self.attention_dropout
        return self.dropout if rate is None else rate


def _bert(num_layers: int, width: int) -> BertConfig:
    return BertConfig(30522, 512, num_layers, width // 64, width)


PRESETS: dict[str, BertConfig] = {
    # Turc et al. 2019 (tiny to medium), Devlin et al. 2019 (base and large).
    "bert_tiny": _bert(2, 128),
    "bert_mini": _bert(4, 256),
    "bert_small": _bert(4, 512),
    "bert_medium": _bert(8, 512),
    "bert_base": _bert(12, 768),
    "bert_large": _bert(24, 1024),
    # As released; RoBERTa and DistilBERT were trained without a sentence loss.
    "roberta_base": BertConfig(
        50265,
        512,
        12,
        12,
        768,
        num_segments=1,
        norm_epsilon=1e-5,
        pooler=False,
        position_offset=2,
    ),
    "albert_base": BertConfig(
        30000,
        512,
        12,
        12,
        768,
        dropout=0.0,
        activation="gelu_tanh",
        embedding_width=128,
        shared_layers=True,
    ),
    "electra_small": BertConfig(
        30522, 512, 12, 4, 256, pooler=False, embedding_width=128
    ),
    "distilbert_base": BertConfig(30522, 512, 6, 12, 768, num_segments=0, pooler=False),
}


@keras.saving.register_keras_serializable("zoo")
class BertEncoder(Layer):
    """The embeddings and blocks that all BERT models share.

    Called with `BertBackbone`'s inputs, it gives vectors (B, T, D). With `wanted`,
    token positions (B, W), it gives only the vectors at those positions, (B, W, D): the
    last block then uses the other tokens as keys and values alone.

    Args:
        config: its configuration.
        embedder: another encoder, whose embeddings and embedding norm it shares.
        kwargs: arguments of `keras.layers.Layer`.
    """

    token_embedding: TokenEmbedding
    segment_embedding: TokenEmbedding | None
    positions: LearnedPositions
    embedding_norm: LayerNorm

    def __init__(
        self,
        config: BertConfig,
        embedder: "BertEncoder | None" = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.embedding_width = config.embedding_width or config.width
        dtype = {"dtype": self.dtype_policy}
        shared = {"initializer": TruncatedNormal(config.initial_stddev), **dtype}
        if embedder is None:
            self._make_embeddings(**shared)
        else:
            self.token_embedding = embedder.token_embedding
            self.segment_embedding = embedder.segment_embedding
            self.positions = embedder.positions
            self.embedding_norm = embedder.embedding_norm
        self.dropout = Dropout(config.dropout, name="dropout", **dtype)
        self.projection = None
        if config.embedding_width:
            self.projection = Dense(
                config.width,
                kernel_initializer=shared["initializer"],
                name="projection",
                **dtype,
            )
        self.blocks = [
            TransformerBlock(
                config.num_heads,
                config.width,
                config.feed_forward_width or 4 * config.width,
                norm_position="post",
                norm_epsilon=config.norm_epsilon,
                dropout=config.dropout,
                attention_dropout=config.attention_rate,
                activation=config.activation,
                name=f"block_{index}",
                **shared,
            )
            for index in range(1 if config.shared_layers else config.num_layers)
        ]

    def _make_embeddings(self, initializer: Any, dtype: Any) -> None:
        config, width = self.config, self.embedding_width
        make = {"initializer": initializer, "dtype": dtype}
        self.token_embedding = TokenEmbedding(
            config.vocab_size, width, name="token_embedding", **make
        )
        self.segment_embedding = None
        if config.num_segments:
            self.segment_embedding = TokenEmbedding(
                config.num_segments, width, name="segment_embedding", **make
            )
        self.positions = LearnedPositions(
            config.position_offset + config.context_length,
            width,
            name="positions",
            **make,
        )
        self.embedding_norm = LayerNorm(
            epsilon=config.norm_epsilon, name="embedding_norm", dtype=dtype
        )

    def build(self, input_shape: Any = None) -> None:
        """Creates all weights, whose shapes follow from the configuration."""
        narrow = (None, None, self.embedding_width)
        for layer in self._flatten_layers(include_self=False, recursive=False):
            if not layer.built:  # shared layers are built already
                layer.build(narrow)

    def call(
        self, inputs: Any, training: bool = False, wanted: Tensor | None = None
    ) -> Tensor:
        """Vectors (B, T, D), or (B, W, D) at the `wanted` positions."""
        inputs = encoder_inputs(inputs)
        token_ids, mask = inputs["token_ids"], inputs.get("padding_mask")
        length = token_ids.shape[1]
        if length is not None and length > self.config.context_length:
            raise ValueError(
                f"{length} tokens do not fit into context_length="
                f"{self.config.context_length}. Shorten the text, or make the model "
                "with a longer context."
            )
        visible = None
        if mask is not None:
            visible = ops.expand_dims(ops.cast(mask, "bool"), 1)
        x = self._embed(token_ids, inputs.get("segment_ids"), training)
        for index in range(self.config.num_layers):
            block = self.blocks[index % len(self.blocks)]
            if wanted is not None and index == self.config.num_layers - 1:
                x = block(x, attention_mask=visible, queries=wanted, training=training)
            elif self.config.remat and training:
                x = rematerialised(block, x, visible)
            else:
                x = block(x, attention_mask=visible, training=training)
        return x

    def _embed(
        self, token_ids: Tensor, segment_ids: Tensor | None, training: bool
    ) -> Tensor:
        x = self.token_embedding(token_ids)
        if self.segment_embedding is not None:
            if segment_ids is None:
                segment_ids = ops.zeros_like(token_ids)
            x = x + self.segment_embedding(segment_ids)
        positions = None
        if offset := self.config.position_offset:
            positions = offset + ops.arange(ops.shape(token_ids)[1], dtype="int32")
        x = self.embedding_norm(engine().by_rows(self.positions(x, positions)))
        x = self.dropout(x, training=training)
        return x if self.projection is None else engine().by_rows(self.projection(x))


class Bert(FromPreset, Model):
    """Base of BERT's models: the encoder and, if needed, a pooler."""

    # As in `zoo.GPT`.
    layout = (
        (r"embeddings$", (None, "model")),
        (
            r"(query_key_value|expand|projection|pooler|transform)/kernel$",
            (None, "model"),
        ),
        (r"(query_key_value|expand|projection|pooler|transform)/bias$", ("model",)),
        (r"(output|contract)/kernel$", ("model", None)),
    )
    fusion_pays = True
    divided: ClassVar[Sequence[str]] = ("num_heads",)
    family = "bert"

    def __init__(
        self, config: BertConfig, pooler: bool | None = None, **kwargs: Any
    ) -> None:
        super().__init__(config, **kwargs)
        self.bert = BertEncoder(config, name=self.family, dtype=self.dtype_policy)
        self.pooler = None
        if config.pooler if pooler is None else pooler:
            self.pooler = self.dense(config.width, "pooler", activation="tanh")

    def stack(self) -> Sequence[Sequence[keras.Layer]]:
        """Layers by depth: embeddings, then each block; the head is left out."""
        blocks = self.bert.blocks
        layers = self.bert._flatten_layers(include_self=False, recursive=False)
        embeddings = [layer for layer in layers if layer not in blocks]
        return [embeddings, *([block] for block in blocks)]

    def dense(self, units: int, name: str, **kwargs: Any) -> Dense:
        """A dense layer, initialised like all other matrices."""
        initializer = TruncatedNormal(self.config.initial_stddev)
        kwargs |= {"kernel_initializer": initializer, "dtype": self.dtype_policy}
        return Dense(units, name=name, **kwargs)

    def build(self, input_shape: Any = None) -> None:
        """Creates all weights; the heads take vectors of width D."""
        for layer in self._flatten_layers(include_self=False, recursive=False):
            layer.build((None, None, self.config.width))
        self.built = True

    def pooled(self, sequence: Tensor) -> Tensor:
        """The pooler's output (B, D) for the first token of vectors (B, T, D)."""
        assert self.pooler is not None
        return engine().by_rows(self.pooler(ops.take(sequence, 0, axis=1)))

    def text_inputs(self, segments: Segments, length: int | None) -> tuple[dict, int]:
        """Encodes texts or pairs of texts: [CLS] A [SEP] or [CLS] A [SEP] B [SEP].

        Rows are as long as the longest text, at most `context_length`. Texts that are
        too long are cut at the end, of a pair the longer text first.

        Returns:
            `token_ids`, `segment_ids` and `padding_mask` (N, T), and how many texts
            were cut.
        """
        sequences = text_sequences(
            segments, self.tokenizer, num_segments=self.config.num_segments
        )
        length = length or min(sequences.length, self.config.context_length)
        sequences, cut = cut_to(sequences, length)
        return sequences.pack(np.arange(len(sequences))), cut

    def check_inputs(self, inputs: Any) -> None:
        """Raises for token ids, segment ids or masks that the encoder can't take."""
        self.form_of_inputs(inputs)
        for range_ in self.input_ranges(inputs):
            range_.check()

    def form_of_inputs(self, inputs: Any) -> None:
        """Raises unless all inputs have the same shape, (B, T)."""
        inputs = encoder_inputs(inputs)
        shape = shape_of(inputs["token_ids"])
        if len(shape) != 2:
            raise ValueError(
                f"token_ids must have shape (texts, tokens), got shape {shape}."
            )
        for name, found in inputs.items():
            if not same_shape(shape_of(found), shape):
                raise ValueError(
                    f"{name} must have token_ids' shape {shape}, got {shape_of(found)}."
                )

    def input_ranges(self, inputs: Any) -> list[Range]:
        """The ranges of the encoder's inputs."""
        inputs = encoder_inputs(inputs)
        limits = {"segment_ids": max(self.config.num_segments, 1), "padding_mask": 2}
        return [
            token_range(inputs["token_ids"], self.config, "token_ids"),
            *(
                Range(name, inputs[name], 0, limit - 1)
                for name, limit in limits.items()
                if name in inputs
            ),
        ]


def encoder_inputs(inputs: Any, *others: str) -> dict:
    """The encoder's inputs as a dict.

    Args:
        inputs: token ids (B, T), or a dict of `INPUTS`.
        others: further keys that the dict may have, which are left out.

    Raises:
        ValueError: the dict has other keys, such as `attention_mask`, or no
            `token_ids`.
    """
    if not isinstance(inputs, Mapping):
        return {"token_ids": inputs}
    unknown = sorted(set(inputs) - {*INPUTS, *others})
    if unknown or "token_ids" not in inputs:
        raise ValueError(
            f"Inputs must be token_ids or a dict of token_ids and, optionally, "
            f"{', '.join((*INPUTS[1:], *others))}, got a dict of {sorted(inputs)}."
        )
    return {name: inputs[name] for name in INPUTS if name in inputs}


def num_segments_of(preset: str | os.PathLike[str] | None) -> int:
    """`num_segments` of a preset's model, read without building it.

    Args:
        preset: what `from_preset` takes; None for a new model's default.
    """
    fields = {} if preset is None else registry.find(preset).fields
    return fields.get("num_segments", BertConfig.num_segments)


@keras.saving.register_keras_serializable("zoo")
class BertBackbone(Bert):
    """BERT without a head.

    Called with token ids (B, T), or a dict of `token_ids` and, optionally,
    `segment_ids` and `padding_mask` (True at tokens), each (B, T), it gives a dict of
    `sequence_output` (B, T, D) and, with a pooler, `pooled_output` (B, D).
    """

    Config = BertConfig

    def __init__(self, config: BertConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.build()

    def call(self, inputs: Any, training: bool = False) -> dict[str, Tensor]:
        """A dict of `sequence_output` and, with a pooler, `pooled_output`."""
        sequence = self.bert(inputs, training=training)
        if self.pooler is None:
            return {"sequence_output": sequence}
        pooled = self.pooled(sequence)
        return {"sequence_output": sequence, "pooled_output": pooled}

    def phases(self) -> NoReturn:
        """Raises: a backbone has no loss."""
        raise ValueError(
            "BertBackbone has no loss to train it with. Use BertPretrainer or a task "
            "(BertClassifier, BertTagger, BertSpanQA); each has the encoder as `bert`."
        )


def served(model: Any) -> Served:
    """Exports a head's scores, or the encoder's vectors, of texts (B, T)."""
    config = model.config
    shape = (BATCH, Side("tokens", config.context_length))
    arrays = [Array("token_ids", shape, "ids", config.vocab_size)]
    if config.num_segments:
        arrays.append(Array("segment_ids", shape, "ids", config.num_segments))
    arrays.append(Array("padding_mask", shape, "mask"))
    names = {
        "BertBackbone": ["sequence_output", "pooled_output"],
        "BertPretrainer": ["mlm_logits", "nsp_logits"],
        "BertSpanQA": ["start_logits", "end_logits"],
    }.get(type(model).__name__, ["logits"])
    if model.pooler is None and names[0] in ("sequence_output", "mlm_logits"):
        names = names[:1]

    def function(inputs: Mapping[str, Any]) -> list[Any]:
        found = model(dict(inputs), training=False)
        return [found[name] for name in names] if isinstance(found, dict) else [found]

    return Served(model, function, arrays, names)


register(
    BertBackbone,
    presets=PRESETS,
    served=served,
    formats={
        "huggingface": "zoo.formats.huggingface.bert",
        "keras_hub": "zoo.formats.keras_hub.writing",
    },
)
