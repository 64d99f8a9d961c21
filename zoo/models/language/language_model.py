"""The base of all networks that predict the next token.

Shapes: B batch, T tokens, D width, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from keras import ops

from zoo.data.text.crops import windows_with_weights
from zoo.engine.tensors import Tensor
from zoo.generation.generate import Generates
from zoo.layers.dense import Dense
from zoo.layers.embeddings import TokenEmbedding
from zoo.presets.preset import FromPreset
from zoo.training import Model, Phase, WeightedMean
from zoo.training.checks.example_weights import over_tokens, parts, total_of
from zoo.training.checks.ranges import Range
from zoo.training.checks.token_ids import token_range
from zoo.training.phases import Batch, Terms, same_shape, shape_of
from zoo.training.raw.texts import Segments


class LanguageModel(FromPreset, Generates, Model):
    """Base of networks that predict the next token: calls, loss and data.

    Called with token ids (B, T), or a dict with `token_ids` and `padding_mask` (True
    at tokens), it gives logits (B, T, V) in float32. `fit` takes windows of token ids
    (B, T+1), or inputs and targets (B, T); `sample_weight` weighs texts (B,) or targets
    (B, T). With a tokenizer it also takes texts, see `text_examples`.

    A subclass has a `config` with `vocab_size`, `context_length` and `width`, a
    `token_embedding` and a `head` (None where the embedding is the head too), and
    implements `hidden` and `empty_caches`.
    """

    class_targets = False
    one_row_per_text = False
    token_embedding: TokenEmbedding
    head: Dense | None

    def build(self, input_shape: Any = None) -> None:
        """Creates all weights, whose shapes follow from the configuration."""
        for layer in self._flatten_layers(include_self=False, recursive=False):
            layer.build((None, None, self.config.width))
        self.built = True

    def hidden(
        self,
        token_ids: Tensor,
        positions: Tensor | None = None,
        attention_mask: Tensor | None = None,
        caches: Sequence[Any] | None = None,
        index: Any = None,
        training: bool = False,
    ) -> Any:
        """Hidden vectors (B, T, D), one per token.

        Args:
            token_ids: (B, T).
            positions: the tokens' positions, (B, T) or (T,); 0 … T-1 by default.
            attention_mask: (B, 1 or T, S), True where tokens may attend.
            caches: from `empty_caches` or from the previous call.
            index: where the tokens go in the caches.
            training: whether to apply dropout.

        Returns:
            The vectors and, with caches, the new caches as a second value.
        """
        raise NotImplementedError

    def logits(self, x: Tensor) -> Tensor:
        """Logits (..., V), float32, of hidden vectors (..., D)."""
        if self.head is None:
            return self.token_embedding.logits(x)
        return ops.cast(self.head(x), "float32")

    def empty_caches(self, batch: int, length: int) -> list:
        """Caches of no tokens yet: nested arrays with one row per example.

        Caches that grow have room for `length` tokens along their second axis.
        """
        raise NotImplementedError

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        """Logits (B, T, V) of token ids (B, T)."""
        visible = None
        if isinstance(inputs, dict):
            visible = inputs.get("padding_mask")
            visible = None if visible is None else ops.cast(visible, "bool")[:, None, :]
            inputs = inputs["token_ids"]
        hidden = self.hidden(inputs, attention_mask=visible, training=training)
        return self.logits(hidden)

    # === Training ===

    def text_inputs(self, segments: Segments, length: int | None) -> NoReturn:
        """Raises: a language model has `generate` and `score` for texts."""
        raise ValueError(
            f"{type(self).__name__}.predict gives logits of token ids (B, T), and was "
            "given texts. Use generate(texts) or score(texts), or pass "
            "tokenizer.encode_batch(texts), padded."
        )

    def text_examples(
        self, segments: Segments, y: Any, weights: Any, length: int | None
    ) -> tuple[Batch, int]:
        """Windows over each text, so that every token but the first is predicted once.

        A text ends with the tokenizer's end of text, if there is one. It begins a row
        of its own; if it is longer than a row, the next rows continue it, so that
        nothing is cut. Rows are as long as the longest text, at most
        `context_length`; padding has weight 0.
        """
        name = type(self).__name__
        if len(segments) > 1:
            raise ValueError(f"{name} is trained with texts, got pairs of texts.")
        if y is not None:
            raise ValueError(
                f"{name} predicts each text's own next token: pass texts alone, "
                "without y. sample_weight weighs texts."
            )
        (texts,), end = segments, self.tokenizer.end_of_text_id
        rows = self.tokenizer.encode_batch(texts)
        rows = rows if end is None else [np.append(row, end) for row in rows]
        length = length or min(
            max(max(map(len, rows)) - 1, 1), self.config.context_length
        )
        # A text without a target is a row that does not count.
        parts = [
            windows_with_weights(np.pad(row, (0, max(2 - len(row), 0))), length)
            for row in rows
        ]
        inputs, targets, counts = map(np.concatenate, zip(*parts, strict=True))
        sizes = [len(part[0]) for part in parts]
        short = np.repeat([len(row) < 2 for row in rows], sizes)
        counts[short] = 0
        if weights is not None:
            weights = np.asarray(weights, "float32")
            if weights.shape != (len(texts),):
                raise ValueError(
                    f"sample_weight must be one number for each of {len(texts)} texts, "
                    f"got shape {weights.shape}."
                )
            counts *= np.repeat(weights, sizes)[:, None]
        if not counts.any():
            raise ValueError(
                "At least one text must have two tokens that count, got none among "
                f"{len(texts)} texts."
            )
        return (inputs, targets, counts), 0

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: the next token's cross-entropy."""
        return (
            Phase(
                "next_token", self.next_token_loss, [self], weights=self.loss_weights
            ),
        )

    def prepare(self, batch: Batch) -> dict[str, Tensor]:
        """A batch as a dict of inputs and targets (B, T) and, where given, weights."""
        inputs, targets, weights = parts(batch)
        if targets is None:
            inputs, targets = inputs[:, :-1], inputs[:, 1:]
        prepared = {"inputs": inputs, "targets": targets}
        if weights is not None:
            prepared["weights"] = over_tokens(weights, targets)
        return prepared

    def loss_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The predictions' total weight."""
        if "weights" in batch:
            return total_of(batch, "loss")
        return {"loss": ops.cast(ops.size(batch["targets"]), "float32")}

    def next_token_loss(self, batch: Batch, training: bool) -> Terms:
        """Mean negative log-probability of the targets, in nats per token."""
        logits = self.read(batch, training)
        nats = ops.sparse_categorical_crossentropy(
            ops.reshape(batch["targets"], (-1,)),
            ops.reshape(logits, (-1, self.config.vocab_size)),
            from_logits=True,
        )
        weights = batch.get("weights")
        if weights is not None:
            weights = ops.reshape(weights, (-1,))
        return {"loss": WeightedMean.of(nats, weights)}

    def read(self, batch: Batch, training: bool) -> Tensor:
        """Logits (B, T, V) of a prepared batch."""
        return self(batch["inputs"], training=training)

    def form(self, batch: Batch) -> None:
        """Raises unless a batch is windows, or inputs and targets of one shape."""
        inputs, targets, _ = parts(batch)
        shape = shape_of(inputs)
        if len(shape) != 2 or (targets is None and (shape[1] or 2) < 2):
            raise ValueError(
                f"{type(self).__name__} is trained with windows of token ids (B, T+1), "
                f"or with inputs and targets (B, T), got shape {shape}."
            )
        if targets is not None and not same_shape(shape_of(targets), shape):
            raise ValueError(
                f"Targets must have the inputs' shape {shape}, got {shape_of(targets)}."
            )

    def ranges(self, batch: Batch) -> list[Range]:
        """The ranges of token ids, of inputs and of targets."""
        inputs, targets, _ = parts(batch)
        return [token_range(x, self.config) for x in (inputs, targets) if x is not None]

    def weight_shapes(self, batch: Batch) -> list[tuple[int, ...]]:
        """One weight per text or per target."""
        inputs, targets, _ = parts(batch)
        rows, length = shape_of(inputs)
        return [(rows,), (rows, length - (targets is None))]

    def check_inputs(self, inputs: Any) -> None:
        """Raises for token ids outside the vocabulary."""
        token_ids = inputs["token_ids"] if isinstance(inputs, dict) else inputs
        token_range(token_ids, self.config).check()
