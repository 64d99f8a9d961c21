"""Fine-tuning tasks for BERT: text classes, token tags, answer spans.

Devlin et al. 2019, section 4. All heads, including the variants', follow the Hugging
Face port.

Shapes: B batch, N texts, T tokens, D width, C classes.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from zoo.configs.checks import (
    check_choice,
    check_count,
    check_rate,
    check_whole,
)
from zoo.configs.class_names import NamesClasses, check_class_names
from zoo.data.tasks.questions import IMPOSSIBLE, best_spans
from zoo.engine.current import engine
from zoo.engine.tensors import Function, Tensor
from zoo.layers.dropout import Dropout
from zoo.models.bert.backbone import Bert, BertConfig, encoder_inputs, served
from zoo.models.checks.classified import classified
from zoo.presets.registration import register
from zoo.training import Phase, WeightedMean
from zoo.training.batched import Batched
from zoo.training.checks.example_weights import over_tokens, parts
from zoo.training.checks.ranges import MOST, Range
from zoo.training.phases import Batch, Terms, same_shape, shape_of
from zoo.training.raw.texts import Segments

# The tag of tokens that do not count, such as all but a word's first piece.
IGNORED = -100


# The layer between the first token and the text's classes, by the model that introduced
# it: its activation, and whether dropout precedes it too. BERT's and ALBERT's is the
# pooler, which is pretrained.
HEADS = {
    "bert": ("tanh", False),
    "roberta": ("tanh", True),
    "electra": ("gelu", True),
    "distilbert": ("relu", False),
}


@dataclass(frozen=True)
class BertTaggerConfig(BertConfig):
    """Configuration of a token tagger.

    It holds the encoder's fields besides its own, so that `from_preset` can change any
    field by name and files stay flat.

    Attributes:
        num_classes: number of tags, C, at least 2.
        class_names: names of the tags, in order; empty if unknown.
        head_dropout: dropout rate before the head; None means `dropout`.
    """

    num_classes: int = 2
    class_names: tuple[str, ...] = field(default=(), kw_only=True)
    head_dropout: float | None = None

    fewest_classes: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Validates the fields."""
        super().__post_init__()
        check_whole(self, "num_classes", least=self.fewest_classes)
        check_class_names(self)
        if self.head_dropout is not None:
            check_rate(self, "head_dropout")


