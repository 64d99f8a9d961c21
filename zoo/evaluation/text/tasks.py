"""How well a model does a task: its metrics on examples and their sequences.

The model is a fine-tuned one, or a probe with methods of the same names.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zoo.data.tasks.labelled import LabelledText, TaskDataset
from zoo.data.tasks.questions import IMPOSSIBLE
from zoo.data.tasks.tag_paths import TagPaths
from zoo.data.text.batches import each_once
from zoo.evaluation.classification import classification_metrics, regression_metrics
from zoo.evaluation.text.answers import answer_metrics, best_no_answer_threshold
from zoo.evaluation.text.tagging import entity_metrics


def outputs(sequences: Any, function: Callable) -> list[np.ndarray]:
    """`function(inputs)` of each sequence, padded as its batch is, in order."""
    found: dict[int, np.ndarray] = {}
    for rows, (inputs, *_) in each_once(sequences, 64):
        for row, value in zip(rows, function(inputs), strict=True):
            found[int(row)] = value
    return [found[row] for row in range(len(sequences))]


def accuracy(model: Any, sequences: Any, num_buckets: int = 8) -> float:
    """The share of labelled sequences that a model classifies correctly.

    Args:
        model: with a method `predict_probabilities`.
        sequences: the sequences, with their classes as labels.
        num_buckets: the most different lengths to pad to; 1 compiles only once.
    """
    right = 0
    for _, (inputs, classes) in each_once(sequences, 64, num_buckets):
        found = model.predict_probabilities(inputs).argmax(axis=-1)
        right += int(np.sum(found == classes))
    return right / len(sequences)


def class_figures(
    model: Any, examples: Sequence[Any], sequences: Any
) -> dict[str, float]:
    """GLUE's metrics of classes."""
    found = np.array(outputs(sequences, model.predict_probabilities))
    labels = np.array([example.label for example in examples])
    return classification_metrics(labels, found.argmax(axis=-1))


def value_figures(
    model: Any, examples: Sequence[Any], sequences: Any
) -> dict[str, float]:
    """GLUE's metrics of values."""
    found = outputs(sequences, lambda x: model.predict(x, verbose=0)[:, 0])
    labels = np.array([example.label for example in examples])
    return regression_metrics(labels, np.array(found))


def tag_figures(
    names: Sequence[str],
    paths: TagPaths,
    model: Any,
    examples: Sequence[Any],
    sequences: Any,
) -> dict[str, float]:
    """CoNLL's metrics of whole entities."""
    predicted = predicted_tags(names, paths, model, examples, sequences)
    labels = [[names[tag] for tag in example.tags] for example in examples]
    found = entity_metrics(labels, predicted)
    return {name: found[name] for name in ("precision", "recall", "f1", "macro_f1")}


def predicted_tags(
    names: Sequence[str],
    paths: TagPaths,
    model: Any,
    examples: Sequence[Any],
    sequences: Any,
) -> list[list[str]]:
    """The tags of each sentence's words; words that were cut off get "O"."""
    predicted = []
    for row, shares in enumerate(outputs(sequences, model.predict_probabilities)):
        (words,) = sequences.at_words(np.array([row]), shares[None])
        best = paths.best(np.log(np.maximum(words, 1e-30)))
        cut_off = len(examples[row].tags) - len(best)
        predicted.append([names[tag] for tag in best] + ["O"] * cut_off)
    return predicted


def answer_figures(
    model: Any, examples: Sequence[Any], sequences: Any
) -> dict[str, float]:
    """SQuAD's metrics, in percent.

    Where some questions have no answer, none is given if that is likelier than the best
    one. `best_f1` is that of the best threshold, as in SQuAD 2.0.
    """
    texts, nothing = predicted_answers(model, sequences)
    answers = [example.answers for example in examples]
    if all(answers):
        return answer_metrics(answers, texts)
    best = best_no_answer_threshold(answers, texts, nothing)
    return answer_metrics(answers, _given(texts, nothing)) | {
        "best_exact_match": best.exact_match,
        "best_f1": best.f1,
        "best_f1_threshold": max(best.f1_threshold, float(nothing.min()) - 1),
    }


def given_answers(model: Any, examples: Sequence[Any], sequences: Any) -> list[str]:
    """A model's answers to questions; "" for none, if some have no answer."""
    texts, nothing = predicted_answers(model, sequences)
    return texts if all(x.answers for x in examples) else _given(texts, nothing)


def predicted_answers(model: Any, sequences: Any) -> tuple[list[str], np.ndarray]:
    """The best answer to each question, and how much likelier none is (N,)."""

    def logits(inputs: Any) -> np.ndarray:
        found = model.predict_logits(inputs)
        both = np.stack([found["start_logits"], found["end_logits"]], axis=1)
        room = sequences.length - both.shape[-1]
        padding = ((0, 0), (0, 0), (0, room))
        return np.pad(both, padding, constant_values=IMPOSSIBLE)

    starts, ends = np.moveaxis(np.array(outputs(sequences, logits)), 1, 0)
    texts, nothing = sequences.answers(starts, ends)
    return texts, nothing


def _given(texts: Sequence[str], nothing: np.ndarray) -> list[str]:
    """The answers, "" where none is likelier than the best one."""
    return [
        text if score <= 0 else "" for text, score in zip(texts, nothing, strict=True)
    ]


def majority_figures(data: TaskDataset, tested: Sequence[Any]) -> dict[str, float]:
    """Accuracy of the commonest class; nothing where examples have no class."""
    if not isinstance(tested[0], LabelledText) or not data.class_names:
        return {}
    labels = np.array([example.label for example in tested])
    known = np.array([example.label for example in data.train])
    most = np.bincount(known).argmax()
    return {"majority_accuracy": float(np.mean(labels == most))}
