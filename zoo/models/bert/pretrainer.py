"""BERT's pretraining: masked tokens and sentence pairs.

Devlin et al. 2019, section 3.1. Without the sentence loss it is RoBERTa's (Liu et al.
2019); with labels for swapped sentences it is ALBERT's (Lan et al. 2020).

Shapes: B batch, T tokens, M masked positions, D width, E embedding width, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from zoo.engine.current import engine
from zoo.engine.tensors import Shape, Tensor
from zoo.layers.activations import ACTIVATIONS
from zoo.layers.dense import Dense
from zoo.layers.embeddings import TokenEmbedding
from zoo.layers.initializers import TruncatedNormal
from zoo.layers.layer import Layer
from zoo.layers.norm import LayerNorm
from zoo.models.bert.backbone import (
    INPUTS,
    Bert,
    BertConfig,
    encoder_inputs,
    served,
)
from zoo.models.bert.masked_texts import MaskedTexts
from zoo.models.checks.classified import classified
from zoo.presets.registration import register
from zoo.training import Phase
from zoo.training.checks.ranges import MOST, Range
from zoo.training.checks.token_ids import token_range
from zoo.training.phases import Batch, Terms, same_shape, shape_of

MASKED = ("mask_positions", "mask_ids", "mask_weights")
# What a pretraining batch holds besides the encoder's inputs.
PRETRAINING = (*MASKED, "next_sentence")


@keras.saving.register_keras_serializable("zoo")
class MaskedLMHead(Layer):
    """Token logits by products with the token embeddings.

    A dense layer to the embedding width, a norm, products with the embeddings, and a
    bias per token, as in `get_masked_lm_output` of google-research/bert.
    """

    def __init__(self, config: BertConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.activation = ACTIVATIONS[config.activation]
        self.transform = Dense(
            config.embedding_width or config.width,
            kernel_initializer=TruncatedNormal(config.initial_stddev),
            name="transform",
            dtype=self.dtype_policy,
        )
        self.norm = LayerNorm(
            epsilon=config.norm_epsilon, name="norm", dtype=self.dtype_policy
        )

    def build(self, input_shape: Shape) -> None:
        """Creates the layers' weights and the bias."""
        self.transform.build(input_shape)
        self.norm.build((*input_shape[:-1], self.transform.units))
        self.bias = self.add_weight(
            name="bias", shape=(self.config.vocab_size,), initializer="zeros"
        )

    def call(self, x: Tensor, embedding: TokenEmbedding) -> Tensor:
        """Logits (..., V), float32, of vectors (..., D)."""
        x = self.norm(engine().by_rows(self.activation(self.transform(x))))
        return embedding.logits(x) + ops.cast(self.bias, "float32")


