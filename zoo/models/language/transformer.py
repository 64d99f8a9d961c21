"""The Transformer: an encoder-decoder for translation.

Vaswani et al. 2017. Numerics follow `torch.nn.Transformer` without the final norms of
its two stacks; sections below are the paper's.

Shapes: B batch, S source tokens, T target tokens, D width, V vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import keras
import numpy as np
from keras import ops, tree

from zoo.configs.checks import check_fields, check_rate, check_whole
from zoo.data.translation.token_pairs import TokenRows
from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.generation.texts import Texts
from zoo.generation.translate import Translates
from zoo.layers.attention.multi_head import check_heads
from zoo.layers.attention.transformer import TransformerBlock, rematerialised
from zoo.layers.dropout import Dropout
from zoo.layers.embeddings import SinusoidalPositions, TokenEmbedding
from zoo.layers.initializers import Normal
from zoo.presets.preset import FromPreset
from zoo.presets.registration import register
from zoo.training import Model, Phase, WeightedMean
from zoo.training.checks.example_weights import check_weights, over_tokens
from zoo.training.checks.ranges import Range
from zoo.training.checks.token_ids import token_range
from zoo.training.phases import Batch, Terms
from zoo.training.raw.texts import Segments, segments_of


@dataclass(frozen=True)
class TransformerConfig:
    """Configuration of a Transformer.

    Attributes:
        vocab_size: number of token ids shared by both languages, V.
        context_length: maximum number of tokens per source, and per target.
        num_layers: number of blocks in the encoder, and in the decoder.
        num_heads: attention heads; must divide `width`.
        width: width of the residual streams, D; even.
        feed_forward_width: width of the hidden layer; 0 means 4·width.
        dropout: dropout rate after embeddings, attention and feed-forward (section
            5.4).
        label_smoothing: probability mass of each target that is spread over all tokens.
        norm_epsilon: constant added to the variance in norms.
        pad_id: id of the padding token.
        begin_id: id of the token that every target begins with.
        end_id: id of the token that every source and target ends with.
        remat: whether to recompute blocks in the backward pass instead of keeping
            their activations.
    """

    vocab_size: int
    context_length: int
    num_layers: int
    num_heads: int
    width: int
    feed_forward_width: int = 0
    dropout: float = 0.1
    label_smoothing: float = 0.1
    norm_epsilon: float = 1e-5
    pad_id: int = 0
    begin_id: int = 1
    end_id: int = 2
    remat: bool = False

    def __post_init__(self) -> None:
        """Validates the fields."""
        sizes = ("vocab_size", "context_length", "num_layers", "num_heads", "width")
        check_whole(self, *sizes)
        check_whole(self, "feed_forward_width", least=0)
        check_fields(self)
        check_heads(self.width, self.num_heads)
        check_rate(self, "dropout")
        check_rate(self, "label_smoothing")
        special = (self.pad_id, self.begin_id, self.end_id)
        if len(set(special)) < 3 or not 0 <= min(special) <= max(special) < (
            self.vocab_size
        ):
            raise ValueError(
                "pad_id, begin_id and end_id must be three different ids from 0 to "
                f"{self.vocab_size - 1}, got {special}."
            )


PRESETS: dict[str, TransformerConfig] = {
    # Table 3, with section 5.1's vocabulary.
    "transformer_base": TransformerConfig(37000, 512, 6, 8, 512, 2048),
    "transformer_big": TransformerConfig(37000, 512, 6, 16, 1024, 4096, dropout=0.3),
    # For tens of thousands of short sentences, where the paper's sizes overfit.
    "transformer_multi30k": TransformerConfig(6000, 128, 3, 4, 256, 512, dropout=0.2),
}


@keras.saving.register_keras_serializable("zoo")
class Transformer(FromPreset, Translates, Model):
    """An encoder-decoder.

    Called with source ids (B, S) and target ids (B, T), as a pair or as a dict with
    `source_ids` and `target_ids`, it gives logits (B, T, V) in float32 for the token
    after each target token. `fit` takes such pairs, with targets from begin to end,
    which it shifts itself; a third array, or an array after the pair, weighs target
    tokens. Padding never counts. With a tokenizer it also takes texts: `fit(sources,
    targets)`.
    """

    Config = TransformerConfig
    class_targets = False
    # As in `zoo.GPT`.
    layout = (
        (r"embeddings$", (None, "model")),
        (r"(query_key_value|query|key_value|expand)/kernel$", (None, "model")),
        (r"(query_key_value|query|key_value|expand)/bias$", ("model",)),
        (r"(output|contract)/kernel$", ("model", None)),
    )
    fusion_pays = True
    divided = ("num_heads",)

    def __init__(self, config: TransformerConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = {"dtype": self.dtype_policy}
        # Multiplied by the square root of the width as inputs, and not as the output
        # head: either way the variance is about 1.
        self.token_embedding = TokenEmbedding(
            config.vocab_size,
            config.width,
            Normal(config.width**-0.5),
            name="token_embedding",
            **dtype,
        )
        self.positions = SinusoidalPositions(
            config.context_length, config.width, name="positions", **dtype
        )
        self.dropout = Dropout(config.dropout, name="dropout", **dtype)
        self.encoder = self._blocks("encoder")
        self.decoder = self._blocks("decoder", causal=True, cross=True)
        self.build()

    def _blocks(
        self, stack: str, causal: bool = False, cross: bool = False
    ) -> list[TransformerBlock]:
        config = self.config
        return [
            TransformerBlock(
                config.num_heads,
                config.width,
                config.feed_forward_width or 4 * config.width,
                norm_position="post",
                norm_epsilon=config.norm_epsilon,
                dropout=config.dropout,
                name=f"{stack}_{index}",
                dtype=self.dtype_policy,
                causal=causal,
                cross=cross,
            )
            for index in range(config.num_layers)
        ]

    def build(self, input_shape: Any = None) -> None:
        """Creates all weights, whose shapes follow from the configuration."""
        for layer in self._flatten_layers(include_self=False, recursive=False):
            layer.build((None, None, self.config.width))
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        """Logits (B, T, V) of a pair of source and target ids, or a dict of them."""
        if isinstance(inputs, dict):
            inputs = (inputs["source_ids"], inputs["target_ids"])
        source_ids, target_ids = inputs
        memory = self.encode(source_ids, training)
        return self.logits(self.hidden(target_ids, memory, training=training))

    def encode(self, source_ids: Tensor, training: bool = False) -> list[Tensor]:
        """The encoder's stream (B, S, D), and its mask (B, 1, S), True at tokens."""
        visible = ops.not_equal(source_ids, self.config.pad_id)[:, None, :]
        x = self._embedded(source_ids, None, training)
        for block in self.encoder:
            if self.config.remat and training:
                x = rematerialised(block, x, visible)
            else:
                x = block(x, attention_mask=visible, training=training)
        return [x, visible]

    def context(self, source_ids: Tensor) -> list[Tensor]:
        """What decoding needs of sources (B, S), computed once.

        It is the keys and values of each block's cross-attention, and the mask of
        source tokens.
        """
        memory, visible = self.encode(source_ids)
        pairs = [block.keys_values(memory) for block in self.decoder]
        return [*(x for pair in pairs for x in pair), visible]

    def hidden(
        self,
        target_ids: Tensor,
        context: Sequence[Tensor],
        positions: Tensor | None = None,
        attention_mask: Tensor | None = None,
        caches: Sequence[Any] | None = None,
        index: Any = None,
        training: bool = False,
    ) -> Any:
        """The decoder's stream (B, T, D).

        Args:
            target_ids: (B, T).
            context: from `encode`; with caches, from `context`.
            positions: the tokens' positions, (B, T) or (T,); 0 … T-1 by default.
            attention_mask: with caches, (B, 1 or T, slots), True where tokens may
                attend.
            caches: one per block, from `empty_caches`; they need the mask and `index`.
            index: where the tokens go in the caches.
            training: whether to apply dropout.

        Returns:
            The stream and, with caches, the new caches as a second value.
        """
        x = self._embedded(target_ids, positions, training)
        *context, visible = context
        new_caches = []
        for number, block in enumerate(self.decoder):
            if caches is not None:
                x, cache = block(
                    x,
                    attention_mask=attention_mask,
                    context_mask=visible,
                    context_cache=context[2 * number : 2 * number + 2],
                    cache=caches[number],
                    index=index,
                )
                new_caches.append(cache)
            elif self.config.remat and training:
                x = rematerialised(block, x, context=context[0], context_mask=visible)
            else:
                x = block(x, context[0], context_mask=visible, training=training)
        return x if caches is None else (x, new_caches)

    def _embedded(
        self, token_ids: Tensor, positions: Tensor | None, training: bool
    ) -> Tensor:
        self.check_length(token_ids.shape[1])
        x = self.token_embedding(token_ids) * math.sqrt(self.config.width)
        x = engine().by_rows(self.positions(x, positions))
        return self.dropout(x, training=training)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (..., V), float32, of the decoder's stream (..., D)."""
        return self.token_embedding.logits(x)

    def empty_caches(self, batch: int, length: int) -> list:
        """Empty keys and values, one pair per block, with room for `length` tokens."""
        return [block.attention.empty_cache(batch, length) for block in self.decoder]

    def attention_maps(self, source: Texts, target: Texts) -> np.ndarray:
        """Cross-attention weights of each decoder block.

        Args:
            source: one text; S counts its tokens and the end.
            target: one text; T counts the begin and its tokens.

        Returns:
            (layers, heads, T, S); rows sum to 1.
        """
        (source,), (target,) = self._sentences(source), self._sentences(target)
        self._check_sources([source])
        self._check_lengths([target], "target")
        source_ids = self._padded([source])[:, : len(source) + 1]
        target_ids = self._padded([target], begin=True)[:, : len(target) + 1]
        memory, visible = self.encode(ops.convert_to_tensor(source_ids))
        x = self._embedded(ops.convert_to_tensor(target_ids), None, False)
        maps = []
        for block in self.decoder:
            maps.append(engine().numpy(block.cross_probabilities(x, memory, visible)))
            x = block(x, memory, context_mask=visible)
        return np.concatenate(maps)

    # === Training ===

    def text_inputs(self, segments: Segments, length: int | None) -> NoReturn:
        """Raises: a translator has `translate` for texts."""
        raise ValueError(
            f"{type(self).__name__}.predict takes token ids, and was given texts. Use "
            "translate(texts)."
        )

    def text_examples(
        self, segments: Segments, y: Any, weights: Any, length: int | None
    ) -> tuple[Batch, int]:
        """Sources and targets (N, T) and (N, T+1), from begin to end.

        Rows are as long as the longest side, at most `context_length`. Texts that are
        too long are cut before their end token.
        """
        targets: Sequence[Any] | None
        targets = segments[1:] if y is None else segments_of(y)
        if targets is None or len(targets) != 1 or len(targets[0]) != len(segments[0]):
            raise ValueError(
                f"{type(self).__name__} is trained with texts and as many translations "
                "as y: fit(sources, targets)."
            )
        tokenizer = self.tokenizer
        begin, end = self.config.begin_id, self.config.end_id
        sides = [tokenizer.encode_batch(side) for side in (segments[0], targets[0])]
        lengths = 1 + np.array([[len(row) for row in rows] for rows in sides])
        length = length or int(min(lengths.max(), self.config.context_length))
        cut = int((lengths > length).any(axis=0).sum())
        sources, targets = ([row[: length - 1] for row in rows] for rows in sides)
        rows = TokenRows.of([np.append(row, end) for row in sources])
        answers = TokenRows.of([np.r_[begin, row, end] for row in targets])
        every, padding = np.arange(len(sources)), self.config.pad_id
        x = rows.padded(every, length, padding)
        return (x, answers.padded(every, length + 1, padding), weights), cut

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: the next target token's cross-entropy."""
        return (
            Phase(
                "next_token", self.next_token_loss, [self], weights=self.loss_weights
            ),
        )

    def prepare(self, batch: Batch) -> dict[str, Tensor]:
        """A batch as a dict of inputs, labels and weights; see the class."""
        source_ids, target_ids, *given = _arrays(batch)
        counts = ops.not_equal(target_ids, self.config.pad_id)
        weights = ops.cast(counts, "float32")
        if given:
            weights = weights * over_tokens(given[0], target_ids)
        return {
            "source_ids": source_ids,
            "target_ids": target_ids[:, :-1],
            "labels": target_ids[:, 1:],
            "weights": weights[:, 1:],
        }

    def loss_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The predictions' total weight."""
        return {"loss": ops.sum(batch["weights"])}

    def next_token_loss(self, batch: Batch, training: bool) -> Terms:
        """Cross-entropies with smoothed and with plain targets, in nats per token.

        Smoothing (Szegedy et al. 2016, section 7) mixes each target with the uniform
        distribution over all V tokens. That adds to the loss the amount by which the
        label's logit exceeds the mean logit, times `label_smoothing`.
        """
        context = self.encode(batch["source_ids"], training)
        x = self.hidden(batch["target_ids"], context, training=training)
        labels = ops.reshape(batch["labels"], (-1,))
        logits = ops.reshape(self.logits(x), (-1, self.config.vocab_size))
        nats = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        loss = nats
        if share := self.config.label_smoothing:
            # Logits are products with embeddings, so not all are needed again.
            x = ops.cast(ops.reshape(x, (-1, self.config.width)), "float32")
            table = ops.convert_to_tensor(self.token_embedding.embeddings)
            above = ops.take(table, labels, axis=0) - ops.mean(table, axis=0)
            loss = nats + share * ops.sum(x * above, axis=-1)
        weights = ops.reshape(batch["weights"], (-1,))
        return {
            "loss": WeightedMean.of(loss, weights),
            "nats": WeightedMean.of(nats, weights),
        }

    def form(self, batch: Batch) -> None:
        """Raises unless a batch is sources and targets that the model can read."""
        arrays = _arrays(batch)
        if len(arrays) not in (2, 3):
            raise ValueError(
                "A batch must be (source_ids, target_ids), optionally with weights of "
                f"the targets' shape or one per pair, got {len(arrays)} arrays."
            )
        for kind, ids in zip(("source", "target"), arrays, strict=False):
            dtype = ops.dtype(ids)
            if len(ids.shape) != 2 or "int" not in dtype:
                raise ValueError(
                    f"The {kind}s must be integer ids of shape (B, T), got {dtype} of "
                    f"shape {tuple(ids.shape)}."
                )
        limit, (source, target) = self.config.context_length, arrays[:2]
        if (source.shape[1] or 0) > limit or (target.shape[1] or 0) > limit + 1:
            raise ValueError(
                f"Sources must have at most {limit} tokens and targets, from begin to "
                f"end, at most {limit + 1} (context_length={limit}), got "
                f"{source.shape[1]} and {target.shape[1]}."
            )

    def ranges(self, batch: Batch) -> list[Range]:
        """The ranges of source and target ids."""
        return [token_range(ids, self.config) for ids in _arrays(batch)[:2]]

    def check(self, batch: Batch) -> None:
        """Raises for ids outside the vocabulary, and for rows without tokens."""
        super().check(batch)
        source_ids, target_ids, *_ = _arrays(batch)
        for kind, ids in (("source", source_ids), ("target", target_ids)):
            empty = np.flatnonzero(np.all(ids == self.config.pad_id, axis=1))
            if empty.size:
                raise ValueError(
                    f"Each of the {kind}s must have tokens, got only padding (pad_id="
                    f"{self.config.pad_id}) in row {empty[0]}. Leave such pairs out."
                )
        _, _, *weights = _arrays(batch)
        for given in weights:
            check_weights(given, target_ids.shape, target_ids.shape[:1])


def _arrays(batch: Batch) -> list[Any]:
    """Sources, targets and optional weights, flattened from any nesting."""
    return [x for x in tree.flatten(batch) if x is not None]


register(Transformer, presets=PRESETS)
