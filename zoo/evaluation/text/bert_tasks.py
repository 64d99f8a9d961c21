"""Which BERT, sequences and metrics belong to a dataset of labelled text."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.data.tasks.labelled import LabelledText, Question, TaggedWords, TaskDataset
from zoo.data.tasks.questions import question_windows
from zoo.data.tasks.sequences import labelled_sequences, tagged_sequences
from zoo.data.tasks.tag_paths import TagPaths
from zoo.evaluation.text.probes import linear_probe
from zoo.evaluation.text.shown import (
    answered_questions,
    classified_texts,
    tagged_texts,
    valued_texts,
)
from zoo.evaluation.text.tasks import (
    answer_figures,
    class_figures,
    given_answers,
    predicted_tags,
    tag_figures,
    value_figures,
)
from zoo.models.bert.backbone import BertConfig, num_segments_of
from zoo.models.bert.tasks import BertClassifier, BertSpanQA, BertTagger
from zoo.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True)
class BertTask:
    """What differs between tasks.

    Attributes:
        model: makes the model, from an encoder's preset or new.
        sequences: makes the sequences of examples.
        metrics: takes a model, examples and their sequences.
        chosen_by: the metric whose highest value is kept.
        shown: takes the same as `metrics`; a line of text for each example.
    """

    model: Callable[[], Any]
    sequences: Callable[[tuple], Any]
    metrics: Callable[[Any, tuple, Any], dict[str, float]]
    chosen_by: str
    shown: Callable[[Any, tuple, Any], list[str]]

    def samples(self, model: Any, examples: tuple, count: int = 8) -> dict[str, str]:
        """What the model makes of the first examples, for a run's samples."""
        first = examples[:count]
        lines = self.shown(model, first, self.sequences(first))
        return {"predictions": "\n".join(lines)}


def bert_task(
    data: TaskDataset,
    tokenizer: Tokenizer,
    encoder: str | Path | None,
    *,
    length: int,
    stride: int,
    **rates: float,
) -> BertTask:
    """The task that a dataset's examples are of.

    Args:
        data: labelled texts, tagged words or questions.
        tokenizer: of the encoder.
        encoder: a preset, by name or folder; None for a tiny new encoder.
        length: tokens of the longest sequence.
        stride: tokens between the windows of a question's text.
        **rates: `dropout` and `attention_dropout` of the model.

    Raises:
        ValueError: there is no task of such examples.
    """
    names = data.class_names
    classes = {"num_classes": len(names) or 1, "class_names": tuple(names)}
    form: dict[str, Any] = {
        "tokenizer": tokenizer,
        "length": length,
        "num_segments": num_segments_of(encoder),
    }

    def made(cls: Any, **fields: Any) -> Callable[[], Any]:
        fields |= rates
        if encoder is not None:
            # A head for other classes is replaced by a new one.
            return lambda: cls.from_preset(encoder, ignore_mismatched=True, **fields)
        new = vars(BertConfig(tokenizer.vocab_size, length, 2, 2, 32))
        return lambda: cls(cls.Config(**{**new, **fields}))

    match data.train[0]:
        case LabelledText():
            return BertTask(
                made(BertClassifier, **classes),
                lambda examples: labelled_sequences(examples, **form),
                class_figures if names else value_figures,
                "accuracy" if names else "pearson",
                functools.partial(classified_texts, names=names)
                if names
                else valued_texts,
            )
        case TaggedWords():
            paths = TagPaths(names, [example.tags for example in data.train])
            return BertTask(
                made(BertTagger, **classes),
                lambda examples: tagged_sequences(examples, tokenizer, length),
                functools.partial(tag_figures, names, paths),
                "f1",
                lambda model, examples, rows: tagged_texts(
                    predicted_tags(names, paths, model, examples, rows), examples, names
                ),
            )
        case Question():
            form |= {"stride": stride, "max_question": length // 4}
            return BertTask(
                made(BertSpanQA),
                lambda examples: question_windows(examples, **form),
                answer_figures,
                "f1",
                lambda model, examples, rows: answered_questions(
                    given_answers(model, examples, rows), examples
                ),
            )
        case other:
            raise ValueError(f"There is no task of {type(other).__name__}.")


def probe_figures(task: BertTask, data: TaskDataset) -> dict[str, float]:
    """The metrics of a linear probe on frozen features, on the part that is tested."""
    tested = getattr(data, data.tested)
    start = task.model()
    frozen = start.batched(start.bert)
    train = task.sequences(data.train)
    probe = linear_probe(lambda inputs: frozen(*start.arrays(inputs)), train)
    found = task.metrics(probe, tested, task.sequences(tested))
    return {f"probe_{name}": value for name, value in found.items()}
