"""RecurrentLM: recurrent language models.

Mikolov et al. 2010 (Elman networks) and Zaremba et al. 2014 (LSTMs), with the latter's
dropout: between layers, not through time.

Shapes: B batch, T tokens, D width, S state of one layer, L layers, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.configs.checks import check_choice, check_fields, check_rate, check_whole
from zoo.engine.current import engine
from zoo.engine.layout import GATHERED
from zoo.engine.tensors import Function, Tensor
from zoo.generation.scoring import log_probs_of
from zoo.layers.dense import Dense
from zoo.layers.dropout import Dropout
from zoo.layers.embeddings import TokenEmbedding
from zoo.layers.initializers import Normal
from zoo.layers.recurrent.carried_state import CarriedState
from zoo.layers.recurrent.cells import CELLS
from zoo.models.language.language_model import LanguageModel
from zoo.presets.registration import register
from zoo.training.checks.ranges import Range
from zoo.training.phases import Batch
from zoo.training.raw.texts import Segments


@dataclass(frozen=True)
class RecurrentLMConfig:
    """Configuration of a recurrent language model.

    Attributes:
        vocab_size: number of token ids, V.
        context_length: maximum number of tokens per window, and per generated text.
        num_layers: number of recurrent layers, L.
        width: width of embeddings and layers, D.
        cell: "lstm", "gru" or "elman".
        dropout: dropout rate of embeddings and of each layer's output.
        tie_embeddings: whether the output head shares the token embedding.
        carried_rows: rows of a training batch (over all micro-batches and devices)
            whose state carries over to the next batch; 0 starts every window from
            zeros.
    """

    vocab_size: int
    context_length: int
    num_layers: int
    width: int
    cell: str = "lstm"
    dropout: float = 0.0
    tie_embeddings: bool = True
    carried_rows: int = 0

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_whole(self, "vocab_size", "context_length", "num_layers", "width")
        check_whole(self, "carried_rows", least=0)
        check_fields(self)
        check_choice(self, "cell", tuple(CELLS))
        check_rate(self, "dropout")


PRESETS: dict[str, RecurrentLMConfig] = {
    # Zaremba et al. 2014, section 4.1, on the Penn Treebank: windows of 35 tokens and
    # batches of 20 rows.
    "lstm_ptb_medium": RecurrentLMConfig(
        10000, 35, 2, 650, dropout=0.5, tie_embeddings=False, carried_rows=20
    ),
    "lstm_ptb_large": RecurrentLMConfig(
        10000, 35, 2, 1500, dropout=0.65, tie_embeddings=False, carried_rows=20
    ),
}


@keras.saving.register_keras_serializable("zoo")
class RecurrentLM(LanguageModel):
    """A causal language model of recurrent layers.

    Called with token ids (B, T), or a dict with `token_ids` and `padding_mask`
    (True at tokens), it gives logits (B, T, V) in float32. `fit` takes windows of
    token ids (B, T+1), or inputs, targets and weights (B, T) each.

    With `carried_rows`, `fit` takes an iterator over batches of `zoo.data.Streams`, or
    windows whose rows continue from batch to batch. `evaluate` starts every window from
    zeros and does not touch the training state.
    """

    Config = RecurrentLMConfig
    layout = (
        (r"embeddings$", (None, "model")),
        (r"head/kernel$", ("model", None)),
        # Gates lie side by side, so shards of columns are not shards of a state.
        (r"(elman|gru|lstm)_\d+/(recurrent_)?kernel$", (None, "model"), GATHERED),
    )
    fusion_pays = True
    long_loops = True

    def __init__(self, config: RecurrentLMConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = {"dtype": self.dtype_policy}
        self.token_embedding = TokenEmbedding(
            config.vocab_size,
            config.width,
            Normal(config.width**-0.5),
            name="token_embedding",
            **dtype,
        )
        self.dropout = Dropout(config.dropout, name="dropout", **dtype)
        self.recurrent = [
            CELLS[config.cell](config.width, name=f"{config.cell}_{index}", **dtype)
            for index in range(config.num_layers)
        ]
        self.head = None
        if not config.tie_embeddings:
            self.head = Dense(config.vocab_size, use_bias=False, name="head", **dtype)
        self.carried = None
        if config.carried_rows:
            width = sum(layer.num_states * layer.width for layer in self.recurrent)
            self.carried = CarriedState(config.carried_rows, width, name="carried")
        self.build()

    def hidden(
        self,
        token_ids: Tensor,
        positions: Tensor | None = None,
        attention_mask: Tensor | None = None,
        caches: Sequence[Any] | None = None,
        index: Any = None,
        training: bool = False,
    ) -> Any:
        """The last layer's outputs (B, T, D).

        The signature is that of `LanguageModel.hidden`; the states serve as caches.

        Args:
            token_ids: (B, T).
            positions: ignored, since the state encodes what came before.
            attention_mask: (B, 1 or T, T or more). A token that must not see itself is
                padding, which leaves the state unchanged.
            caches: the layers' states, from `empty_caches`; zeros by default.
            index: ignored.
            training: whether to apply dropout.

        Returns:
            The outputs and, with caches, the new states as a second value.
        """
        length = token_ids.shape[1]
        self.check_length(length)
        mask = _tokens(attention_mask, length)
        x = self.token_embedding(token_ids)
        x = self.dropout(engine().by_rows(x), training=training)
        states = []
        for number, layer in enumerate(self.recurrent):
            x, state = layer(x, None if caches is None else caches[number], mask)
            states.append(state)
            x = self.dropout(x, training=training)
        return x if caches is None else (x, states)

    def empty_caches(self, batch: int, length: int) -> list:
        """The initial state of each layer, which has no limit of `length`."""
        del length
        return [layer.empty_state(batch) for layer in self.recurrent]

    def log_probs(self, token_ids: np.ndarray) -> np.ndarray:
        """Log-probabilities in nats of all of a text's tokens but the first, (T-1,).

        The state is carried through the whole text, of any length; `score` takes texts
        up to the context length.

        Args:
            token_ids: (T,), at least two.
        """
        ids = np.asarray(token_ids)
        if ids.ndim != 1 or len(ids) < 2:
            raise ValueError(
                f"token_ids must have shape (T,) with at least two tokens, got shape "
                f"{ids.shape}."
            )
        self.check_ids(ids)
        ids = ids.astype("int32")
        length = self.config.context_length
        padded = np.pad(ids, (0, -(len(ids) - 1) % length))
        states, found = self.empty_caches(1, 0), []
        for start in range(0, len(ids) - 1, length):
            window = padded[None, start : start + length + 1]
            scores, states = self._reader(window, states)
            found.append(engine().numpy(scores)[0])
        return np.concatenate(found)[: len(ids) - 1]

    @property
    def _reader(self) -> Function:
        if "reader" not in self.__dict__:

            def read(ids: Tensor, states: Any) -> tuple[Tensor, Any]:
                hidden, states = self.hidden(ids[:, :-1], caches=states)
                return log_probs_of(self.logits(hidden), ids[:, 1:]), states

            self.__dict__["reader"] = engine().compile(read, lambda: self.variables)
        return self.__dict__["reader"]

    # === Training ===

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Keras's `fit`; carried state needs batches in order, of `carried_rows` rows.

        Raises:
            ValueError: a batch's rows would not continue those of the batch before.
        """
        if self.carried is not None:
            if isinstance(x, Iterator):
                x = map(self._carried_batch, x)
            elif kwargs.get("shuffle", True):
                raise ValueError(
                    "Batches must come in order with carried_rows="
                    f"{self.config.carried_rows}, since each row's state carries over "
                    "to the next batch. Give an iterator such as "
                    "zoo.data.Streams(...).batches(), or shuffle=False."
                )
        return super().fit(x, *args, **kwargs)

    def text_examples(
        self, segments: Segments, y: Any, weights: Any, length: int | None
    ) -> tuple[Batch, int]:
        """See `LanguageModel.text_examples`; carried state needs a stream instead."""
        if self.carried is not None:
            raise ValueError(
                "With carried_rows each row continues the one before, and texts begin "
                "anew. Give zoo.data.Streams(...).batches(), or make the model with "
                "carried_rows=0."
            )
        return super().text_examples(segments, y, weights, length)

    def _carried_batch(self, batch: Any) -> Any:
        rows = {len(array) for array in keras.tree.flatten(batch)}
        if rows != {self.config.carried_rows}:
            raise ValueError(
                f"A batch must have carried_rows={self.config.carried_rows} rows, got "
                f"{sorted(rows)}. Change carried_rows (a preset loads with any value) "
                "or the batch size."
            )
        return batch

    def prepare(self, batch: Batch) -> dict[str, Tensor]:
        """A batch as a dict; see `LanguageModel.prepare`.

        With carried state and a full batch, the dict has the rows' states too.
        """
        continues = None
        if isinstance(batch, dict):
            batch, continues = batch["windows"], batch.get("continues")
        prepared = super().prepare(batch)
        rows = prepared["inputs"].shape[0]
        if self.carried is not None and rows in (None, self.config.carried_rows):
            prepared |= self.carried.before(continues)
        return prepared

    def read(self, batch: Batch, training: bool) -> Tensor:
        """Logits (B, T, V); in training, reads and updates the carried state."""
        if self.carried is None or not training:
            return super().read(batch, training)
        if "states" not in batch:
            raise ValueError(
                "A training batch must have carried_rows="
                f"{self.config.carried_rows} rows."
            )
        layers, width = self.config.num_layers, self.carried.width
        each = ops.reshape(batch["states"], (-1, layers, width // layers))
        x, states = self.hidden(
            batch["inputs"], caches=ops.unstack(each, axis=1), training=True
        )
        self.carried.keep(ops.concatenate(states, axis=-1), batch["rows"])
        return self.logits(x)

    def form(self, batch: Batch) -> None:
        """Raises as `LanguageModel.form` does; a dict must hold windows."""
        super().form(_windows(batch))

    def ranges(self, batch: Batch) -> list[Range]:
        """The ranges of token ids, of inputs and of targets."""
        return super().ranges(_windows(batch))

    def weight_shapes(self, batch: Batch) -> list[tuple[int, ...]]:
        """One weight per text or per target."""
        return super().weight_shapes(_windows(batch))


def _windows(batch: Batch) -> Batch:
    return batch["windows"] if isinstance(batch, dict) else batch


def _tokens(attention_mask: Tensor | None, length: int | None) -> Tensor | None:
    """True at tokens that are not padding, (B, T); None if none is padding."""
    # During generation, tokens come one at a time, and none is padding.
    if attention_mask is None or length == 1:
        return None
    if attention_mask.shape[1] == 1:
        return attention_mask[:, 0, :length]
    return ops.diagonal(attention_mask[:, :, :length], axis1=1, axis2=2)


register(RecurrentLM, presets=PRESETS, measured="text")
