"""ELMo: forward and backward language models whose layers are word features.

Peters et al. 2018; sections and equations below are theirs. Words are read by
convolutions over their characters, as in the paper, or as token ids. The paper's LSTMs
project their outputs down; these are as wide as their inputs.

Shapes: B batch, T tokens, D width of one direction, L layers, V vocabulary, C classes;
M characters of a word.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.configs.checks import check_count, check_fields, check_rate, check_whole
from zoo.configs.class_names import NamesClasses, check_class_names
from zoo.data.tasks.sequences import cut_to, text_sequences
from zoo.data.tasks.spelling import NUM_CHARACTERS, with_spelling
from zoo.engine.current import engine
from zoo.engine.layout import GATHERED
from zoo.engine.tensors import Tensor
from zoo.layers.characters import CharacterConvolutions
from zoo.layers.dense import Dense
from zoo.layers.dropout import Dropout
from zoo.layers.embeddings import TokenEmbedding
from zoo.layers.initializers import Normal
from zoo.layers.layer import Layer
from zoo.layers.recurrent.cells import LSTM
from zoo.layers.scalar_mix import ScalarMix
from zoo.models.checks.classes import check_classes
from zoo.models.checks.classified import classified
from zoo.presets.preset import FromPreset
from zoo.presets.registration import register
from zoo.training import Model, Phase
from zoo.training.batched import Batched
from zoo.training.checks.example_weights import over_tokens, parts, total_of
from zoo.training.checks.ranges import Range
from zoo.training.checks.token_ids import token_range
from zoo.training.phases import Batch, Terms, same_shape, shape_of
from zoo.training.raw.texts import Segments

INPUTS = ("token_ids", "character_ids", "padding_mask")


@dataclass(frozen=True)
class ELMoConfig:
    """Configuration of an ELMo.

    Attributes:
        vocab_size: number of token ids, V.
        num_layers: number of LSTMs per direction, L.
        width: width of embeddings, and of the LSTMs of one direction, D.
        dropout: dropout rate on the inputs of each LSTM and of the softmax.
        character_filters: number of character convolutions of each width, from width 1
            up; if empty, words are embedded by their token ids. The paper has 32, 32,
            64, 128, 256, 512, 1024.
        character_width: width of the character embeddings.
        num_highways: number of highway layers after the convolutions.
        word_length: with `character_filters`, the bytes that raw texts' words are
            padded or cut to, M, two boundary marks included.
    """

    vocab_size: int
    num_layers: int = 2
    width: int = 512
    dropout: float = 0.1
    character_filters: tuple[int, ...] = ()
    character_width: int = 16
    num_highways: int = 2
    word_length: int = field(default=50, kw_only=True)

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_whole(self, "vocab_size", "num_layers", "width", "character_width")
        check_whole(self, "num_highways", least=0)
        check_fields(self)
        check_whole(self, "word_length", least=max(3, len(self.character_filters)))
        for count in self.character_filters:
            check_count("each of character_filters", count)
        check_rate(self, "dropout")

    @property
    def words(self) -> str:
        """The name of the input that words are read from."""
        return "character_ids" if self.character_filters else "token_ids"


@dataclass(frozen=True)
class ELMoClassifierConfig(ELMoConfig):
    """Configuration of a text classifier on ELMo's features.

    Attributes:
        num_classes: number of classes, C.
        class_names: names of the classes, in order; empty if unknown.
        hidden_width: width of the layer between features and classes.
        contextual: whether to classify a mix of all layers, or only the embeddings.
    """

    num_classes: int = 2
    class_names: tuple[str, ...] = field(default=(), kw_only=True)
    hidden_width: int = 128
    contextual: bool = True

    def __post_init__(self) -> None:
        """Validates the fields."""
        super().__post_init__()
        check_whole(self, "num_classes", least=2)
        check_class_names(self)
        check_whole(self, "hidden_width")


@keras.saving.register_keras_serializable("zoo")
class BidirectionalLSTM(Layer):
    """Two stacks of LSTMs over shared embeddings, one reading backward (section 3.1).

    From the second LSTM on, there are residual connections.
    """

    def __init__(self, config: ELMoConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        dtype = {"dtype": self.dtype_policy}
        if config.character_filters:
            self.embedding = CharacterConvolutions(
                NUM_CHARACTERS,
                config.character_filters,
                config.character_width,
                config.num_highways,
                config.width,
                name="characters",
                **dtype,
            )
        else:
            self.embedding = TokenEmbedding(
                config.vocab_size,
                config.width,
                Normal(config.width**-0.5),
                name="token_embedding",
                **dtype,
            )
        self.dropout = Dropout(config.dropout, name="dropout", **dtype)
        self.forward_layers, self.backward_layers = (
            [
                LSTM(
                    config.width,
                    backward=direction == "backward",
                    name=f"{direction}_{index}",
                    **dtype,
                )
                for index in range(config.num_layers)
            ]
            for direction in ("forward", "backward")
        )

    def build(self, input_shape: Any = None) -> None:
        """Creates all weights, whose shapes follow from the configuration."""
        for layer in self._flatten_layers(include_self=False, recursive=False):
            layer.build((None, None, self.config.width))

    def embedded(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Context-free word vectors (B, T, D)."""
        return engine().by_rows(self.embedding(inputs[self.config.words]))

    def call(self, inputs: Any, training: bool = False) -> tuple[Tensor, ...]:
        """All layers of both directions, each (L+1, B, T, D), embeddings first."""
        inputs = word_inputs(inputs, self.config.words)
        mask = inputs.get("padding_mask")
        embedded = self.embedded(inputs)
        return tuple(
            self._read(layers, embedded, mask, training)
            for layers in (self.forward_layers, self.backward_layers)
        )

    def _read(
        self, layers: Sequence[LSTM], x: Tensor, mask: Tensor | None, training: bool
    ) -> Tensor:
        found = [x]
        for layer in layers:
            # Padding leaves the state unchanged, so backward LSTMs begin at the last
            # token.
            read, _ = layer(self.dropout(x, training=training), None, mask)
            x = read if len(found) == 1 else x + read
            found.append(x)
        return ops.stack(found)


