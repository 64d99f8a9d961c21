"""DistilBERT's distillation: a student with half the layers learns from its teacher.

Sanh et al. 2019, sections 2 and 3; numerics follow its code (distillation/distiller.py
of huggingface/transformers).

Shapes: B batch, T tokens, D width, V vocabulary.
"""

import dataclasses
import re
from typing import Any

import keras
from keras import ops

from zoo.engine.tensors import Tensor
from zoo.layers.gather import gather
from zoo.models.bert.backbone import Bert, encoder_inputs
from zoo.models.bert.pretrainer import (
    PRETRAINING,
    BertPretrainer,
    masked_form,
    masked_ranges,
    token_weights,
)
from zoo.models.checks.classified import classified
from zoo.presets import weights
from zoo.training import Model, Phase, WeightedMean
from zoo.training.checks.ranges import Range
from zoo.training.phases import Batch, Terms

# The coefficients of DistilBERT's training.
OBJECTIVE = {"soft_loss": 5.0, "mlm_loss": 2.0, "cosine_loss": 1.0}


def student_of(teacher: BertPretrainer) -> BertPretrainer:
    """A masked language model of every second layer of the teacher, from the first on.

    It starts with the teacher's weights, and has neither segments nor a pooler.

    Raises:
        ValueError: the teacher has a single layer, or its layers share their weights.
    """
    config = teacher.config
    if config.num_layers < 2 or config.shared_layers:
        raise ValueError(
            "A teacher must have several layers with weights of their own, got "
            f"num_layers={config.num_layers}, shared_layers={config.shared_layers}."
        )
    student = BertPretrainer(
        dataclasses.replace(
            config,
            num_layers=(config.num_layers + 1) // 2,
            num_segments=0,
            pooler=False,
        ),
        name="student",
        dtype=teacher.dtype_policy,
    )
    theirs = weights.arrays_of(teacher)
    own = {name: theirs[_doubled(name)] for name in weights.named_weights(student)}
    weights.assign(student, own, "the teacher")
    student.tokenizer = teacher.tokenizer
    return student


def _doubled(name: str) -> str:
    """A weight's name with its block number doubled."""
    return re.sub(r"(?<=/block_)\d+", lambda found: str(2 * int(found[0])), name)


@keras.saving.register_keras_serializable("zoo")
class Distiller(Model):
    """Trains a masked language model to imitate another one, which is frozen.

    `fit` takes what `BertPretrainer` takes; sentence labels are ignored. It logs
    `loss`, 5 · `soft_loss` + 2 · `mlm_loss` + `cosine_loss`:

    - `soft_loss`: the KL divergence, in nats, of the student's distribution over the
      vocabulary from the teacher's, both softened by the temperature T, times T²
      (Hinton et al. 2015, section 2); over all tokens but padding.
    - `mlm_loss` and `mlm_accuracy`: the student's over masked positions.
    - `cosine_loss`: 1 minus the cosine between their last hidden vectors; over all
      tokens but padding.

    Its outputs are the student's. Save the student by `student.save_to_preset`.

    Args:
        teacher: the model to imitate; its weights are frozen.
        student: the model to train, with the teacher's vocabulary and width; None means
            `student_of(teacher)`.
        temperature: T.
        kwargs: arguments of `keras.Model`.
    """

    layout = Bert.layout
    fusion_pays = True

    def __init__(
        self,
        teacher: BertPretrainer,
        student: BertPretrainer | None = None,
        *,
        temperature: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature!r}.")
        for model in (teacher,) if student is None else (teacher, student):
            if not isinstance(model, BertPretrainer):
                raise TypeError(
                    "A Distiller's teacher and student must be BertPretrainers, which "
                    f"have heads for masked tokens, got {model!r}."
                )
        student = student_of(teacher) if student is None else student
        for name in ("vocab_size", "width"):
            ours, theirs = (getattr(m.config, name) for m in (student, teacher))
            if ours != theirs:
                raise ValueError(
                    f"A student must have its teacher's {name}={theirs}, got {ours}."
                )
        self.teacher, self.student = teacher, student
        self.temperature = temperature
        teacher.trainable = False
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> dict[str, Tensor]:
        """The student's outputs."""
        return self.student(inputs, training=training)

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: all three losses of the student."""
        return (
            Phase(
                "distillation",
                self.distillation_loss,
                [self.student],
                OBJECTIVE,
                weights=self.loss_weights,
            ),
        )

    def loss_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The number of tokens, and the masked positions' total weight."""
        tokens = ops.sum(token_weights(batch))
        masked = ops.sum(ops.cast(batch["mask_weights"], "float32"))
        return {"soft_loss": tokens, "mlm_loss": masked, "cosine_loss": tokens}

    def distillation_loss(self, batch: Batch, training: bool) -> Terms:
        """The three losses, and the student's accuracy at masked positions."""
        inputs = encoder_inputs(batch, *PRETRAINING)
        target_hidden, target_logits = map(
            ops.stop_gradient, _hidden_and_logits(self.teacher, inputs, training=False)
        )
        hidden, logits = _hidden_and_logits(self.student, inputs, training)
        tokens = token_weights(batch)
        mlm_loss, mlm_accuracy = classified(
            gather(logits, batch["mask_positions"]),
            batch["mask_ids"],
            batch["mask_weights"],
            counted=batch["mask_weights"],
        )
        return {
            "soft_loss": WeightedMean.of(
                soft_divergence(target_logits, logits, self.temperature), tokens
            ),
            "mlm_loss": mlm_loss,
            "cosine_loss": WeightedMean.of(1.0 - cosine(target_hidden, hidden), tokens),
            "mlm_accuracy": mlm_accuracy,
        }

    def form(self, batch: Batch) -> None:
        """Raises for batches with missing arrays or arrays of other shapes."""
        masked_form(self.teacher, batch)

    def ranges(self, batch: Batch) -> list[Range]:
        """The ranges of all ids, positions and masks."""
        return masked_ranges(self.teacher, batch)

    # === Serialisation ===

    def get_config(self) -> dict:
        """Both models and the temperature, serialised."""
        serialized = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "teacher": serialized(self.teacher),
            "student": serialized(self.student),
            "temperature": self.temperature,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> "Distiller":
        """Rebuilds a Distiller from what `get_config` returned."""
        models = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("teacher", "student")
        }
        return cls(**{**config, **models})


def soft_divergence(
    target_logits: Tensor, logits: Tensor, temperature: float
) -> Tensor:
    """T² · KL(target ‖ ours), (...), in nats, of softened logits (..., V)."""
    log_p = ops.log_softmax(target_logits / temperature, axis=-1)
    log_q = ops.log_softmax(logits / temperature, axis=-1)
    return temperature**2 * ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosines (...), float32, between vectors (..., D)."""
    a, b = (ops.normalize(ops.cast(x, "float32"), axis=-1) for x in (a, b))
    return ops.sum(a * b, axis=-1)


def _hidden_and_logits(
    model: BertPretrainer, inputs: dict, training: bool
) -> tuple[Tensor, Tensor]:
    """The last hidden vectors (B, T, D), and logits (B, T, V)."""
    hidden = model.bert(inputs, training=training)
    return hidden, model.masked_lm(hidden, embedding=model.bert.token_embedding)