@dataclass(frozen=True)
class BertClassifierConfig(BertTaggerConfig):
    """Configuration of a text classifier.

    Attributes:
        num_classes: number of classes, C; 1 for regression.
        head: architecture of the head: "bert" (also ALBERT's), "roberta", "electra" or
            "distilbert".
    """

    head: str = "bert"

    fewest_classes: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Validates the fields."""
        super().__post_init__()
        check_choice(self, "head", tuple(HEADS))


class BertTask(Bert):
    """A head on BERT, trained with (inputs, targets) or (inputs, targets, weights).

    Inputs are `BertBackbone`'s.
    """

    # What makes inputs and targets of texts, where targets belong to tokens.
    encoded_by: ClassVar[str] = ""

    # How many axes index targets: one for texts, two for tokens of texts.
    counted_dims = 1
    # The shape of one target.
    target_shape: ClassVar[tuple[int, ...]] = ()

    def prepare(self, batch: Batch) -> Batch:
        """A batch (inputs, targets[, weights]) as a dict."""
        inputs, targets, weights = parts(batch)
        prepared = {"inputs": encoder_inputs(inputs), "targets": targets}
        counted = self.counted(prepared)
        given = counted
        if weights is not None and self.counted_dims == 1:
            given = counted * ops.cast(weights, "float32")
        elif weights is not None:
            given = counted * over_tokens(weights, counted)
        return {**prepared, "counted": counted, "weights": given}

    def text_examples(
        self, segments: Segments, y: Any, weights: Any, length: int | None
    ) -> tuple[Batch, int]:
        """Encoded texts and their targets; see `text_inputs`."""
        if self.encoded_by:
            raise ValueError(
                f"{type(self).__name__}.fit can't tell which tokens the targets of raw "
                f"texts belong to. Encode both with zoo.data.{self.encoded_by}."
            )
        return super().text_examples(segments, y, weights, length)

    def counted(self, batch: Batch) -> Tensor:
        """1 for each target that counts, else 0, in float32."""
        return ops.ones(ops.shape(batch["targets"])[: self.counted_dims], "float32")

    def loss_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The targets' total weight."""
        return {"loss": ops.sum(batch["weights"])}

    def form(self, batch: Batch) -> None:
        """Raises unless a batch has inputs and one target per text or token."""
        name, (inputs, targets, _) = type(self).__name__, parts(batch)
        if targets is None:
            raise ValueError(
                f"{name} is trained with (inputs, targets[, weights]), got inputs "
                "alone."
            )
        self.form_of_inputs(inputs)
        rows = shape_of(encoder_inputs(inputs)["token_ids"])[: self.counted_dims]
        wanted = (*rows, *self.target_shape)
        if not same_shape(shape_of(targets), wanted):
            raise ValueError(
                f"{name} needs targets of shape {wanted}, got shape "
                f"{shape_of(targets)}."
            )

    def ranges(self, batch: Batch) -> list[Range]:
        """The ranges of inputs and targets."""
        inputs, targets, _ = parts(batch)
        return [*self.input_ranges(inputs), *self.target_ranges(inputs, targets)]

    def target_ranges(self, inputs: Any, targets: Any) -> list[Range]:
        """The ranges of targets."""
        raise NotImplementedError

    def weight_shapes(self, batch: Batch) -> list[tuple[int, ...]]:
        """One weight per text or, for tagging, per token."""
        shape = shape_of(encoder_inputs(batch[0])["token_ids"])
        return [shape[:1], shape[: self.counted_dims]]

    def batched(self, function: Function) -> Batched:
        """Wraps a function of inputs so that it takes what `arrays` returns."""

        def of_arrays(
            token_ids: Tensor, segment_ids: Tensor, padding_mask: Tensor
        ) -> Any:
            inputs = {"token_ids": token_ids, "segment_ids": segment_ids}
            return function(inputs | {"padding_mask": padding_mask})

        return Batched(of_arrays, lambda: self.variables, batch_size=32)

    def arrays(self, inputs: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Validated inputs as arrays (N, T): token ids, segment ids, padding mask.

        Inputs may also be texts or pairs of texts.
        """
        inputs = self.with_inputs_read({"x": inputs})["x"]
        self.check_inputs(inputs)
        inputs = encoder_inputs(inputs)
        token_ids = np.asarray(inputs["token_ids"], "int32")
        segment_ids = inputs.get("segment_ids", np.zeros_like(token_ids))
        mask = inputs.get("padding_mask", np.ones_like(token_ids))
        return token_ids, np.asarray(segment_ids, "int32"), np.asarray(mask, "bool")


@keras.saving.register_keras_serializable("zoo")
class BertClassifier(NamesClasses, BertTask):
    """Classifies texts or pairs of texts, or predicts a number for each.

    Called with `BertBackbone`'s inputs, it gives scores (B, C) in float32. `fit` takes
    (inputs, classes) and logs `loss`, the cross-entropy in nats, and `accuracy`. With
    `num_classes=1`, it takes (inputs, numbers) and `loss` is the squared error.

    With a tokenizer, inputs may also be texts or pairs of texts, and classes may be
    given by name (`class_names`).
    """

    Config = BertClassifierConfig

    def __init__(self, config: BertClassifierConfig, **kwargs: Any) -> None:
        # Other configurations have no head; the base class rejects them.
        pooler = getattr(config, "head", "bert") == "bert"
        super().__init__(config, pooler=pooler, **kwargs)
        activation, self.drops_twice = HEADS[config.head]
        self.transform: Any = None
        if self.pooler is None:
            self.transform = self.dense(
                config.width, "transform", activation=activation
            )
        self.dropout = _head_dropout(config, self.dtype_policy)
        self.classifier = self.dense(config.num_classes, "classifier")
        self.build()

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        """Class scores (B, C), float32."""
        first = ops.zeros_like(encoder_inputs(inputs)["token_ids"][:, :1])
        x = ops.take(self.bert(inputs, training=training, wanted=first), 0, axis=1)
        if self.drops_twice:
            x = self.dropout(x, training=training)
        transform: Any = self.transform or self.pooler
        x = engine().by_rows(transform(x))
        scores = self.classifier(self.dropout(x, training=training))
        return ops.cast(scores, "float32")

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: cross-entropy, or the squared error of a regression."""
        return (Phase("classes", self.class_loss, [self], weights=self.loss_weights),)

    def class_loss(self, batch: Batch, training: bool) -> Terms:
        """Cross-entropy in nats and accuracy, or the squared error."""
        scores = self(batch["inputs"], training=training)
        targets, weights = batch["targets"], batch["weights"]
        if self.config.num_classes > 1:
            loss, accuracy = classified(scores, targets, weights, batch["counted"])
            return {"loss": loss, "accuracy": accuracy}
        error = scores[:, 0] - ops.cast(targets, "float32")
        return {"loss": WeightedMean.of(ops.square(error), weights)}

    def target_ranges(self, inputs: Any, targets: Any) -> list[Range]:
        """The range of classes, or all finite numbers for a regression."""
        limit = self.config.num_classes
        if limit > 1:
            return [Range("classes", targets, 0, limit - 1)]
        return [Range("numbers", targets, -MOST, MOST, whole=False)]

    def predict_probabilities(self, inputs: Any) -> np.ndarray:
        """Class probabilities (N, C) for any number of texts."""
        if self.config.num_classes == 1:
            raise ValueError(
                "A regression has no classes (num_classes=1). Use predict, which gives "
                "numbers."
            )
        return self._probabilities(*self.arrays(inputs))

    @cached_property
    def _probabilities(self) -> Batched:
        return self.batched(lambda inputs: ops.softmax(self(inputs)))


@keras.saving.register_keras_serializable("zoo")
class BertTagger(NamesClasses, BertTask):
    """Tags each token, as in named entity recognition.

    Called with `BertBackbone`'s inputs, it gives scores (B, T, C) in float32. `fit`
    takes (inputs, tags) or (inputs, tags, weights), all (B, T), and logs `loss`, the
    cross-entropy in nats, and `accuracy`, both over tokens that count: neither padding
    nor tags of -100 do.
    """

    Config = BertTaggerConfig
    encoded_by = "tagged_sequences"
    class_targets = False
    counted_dims = 2

    def __init__(self, config: BertTaggerConfig, **kwargs: Any) -> None:
        super().__init__(config, pooler=False, **kwargs)
        self.dropout = _head_dropout(config, self.dtype_policy)
        self.tagger = self.dense(config.num_classes, "tagger")
        self.build()

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        """Tag scores (B, T, C), float32."""
        sequence = self.dropout(self.bert(inputs, training=training), training=training)
        return ops.cast(self.tagger(sequence), "float32")

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: the tags' cross-entropy."""
        return (Phase("tags", self.tag_loss, [self], weights=self.loss_weights),)

    def counted(self, batch: Batch) -> Tensor:
        """1 for tokens with a tag, 0 for padding and tags of -100."""
        counted = ops.cast(batch["targets"] != IGNORED, "float32")
        mask = batch["inputs"].get("padding_mask")
        return counted if mask is None else counted * ops.cast(mask, "float32")

    def tag_loss(self, batch: Batch, training: bool) -> Terms:
        """Cross-entropy in nats, and accuracy, of the tags that count."""
        scores = self(batch["inputs"], training=training)
        tags = ops.maximum(batch["targets"], 0)
        loss, accuracy = classified(scores, tags, batch["weights"], batch["counted"])
        return {"loss": loss, "accuracy": accuracy}

    def target_ranges(self, inputs: Any, targets: Any) -> list[Range]:
        """The range of tags, and -100."""
        return [Range("tags", targets, 0, self.config.num_classes - 1, ignored=IGNORED)]

    def predict_tags(self, inputs: Any) -> np.ndarray:
        """The most probable tags (N, T), int32, for any number of texts.

        Padding gets -100.
        """
        arrays = self.arrays(inputs)
        return np.where(arrays[-1], self._tags(*arrays), IGNORED).astype("int32")

    def predict_probabilities(self, inputs: Any) -> np.ndarray:
        """Tag probabilities (N, T, C) for any number of texts.

        `zoo.data.TagPaths` finds the best path through them. Values at padding are
        meaningless.
        """
        return self._probabilities(*self.arrays(inputs))

    @cached_property
    def _tags(self) -> Batched:
        return self.batched(lambda inputs: ops.argmax(self(inputs), axis=-1))

    @cached_property
    def _probabilities(self) -> Batched:
        return self.batched(lambda inputs: ops.softmax(self(inputs)))


@keras.saving.register_keras_serializable("zoo")
class BertSpanQA(BertTask):
    """Finds the span of a text that answers a question, as in SQuAD.

    Called with `BertBackbone`'s inputs, it gives `start_logits` and `end_logits` (B, T)
    in float32; padding logits are masked out. `fit` takes (inputs, spans), where spans
    (B, 2) are the answers' first and last tokens, and logs `loss`, the mean of both
    cross-entropies over positions in nats, and `accuracy`, the fraction of texts with
    both ends right.
    """

    Config = BertConfig
    encoded_by = "question_windows"
    class_targets = False
    target_shape = (2,)

    def __init__(self, config: BertConfig, **kwargs: Any) -> None:
        super().__init__(config, pooler=False, **kwargs)
        self.span = self.dense(2, "span")
        self.build()

    def call(self, inputs: Any, training: bool = False) -> dict[str, Tensor]:
        """A dict of `start_logits` and `end_logits` (B, T), float32."""
        scores = self.span(self.bert(inputs, training=training))
        scores = ops.cast(scores, "float32")
        mask = encoder_inputs(inputs).get("padding_mask")
        if mask is not None:
            mask = ops.cast(mask, "bool")[:, :, None]
            scores = ops.where(mask, scores, IMPOSSIBLE)
        return {"start_logits": scores[:, :, 0], "end_logits": scores[:, :, 1]}

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: the cross-entropy of both ends."""
        return (Phase("spans", self.span_loss, [self], weights=self.loss_weights),)

    def span_loss(self, batch: Batch, training: bool) -> Terms:
        """Mean cross-entropy of both ends, in nats, and accuracy."""
        logits = self(batch["inputs"], training=training)
        ends = ops.stack([logits["start_logits"], logits["end_logits"]], axis=1)
        spans, weights = ops.cast(batch["targets"], "int32"), batch["weights"]
        nats = ops.sparse_categorical_crossentropy(spans, ends, from_logits=True)
        right = ops.cast(ops.argmax(ends, axis=-1), "int32") == spans
        return {
            "loss": WeightedMean.of(ops.mean(nats, axis=1), weights),
            "accuracy": WeightedMean.of(ops.all(right, axis=1)),
        }

    def target_ranges(self, inputs: Any, targets: Any) -> list[Range]:
        """The range of token positions."""
        length = encoder_inputs(inputs)["token_ids"].shape[1]
        return [] if length is None else [Range("spans", targets, 0, length - 1)]

    def check(self, batch: Batch) -> None:
        """Raises also for spans that end before they start or lie outside the text."""
        super().check(batch)
        inputs, targets, _ = parts(batch)
        inputs, targets = encoder_inputs(inputs), np.asarray(targets)
        ids = np.asarray(inputs["token_ids"])
        mask = np.asarray(inputs.get("padding_mask", np.ones_like(ids)), bool)
        inside = np.take_along_axis(mask, targets.astype(int), axis=1).all(axis=1)
        bad = np.flatnonzero((targets[:, 0] > targets[:, 1]) | ~inside)
        if bad.size:
            raise ValueError(
                "Spans must be the first and the last token of an answer, both in the "
                f"text, got {targets[bad[0]].tolist()} in row {bad[0]}."
            )

    def predict_logits(self, inputs: Any) -> dict[str, np.ndarray]:
        """`start_logits` and `end_logits` (N, T) for any number of texts."""
        return self._logits(*self.arrays(inputs))

    def predict_spans(
        self, inputs: Any, max_length: int = 30
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best spans for any number of texts.

        Args:
            inputs: `BertBackbone`'s.
            max_length: maximum length of a span, in tokens.

        Returns:
            Spans (N, 2), int32, and their scores (N,), each the sum of two logits.
        """
        check_count("max_length", max_length)
        logits = self.predict_logits(inputs)
        return best_spans(logits["start_logits"], logits["end_logits"], max_length)

    @cached_property
    def _logits(self) -> Batched:
        return self.batched(lambda inputs: self(inputs))


def _head_dropout(config: BertTaggerConfig, dtype: Any) -> Dropout:
    rate = config.dropout if config.head_dropout is None else config.head_dropout
    return Dropout(rate, name="head_dropout", dtype=dtype)


register(
    BertClassifier,
    served=served,
    formats={
        "huggingface": "zoo.formats.huggingface.bert",
        "keras_hub": "zoo.formats.keras_hub.writing",
    },
)
register(
    BertTagger,
    served=served,
    formats={
        "huggingface": "zoo.formats.huggingface.bert",
        "keras_hub": "zoo.formats.keras_hub.writing",
    },
)
register(
    BertSpanQA,
    served=served,
    formats={
        "huggingface": "zoo.formats.huggingface.bert",
        "keras_hub": "zoo.formats.keras_hub.writing",
    },
)