@keras.saving.register_keras_serializable("zoo")
class BertPretrainer(MaskedTexts):
    """BERT with its pretraining heads, for masked tokens and sentence pairs.

    `fit` takes dicts of `BertBackbone`'s inputs, with masked tokens replaced;
    `mask_positions`, `mask_ids` and `mask_weights` (B, M): the masked positions, their
    original tokens, and 0 for positions that do not count; and `next_sentence` (B,): 0
    if the second segment follows the first, 1 if it is random (or swapped: ALBERT). It
    logs `loss`, the sum of `mlm_loss`, a mean over masked positions, and `nsp_loss`, a
    mean over pairs, both in nats; and `mlm_accuracy` and `nsp_accuracy`. With
    `pooler=False` there is no sentence loss.

    With a tokenizer, `fit` also takes texts or, with a sentence loss, pairs of texts
    and `next_sentence` as y. It masks `mask_rate` of the tokens anew in each batch; in
    `evaluate`, always the same ones.

    Called with such a dict, it gives `mlm_logits` (B, M, V), or (B, T, V) without
    `mask_positions`, and `nsp_logits` (B, 2), in float32.
    """

    Config = BertConfig
    weightless = "each masked position has its own weight: scale mask_weights."

    def __init__(self, config: BertConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.masked_lm = MaskedLMHead(config, name="masked_lm", dtype=self.dtype_policy)
        self.next_sentence = None
        if self.pooler is not None:
            self.next_sentence = self.dense(2, "next_sentence")
        self.build()

    def call(self, inputs: Any, training: bool = False) -> dict[str, Tensor]:
        """A dict of `mlm_logits` and, with a pooler, `nsp_logits`."""
        encoded = encoder_inputs(inputs, *PRETRAINING)
        wanted = _wanted(inputs)
        if wanted is not None:
            # The pooler reads the first token.
            first = ops.zeros_like(wanted[:, :1])
            wanted = ops.concatenate([first, wanted], axis=1)
        sequence = self.bert(encoded, training=training, wanted=wanted)
        masked = sequence if wanted is None else sequence[:, 1:]
        logits = {
            "mlm_logits": self.masked_lm(masked, embedding=self.bert.token_embedding)
        }
        if self.next_sentence is not None:
            scores = self.next_sentence(self.pooled(sequence))
            logits["nsp_logits"] = ops.cast(scores, "float32")
        return logits

    # === Training ===

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: masked tokens and sentence pairs."""
        objective = {"mlm_loss": 1.0}
        if self.next_sentence is not None:
            objective["nsp_loss"] = 1.0
        return (
            Phase(
                "pretraining",
                self.pretraining_loss,
                [self],
                objective,
                weights=self.loss_weights,
            ),
        )

    def loss_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The masked positions' total weight, and the number of pairs."""
        weights = {"mlm_loss": ops.sum(ops.cast(batch["mask_weights"], "float32"))}
        if self.next_sentence is not None:
            weights["nsp_loss"] = ops.cast(ops.size(batch["next_sentence"]), "float32")
        return weights

    def pretraining_loss(self, batch: Batch, training: bool) -> Terms:
        """Cross-entropies of masked tokens and of sentence pairs, and accuracies."""
        logits = self(batch, training=training)
        terms = {}
        terms["mlm_loss"], terms["mlm_accuracy"] = classified(
            logits["mlm_logits"],
            batch["mask_ids"],
            batch["mask_weights"],
            counted=batch["mask_weights"],
        )
        if self.next_sentence is not None:
            terms["nsp_loss"], terms["nsp_accuracy"] = classified(
                logits["nsp_logits"], batch["next_sentence"]
            )
        return terms

    def form_of_inputs(self, inputs: Any) -> None:
        """Raises for inputs of other shapes; `mask_positions` is (B, M)."""
        encoded = encoder_inputs(inputs, *PRETRAINING)
        super().form_of_inputs(encoded)
        if (wanted := _wanted(inputs)) is None:
            return
        texts, shape = shape_of(encoded["token_ids"])[:1], shape_of(wanted)
        if len(shape) != 2 or not same_shape(shape[:1], texts):
            raise ValueError(
                "mask_positions must have shape (texts, places), with as many texts as "
                f"token_ids, {texts[0]}, got shape {shape}."
            )

    def input_ranges(self, inputs: Any) -> list[Range]:
        """The ranges of the encoder's inputs, and of the positions."""
        encoded = encoder_inputs(inputs, *PRETRAINING)
        found = super().input_ranges(encoded)
        length, wanted = encoded["token_ids"].shape[1], _wanted(inputs)
        if wanted is not None and length is not None:
            found.append(Range("mask_positions", wanted, 0, length - 1))
        return found

    def form(self, batch: Batch) -> None:
        """Raises for batches with missing arrays or arrays of other shapes."""
        paired = () if self.next_sentence is None else ("next_sentence",)
        masked_form(self, batch, paired)

    def ranges(self, batch: Batch) -> list[Range]:
        """The ranges of all ids, positions, masks and labels."""
        found = masked_ranges(self, batch)
        if self.next_sentence is not None:
            found.append(Range("next_sentence", batch["next_sentence"], 0, 1))
        return found


def _wanted(inputs: Any) -> Any:
    """The positions to predict, if the inputs have them."""
    return inputs.get("mask_positions") if isinstance(inputs, Mapping) else None


def check_pretrained(model: "BertPretrainer", preset: Any) -> None:
    """Raises if a model was loaded from a preset without a head for masked tokens."""
    if any(name.startswith("masked_lm/") for name in model.new_weights):
        raise ValueError(
            f"{str(preset)!r} has no head for masked tokens. Pretrain it first: "
            "zoo train bert_pretrain --variant from_encoder --encoder FOLDER"
        )


def masked_form(
    model: Bert,
    batch: Any,
    needed: Sequence[str] = (),
    allowed: Sequence[str] = PRETRAINING,
) -> None:
    """Raises for batches of masked texts with missing arrays or arrays of other shapes.

    Args:
        model: the model to be trained.
        batch: its data.
        needed: keys that the batch must have besides those of masked tokens.
        allowed: all keys that it may have besides the encoder's inputs.
    """
    needed = ["token_ids", *MASKED, *needed]
    if not isinstance(batch, Mapping) or not set(needed) <= set(batch):
        found = sorted(batch) if isinstance(batch, Mapping) else type(batch)
        raise ValueError(
            f"{type(model).__name__} is trained with dicts of {', '.join(needed)} and, "
            f"optionally, {', '.join(INPUTS[1:])}, got {found}."
        )
    model.form_of_inputs(encoder_inputs(batch, *allowed))
    shapes = {name: shape_of(batch[name]) for name in MASKED}
    if not all(same_shape(x, shapes[MASKED[0]]) for x in shapes.values()):
        raise ValueError(
            f"{', '.join(MASKED)} must have one shape, (texts, places), got {shapes}."
        )


def masked_ranges(
    model: Bert, batch: Any, allowed: Sequence[str] = PRETRAINING
) -> list[Range]:
    """The ranges of a batch of masked texts; for arguments see `masked_form`."""
    length = batch["token_ids"].shape[1]
    places = () if length is None else ((length - 1, "mask_positions"),)
    return [
        *model.input_ranges(encoder_inputs(batch, *allowed)),
        token_range(batch["mask_ids"], model.config, "mask_ids"),
        *(Range(name, batch[name], 0, last) for last, name in places),
        Range("mask_weights", batch["mask_weights"], 0, MOST, whole=False),
    ]


def token_weights(batch: Mapping[str, Any]) -> Tensor:
    """1 for tokens and 0 for padding, (B, T) in float32."""
    mask = batch.get("padding_mask")
    if mask is None:
        return ops.ones(ops.shape(batch["token_ids"]), "float32")
    return ops.cast(mask, "float32")


register(
    BertPretrainer,
    measured="masked text",
    served=served,
    formats={
        "huggingface": "zoo.formats.huggingface.bert",
        "keras_hub": "zoo.formats.keras_hub.writing",
    },
)
