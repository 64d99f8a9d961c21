"""What every network that predicts the next token has in common.

Shapes: B batch, T tokens, D width, V vocabulary.
"""

from typing import Any

from keras import ops

from zoo.generation.generate import Generates
from zoo.layers.dense import Dense
from zoo.layers.embeddings import TokenEmbedding
from zoo.presets.preset import FromPreset
from zoo.training import Model, Phase, WeightedMean
from zoo.training.checks.example_weights import over_tokens, parts, total_of
from zoo.training.checks.token_ids import token_range
from zoo.training.phases import same_shape, shape_of


class LanguageModel(FromPreset, Generates, Model):
    """A network that predicts the next token: its calls, loss and data.

    Called with token ids (B, T), or a dict with `token_ids` and `padding_mask` (True
    at tokens), it gives logits (B, T, V) in float32. `fit` takes windows of token ids
    (B, T+1), or inputs and targets (B, T); `sample_weight` weighs texts (B,) or targets
    (B, T).

    A subclass has a `config` with `vocab_size`, `context_length` and `width`, a
    `token_embedding` and a `head`, None where the embedding is the head too, and gives
    `hidden` and `empty_caches`.
    """

    class_targets = False
    token_embedding: TokenEmbedding
    head: Dense | None

    def build(self, input_shape: Any = None) -> None:
        """Makes all weights; the configuration says all their shapes."""
        for layer in self._flatten_layers(include_self=False, recursive=False):
            layer.build((None, None, self.config.width))
        self.built = True

    def hidden(
        self,
        token_ids,
        positions=None,
        attention_mask=None,
        caches=None,
        index=None,
        training: bool = False,
    ):
        """What is known (B, T, D) after each token of (B, T).

        Args:
            token_ids: (B, T).
            positions: of the tokens, (B, T) or (T,); default 0 … T-1.
            attention_mask: (B, 1 or T, S), True at what may be looked at.
            caches: from `empty_caches`, or those that the last call gave.
            index: where in the caches the tokens go.
            training: whether to drop.

        Returns:
            An array, and the new caches as a second value where some were given.
        """
        raise NotImplementedError

    def logits(self, x):
        """Scores (..., V) in float32 for what is known (..., D)."""
        if self.head is None:
            return self.token_embedding.logits(x)
        return ops.cast(self.head(x), "float32")

    def empty_caches(self, batch: int, length: int) -> list:
        """What is kept of no tokens yet, nested arrays with a row an example.

        Those that grow have room for `length` tokens along their second axis.
        """
        raise NotImplementedError

    def call(self, inputs, training: bool = False):
        """Logits (B, T, V) for token ids (B, T); see the class."""
        visible = None
        if isinstance(inputs, dict):
            visible = inputs.get("padding_mask")
            visible = None if visible is None else ops.cast(visible, "bool")[:, None, :]
            inputs = inputs["token_ids"]
        hidden = self.hidden(inputs, attention_mask=visible, training=training)
        return self.logits(hidden)

    # === Training ===

    def phases(self):
        """One: the next token's cross-entropy."""
        return (
            Phase(
                "next_token", self.next_token_loss, [self], weights=self.loss_weights
            ),
        )

    def prepare(self, batch):
        """Windows (B, T+1), or (inputs, targets); weights (B,) or (B, T). As a dict."""
        inputs, targets, weights = parts(batch)
        if targets is None:
            inputs, targets = inputs[:, :-1], inputs[:, 1:]
        prepared = {"inputs": inputs, "targets": targets}
        if weights is not None:
            prepared["weights"] = over_tokens(weights, targets)
        return prepared

    def loss_weights(self, batch) -> dict:
        """How many predictions count."""
        if "weights" in batch:
            return total_of(batch, "loss")
        return {"loss": ops.cast(ops.size(batch["targets"]), "float32")}

    def next_token_loss(self, batch, training):
        """Mean negative log-probability of the targets, in nats a token."""
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

    def read(self, batch, training):
        """Logits (B, T, V) of a prepared batch."""
        return self(batch["inputs"], training=training)

    def form(self, batch) -> None:
        """Anything but windows, or inputs and targets of one shape, raises."""
        inputs, targets, _ = parts(batch)
        shape = shape_of(inputs)
        if len(shape) != 2 or (targets is None and (shape[1] or 2) < 2):
            raise ValueError(
                f"{type(self).__name__} is trained with windows of token ids (B, T+1), "
                f"or with inputs and targets (B, T), got shape {shape}"
            )
        if targets is not None and not same_shape(shape_of(targets), shape):
            raise ValueError(
                f"Each of the inputs needs a target: expected targets of shape "
                f"{shape}, got {shape_of(targets)}"
            )

    def ranges(self, batch):
        """Token ids, of inputs and of targets."""
        inputs, targets, _ = parts(batch)
        return [token_range(x, self.config) for x in (inputs, targets) if x is not None]

    def weight_shapes(self, batch):
        """One for each text, or for each target."""
        inputs, targets, _ = parts(batch)
        rows, length = shape_of(inputs)
        return [(rows,), (rows, length - (targets is None))]

    def check_inputs(self, inputs) -> None:
        """Ids outside the vocabulary raise."""
        token_ids = inputs["token_ids"] if isinstance(inputs, dict) else inputs
        token_range(token_ids, self.config).check()