class BiLM(FromPreset, Model):
    """Base of both models: the two directions, and checks of texts."""

    layout = (
        # Convolutions of several widths are concatenated where they are used.
        (r"characters/.*(embeddings|kernel)$", (None, "model"), GATHERED),
        (r"embeddings$", (None, "model")),
        (r"head/kernel$", ("model", None)),
        # Gates lie side by side, so shards of columns are not shards of a state.
        (r"(forward|backward)_\d+/(recurrent_)?kernel$", (None, "model"), GATHERED),
    )
    fusion_pays = True
    long_loops = True
    family = "elmo"

    def __init__(self, config: ELMoConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.elmo = BidirectionalLSTM(config, name=self.family, dtype=self.dtype_policy)

    def features(self, words: Any, padding_mask: Any = None) -> np.ndarray:
        """All layers' features of any number of texts, for `zoo.layers.ScalarMix`.

        Args:
            words: token ids (N, T) or, with `character_filters`, character ids
                (N, T, M).
            padding_mask: (N, T), True at tokens; all True by default.

        Returns:
            Features (L+1, N, T, 2·D), forward and backward concatenated. The first
            layer is the embeddings, twice. Values at padding are meaningless.
        """
        words = np.asarray(words)
        mask = np.ones(words.shape[:2]) if padding_mask is None else padding_mask
        inputs = {self.config.words: words, "padding_mask": np.asarray(mask, "bool")}
        self.check_inputs(inputs)
        return np.moveaxis(self._features(*inputs.values()), 0, 1)

    @cached_property
    def _features(self) -> Batched:
        def features(words: Tensor, padding_mask: Tensor) -> Tensor:
            inputs = {self.config.words: words, "padding_mask": padding_mask}
            found = ops.concatenate(self.elmo(inputs), axis=-1)
            return ops.transpose(ops.cast(found, "float32"), (1, 0, 2, 3))

        return Batched(features, lambda: self.variables, batch_size=32)

    @property
    def longest_text(self) -> float:
        """Infinite: the model reads texts of any length."""
        return math.inf

    def text_inputs(self, segments: Segments, length: int | None) -> tuple[dict, int]:
        """Texts as `token_ids` and `padding_mask` (N, T), and how many were cut.

        Rows are as long as the longest text, [CLS] and [SEP] included. With
        `character_filters`, there are `character_ids` (N, T, M) too.
        """
        whole = text_sequences(segments, self.tokenizer)
        if self.config.character_filters:
            texts = [text for segment in segments for text in segment]
            whole = with_spelling(whole, texts, self.config.word_length)
        sequences, cut = cut_to(whole, length or whole.length)
        packed = sequences.pack(np.arange(len(sequences)))
        return {name: packed[name] for name in INPUTS if name in packed}, cut

    def check_inputs(self, inputs: Any) -> None:
        """Raises for words or masks that the model can't take."""
        self.form_of_inputs(inputs)
        for range_ in self.input_ranges(inputs):
            range_.check()

    def form_of_inputs(self, inputs: Any) -> None:
        """Raises for words or masks of other shapes."""
        inputs = word_inputs(inputs, self.config.words)
        shape = shape_of(inputs[self.config.words])
        if self.config.character_filters:
            least = len(self.config.character_filters)
            if len(shape) != 3 or shape[2] < least:
                raise ValueError(
                    "character_ids must have shape (texts, words, characters), with at "
                    f"least {least} characters for the widest of character_filters, "
                    f"got shape {shape}."
                )
            shape = shape[:2]
        others = {
            name: shape_of(inputs[name])
            for name in ("token_ids", "padding_mask")
            if name in inputs
        }
        if len(shape) != 2 or not all(same_shape(x, shape) for x in others.values()):
            raise ValueError(
                "token_ids and padding_mask must have one shape (texts, tokens), got "
                f"{others} for {self.config.words} of shape {shape}."
            )

    def input_ranges(self, inputs: Any) -> list[Range]:
        """The ranges of words and masks."""
        inputs = word_inputs(inputs, self.config.words)
        found = []
        if "character_ids" in inputs:
            characters = inputs["character_ids"]
            found.append(Range("character_ids", characters, 0, NUM_CHARACTERS - 1))
        if "token_ids" in inputs:
            found.append(token_range(inputs["token_ids"], self.config, "token_ids"))
        if "padding_mask" in inputs:
            found.append(Range("padding_mask", inputs["padding_mask"], 0, 1))
        return found


@keras.saving.register_keras_serializable("zoo")
class ELMo(BiLM):
    """A bidirectional language model, and the features that it learns.

    Called with token ids (B, T), or a dict with `token_ids` and `padding_mask` (True at
    tokens), it gives `forward` and `backward` logits (B, T, V) in float32, for the
    token after each token and the one before it. Both share one softmax layer. `fit`
    takes such inputs, and logs the cross-entropies `forward` and `backward` in nats per
    token, and their sum, `loss`. `features` gives all layers.

    With `character_filters`, it reads `character_ids` (B, T, M) instead, so that any
    word has features; `fit` then takes `token_ids` too, as targets. Both come from raw
    texts, with a tokenizer of `Tokenizer.train_words`, or `zoo.data.SpelledSequences`.
    """

    Config = ELMoConfig
    class_targets = False

    def __init__(self, config: ELMoConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = {"dtype": self.dtype_policy}
        self.dropout = Dropout(config.dropout, name="dropout", **dtype)
        self.head = Dense(config.vocab_size, name="head", **dtype)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Creates all weights, whose shapes follow from the configuration."""
        for layer in (self.elmo, self.head):
            layer.build((None, None, self.config.width))
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> dict[str, Tensor]:
        """A dict of `forward` and `backward` logits (B, T, V), float32."""
        forward, backward = self.elmo(inputs, training=training)
        return {
            "forward": self._logits(forward[-1], training),
            "backward": self._logits(backward[-1], training),
        }

    def _logits(self, x: Tensor, training: bool) -> Tensor:
        return ops.cast(self.head(self.dropout(x, training=training)), "float32")

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: the sum of both directions' cross-entropies."""
        return (
            Phase(
                "bidirectional",
                self.bidirectional_loss,
                [self],
                objective={"forward": 1.0, "backward": 1.0},
                weights=self.loss_weights,
            ),
        )

    def text_examples(
        self, segments: Segments, y: Any, weights: Any, length: int | None
    ) -> tuple[Batch, int]:
        """Encoded texts, which are trained without targets; see `text_inputs`."""
        if y is not None:
            raise ValueError(
                f"{type(self).__name__} predicts each text's own words: pass texts "
                "alone, without y."
            )
        return super().text_examples(segments, y, weights, length)

    def prepare(self, batch: Batch) -> dict[str, Tensor]:
        """A batch as a dict of inputs, a padding mask and, where given, weights."""
        inputs, _, weights = parts(batch)
        inputs = word_inputs(inputs, "token_ids")
        mask = inputs.get("padding_mask")
        mask = ops.ones_like(inputs["token_ids"]) if mask is None else mask
        prepared = {**inputs, "padding_mask": ops.cast(mask, "bool")}
        if weights is not None:
            prepared["weights"] = over_tokens(weights, inputs["token_ids"])
        return prepared

    def loss_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The total weight of each direction's predictions."""
        forward, backward = self._counts(batch)
        return {"forward": ops.sum(forward), "backward": ops.sum(backward)}

    def _counts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The weight of each direction's predictions, (B, T-1)."""
        pairs, weights = self._pairs(batch), batch.get("weights")
        if weights is None:
            return pairs, pairs
        return pairs * weights[:, 1:], pairs * weights[:, :-1]

    def _pairs(self, batch: Batch) -> Tensor:
        """1 where two adjacent positions are both tokens, else 0, (B, T-1)."""
        mask = ops.cast(batch["padding_mask"], "float32")
        return mask[:, :-1] * mask[:, 1:]

    def bidirectional_loss(self, batch: Batch, training: bool) -> Terms:
        """Mean negative log-probabilities, in nats per token (section 3.1)."""
        logits = self(batch, training=training)
        ids, (after, before) = batch["token_ids"], self._counts(batch)
        forward, _ = classified(logits["forward"][:, :-1], ids[:, 1:], after)
        backward, _ = classified(logits["backward"][:, 1:], ids[:, :-1], before)
        return {"forward": forward, "backward": backward}

    def form(self, batch: Batch) -> None:
        """Raises for texts of other shapes, or without `token_ids`."""
        inputs, _, _ = parts(batch)
        word_inputs(inputs, "token_ids")
        self.form_of_inputs(inputs)

    def ranges(self, batch: Batch) -> list[Range]:
        """The ranges of words and masks."""
        return self.input_ranges(parts(batch)[0])

    def weight_shapes(self, batch: Batch) -> list[tuple[int, ...]]:
        """One weight per text or per token."""
        shape = shape_of(word_inputs(batch[0], "token_ids")["token_ids"])
        return [shape[:1], shape]


@keras.saving.register_keras_serializable("zoo")
class ELMoClassifier(NamesClasses, BiLM):
    """Classifies texts by ELMo's frozen features.

    It trains a `ScalarMix` of the layers, a hidden layer and, after the maximum over a
    text's tokens, a classifier, and nothing else. `from_preset` takes ELMo's presets.
    Called with ELMo's inputs, it gives scores (B, C) in float32. `fit` takes (inputs,
    classes) and logs `loss`, the cross-entropy in nats, and `accuracy`.
    """

    Config = ELMoClassifierConfig

    def __init__(self, config: ELMoClassifierConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = {"dtype": self.dtype_policy}
        self.mix = None
        if config.contextual:
            self.mix = ScalarMix(config.num_layers + 1, name="mix", **dtype)
        self.dropout = Dropout(config.dropout, name="dropout", **dtype)
        self.hidden = Dense(
            config.hidden_width, activation="relu", name="hidden", **dtype
        )
        self.classifier = Dense(config.num_classes, name="classifier", **dtype)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Creates all weights, whose shapes follow from the configuration."""
        self.elmo.build((None, None, self.config.width))
        features = (None, None, 2 * self.config.width)
        if self.mix is not None:
            self.mix.build((None, *features))
        self.hidden.build(features)
        self.classifier.build((None, self.config.hidden_width))
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        """Class scores (B, C), float32."""
        inputs = word_inputs(inputs, self.config.words)
        # No gradient flows into the frozen features.
        if self.mix is not None:
            layers = ops.concatenate(self.elmo(inputs), axis=-1)
            x = self.mix(ops.stop_gradient(layers))
        else:
            x = ops.stop_gradient(self.elmo.embedded(inputs))
            x = ops.concatenate([x, x], axis=-1)
        x = self.hidden(self.dropout(x, training=training))
        mask = inputs.get("padding_mask")
        if mask is not None:
            # Zeros at padding never win, since the hidden layer is not negative.
            x = x * ops.cast(mask, x.dtype)[:, :, None]
        x = self.dropout(ops.max(x, axis=1), training=training)
        return ops.cast(self.classifier(x), "float32")

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: cross-entropy, of the layers after the features."""
        trained = [layer for layer in (self.mix, self.hidden, self.classifier) if layer]
        return (Phase("classes", self.class_loss, trained, weights=self.loss_weights),)

    def prepare(self, batch: Batch) -> dict[str, Tensor]:
        """A batch (inputs, classes[, weights]) as a dict."""
        inputs, classes, weights = parts(batch)
        given = ops.ones_like(classes) if weights is None else weights
        return {
            **word_inputs(inputs, self.config.words),
            "classes": classes,
            "weights": ops.cast(given, "float32"),
        }

    def loss_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The texts' total weight."""
        return total_of(batch, "loss")

    def class_loss(self, batch: Batch, training: bool) -> Terms:
        """Cross-entropy in nats, and accuracy."""
        inputs = word_inputs(batch, self.config.words)
        scores = self(inputs, training=training)
        loss, accuracy = classified(scores, batch["classes"], batch["weights"])
        return {"loss": loss, "accuracy": accuracy}

    def form(self, batch: Batch) -> None:
        """Raises unless a batch has texts and one class for each."""
        inputs, classes, _ = parts(batch)
        self.form_of_inputs(inputs)
        words = word_inputs(inputs, self.config.words)[self.config.words]
        check_classes(self, classes, words, "text")

    def ranges(self, batch: Batch) -> list[Range]:
        """The ranges of words, masks and classes."""
        inputs, classes, _ = parts(batch)
        last = self.config.num_classes - 1
        return [*self.input_ranges(inputs), Range("classes", classes, 0, last)]

    def weight_shapes(self, batch: Batch) -> list[tuple[int, ...]]:
        """One weight per text."""
        return [shape_of(batch[1])]

    def predict_probabilities(self, inputs: Any) -> np.ndarray:
        """Class probabilities (N, C) of any number of texts, as ids or strings."""
        inputs = self.with_inputs_read({"x": inputs})["x"]
        self.check_inputs(inputs)
        inputs = word_inputs(inputs, self.config.words)
        ids = np.asarray(inputs[self.config.words], "int32")
        mask = np.asarray(inputs.get("padding_mask", np.ones(ids.shape[:2])), "bool")
        return self._probabilities(ids, mask)

    @cached_property
    def _probabilities(self) -> Batched:
        def probabilities(words: Tensor, padding_mask: Tensor) -> Tensor:
            inputs = {self.config.words: words, "padding_mask": padding_mask}
            return ops.softmax(self(inputs))

        return Batched(probabilities, lambda: self.variables, batch_size=64)


def word_inputs(inputs: Any, needed: str) -> dict:
    """ELMo's inputs as a dict.

    Args:
        inputs: token or character ids, or a dict of `INPUTS`.
        needed: the name that bare ids get, and that a dict must have.

    Raises:
        ValueError: a dict lacks the needed ids.
    """
    if not isinstance(inputs, Mapping):
        return {needed: inputs}
    if needed not in inputs:
        raise ValueError(
            f"Inputs must be {needed} or a dict of {needed} and, optionally, "
            f"padding_mask, got a dict of {sorted(inputs)}."
        )
    return {name: inputs[name] for name in INPUTS if name in inputs}


register(ELMo)
register(ELMoClassifier)
