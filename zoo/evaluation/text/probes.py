"""Linear probes: what a frozen encoder's features say of a task by themselves.

A probe predicts as the fine-tuned model does, by methods of the same names, so that
both are measured alike (feature-based beside fine-tuned, Devlin et al. 2019, section
5.3; probes, Alain & Bengio 2016).

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
    """Classes of texts from the mean of their tokens' features."""

    def __init__(self, encode: Encode, sequences: Sequences) -> None:
        self.encode = encode
        rows = [
            (self._features(inputs), labels)
            for _, (inputs, labels) in each_once(sequences, 64)
        ]
        self.classifier = _fitted(*map(np.concatenate, zip(*rows, strict=True)))

    def predict_probabilities(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Probabilities (B, C)."""
        return self.classifier.predict_proba(self._features(inputs))

    def _features(self, inputs):
        mask = inputs["padding_mask"][..., None]
        return (self.encode(inputs) * mask).sum(axis=1) / mask.sum(axis=1)


class TagProbe:
    """Tags of tokens from their own features, learned at words' first tokens."""

    def __init__(self, encode: Encode, sequences: TaggedSequences) -> None:
        self.encode = encode
        rows = [
            (encode(inputs)[weights > 0], tags[weights > 0])
            for _, (inputs, tags, weights) in each_once(sequences, 64)
        ]
        self.classifier = _fitted(*map(np.concatenate, zip(*rows, strict=True)))

    def predict_probabilities(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Probabilities (B, T, C) of tags up to the highest that was learned."""
        features = self.encode(inputs)
        found = self.classifier.predict_proba(features.reshape(-1, features.shape[-1]))
        learned = self.classifier.classes_
        shares = np.zeros((len(found), learned.max() + 1))
        shares[:, learned] = found
        return shares.reshape(*features.shape[:2], -1)


class SpanProbe:
    """Ends of answers: whether a token's features look like a first or a last one's.

    Of the other tokens a share is kept, where all would be more than `most` rows. Which
    spans score highest does not hang on it: it moves the intercepts alone.
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
        """`start_logits` and `end_logits`, log-odds (B, T)."""
        mask = inputs["padding_mask"]
        features = self.encode(inputs)[mask]
        found = {}
        for name, classifier in zip(("start", "end"), self.classifiers, strict=True):
            logits: np.ndarray = np.full(mask.shape, IMPOSSIBLE)
            logits[mask] = classifier.decision_function(features)
            found[f"{name}_logits"] = logits
        return found


def linear_probe(encode: Encode, sequences: Sequences) -> Any:
    """Fits the probe of a task: its kind is known by its sequences'.

    Args:
        encode: An encoder's features (B, T, D) of inputs as `Sequences.pack` makes
            them.
        sequences: `labelled_sequences` with classes, `tagged_sequences` or
            `question_windows`, to learn from.

    Returns:
        `TextProbe`, `TagProbe` or `SpanProbe`.
    """
    match sequences:
        case TaggedSequences():
            return TagProbe(encode, sequences)
        case QuestionWindows():
            return SpanProbe(encode, sequences)
    labels = sequences.labels
    if labels is None or labels.dtype.kind != "i":
        kind = "none" if labels is None else str(labels.dtype)
        raise ValueError(f"A linear probe learns classes; got labels: {kind}.")
    return TextProbe(encode, sequences)


def _fitted(features: np.ndarray, labels: np.ndarray) -> Any:
    """Of features (R, D) and classes (R,), each feature scaled to variance one."""
    classifier = LogisticRegression(C=0.1, max_iter=300)
    return make_pipeline(StandardScaler(), classifier).fit(features, labels)
