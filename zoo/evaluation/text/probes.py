"""Linear probes: how much a frozen encoder's features tell about a task.

A probe has the prediction methods of the fine-tuned model, so that both are measured
alike (feature-based versus fine-tuned: Devlin et al. 2019, section 5.3; probes: Alain &
Bengio 2016).

Shapes: B batch, T tokens, D width, C classes, R rows of features.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from zoo.data.tasks.questions import IMPOSSIBLE, QuestionWindows
from zoo.data.tasks.sequences import TaggedSequences
from zoo.data.text.batches import each_once
from zoo.data.text.sequences import Sequences

Encode = Callable[[dict[str, np.ndarray]], np.ndarray]


class TextProbe:
    """Classifies texts by the mean of their tokens' features."""

    def __init__(self, encode: Encode, sequences: Sequences) -> None:
        self.encode = encode
        rows = [
            (self._features(inputs), labels)
            for _, (inputs, labels) in each_once(sequences, 64)
        ]
        self.classifier = _fitted(*map(np.concatenate, zip(*rows, strict=True)))

    def predict_probabilities(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Class probabilities (B, C)."""
        return self.classifier.predict_proba(self._features(inputs))

    def _features(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        mask = inputs["padding_mask"][..., None]
        return (self.encode(inputs) * mask).sum(axis=1) / mask.sum(axis=1)


class TagProbe:
    """Tags tokens by their own features, learned from words' first tokens."""

    def __init__(self, encode: Encode, sequences: TaggedSequences) -> None:
        self.encode = encode
        rows = [
            (encode(inputs)[weights > 0], tags[weights > 0])
            for _, (inputs, tags, weights) in each_once(sequences, 64)
        ]
        self.classifier = _fitted(*map(np.concatenate, zip(*rows, strict=True)))

    def predict_probabilities(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Tag probabilities (B, T, C), up to the highest learned tag."""
        features = self.encode(inputs)
        found = self.classifier.predict_proba(features.reshape(-1, features.shape[-1]))
        learned = self.classifier.classes_
        shares = np.zeros((len(found), learned.max() + 1))
        shares[:, learned] = found
        return shares.reshape(*features.shape[:2], -1)


class SpanProbe:
    """Finds answers: scores each token as the first and as the last of an answer.

    Above `most` tokens, only a share of those that are neither is kept. This shifts
    the intercepts only, not which spans score highest.
    """

    def __init__(
        self, encode: Encode, sequences: QuestionWindows, most: int = 1_000_000
    ) -> None:
        self.encode = encode
        features, ends = [], []
        rng, share = np.random.default_rng(0), most / sequences.lengths.sum()
        for _, (inputs, positions) in each_once(sequences, 64):
            mask = inputs["padding_mask"]
            columns = np.arange(mask.shape[1])
            is_end = (columns == positions[..., None]).swapaxes(1, 2)  # (B, T, 2)
            if share < 1:
                kept = is_end.any(axis=-1) | (rng.random(mask.shape) < share)
                mask = mask & kept
            features.append(encode(inputs)[mask])
            ends.append(is_end[mask])
        found, is_end = np.concatenate(features), np.concatenate(ends)  # (R, D), (R, 2)
        self.classifiers = [_fitted(found, is_end[:, end]) for end in range(2)]

    def predict_logits(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """`start_logits` and `end_logits`, the log-odds (B, T)."""
        mask = inputs["padding_mask"]
        features = self.encode(inputs)[mask]
        found = {}
        for name, classifier in zip(("start", "end"), self.classifiers, strict=True):
            logits: np.ndarray = np.full(mask.shape, IMPOSSIBLE)
            logits[mask] = classifier.decision_function(features)
            found[f"{name}_logits"] = logits
        return found


def linear_probe(encode: Encode, sequences: Sequences) -> Any:
    """Fits the probe that suits the sequences' task.

    Args:
        encode: computes features (B, T, D) of inputs that `Sequences.pack` makes.
        sequences: training data: `labelled_sequences` with classes, `tagged_sequences`
            or `question_windows`.

    Returns:
        A `TextProbe`, `TagProbe` or `SpanProbe`.

    Raises:
        ValueError: the sequences' labels are not classes.
    """
    match sequences:
        case TaggedSequences():
            return TagProbe(encode, sequences)
        case QuestionWindows():
            return SpanProbe(encode, sequences)
    labels = sequences.labels
    if labels is None or labels.dtype.kind != "i":
        kind = "none" if labels is None else str(labels.dtype)
        raise ValueError(f"A linear probe needs classes, got labels: {kind}.")
    return TextProbe(encode, sequences)


def _fitted(features: np.ndarray, labels: np.ndarray) -> Any:
    """Fits classes (R,) to features (R, D), which are scaled to unit variance."""
    classifier = LogisticRegression(C=0.1, max_iter=300)
    return make_pipeline(StandardScaler(), classifier).fit(features, labels)
