"""Requests for images of a class: its number, or a text that names it."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

DIGITS = dict(
    zip(
        "0123456789",
        "zero one two three four five six seven eight nine".split(),
        strict=True,
    )
)
TEMPLATES = ("{word}", "{article} {word}", "the digit {word}", "draw {article} {word}")


class ClassRequests:
    """Prompts that request images of classes.

    Args:
        class_names: the name of each class; digits are spelled out ("three").
        kind: "label" for class numbers, "text" for texts from random templates.

    Attributes:
        words: the word for each class.
    """

    def __init__(
        self, class_names: Sequence[str], kind: Literal["label", "text"]
    ) -> None:
        self.kind = kind
        self.words = [DIGITS.get(name, name) for name in class_names]

    def __call__(self, labels: np.ndarray, rng: np.random.Generator) -> Any:
        """A prompt for each class number in `labels`, (N,)."""
        if self.kind == "label":
            return labels
        drawn = rng.integers(len(TEMPLATES), size=len(labels))
        return [
            _fill(TEMPLATES[index], self.words[label])
            for label, index in zip(labels, drawn, strict=True)
        ]

    def texts(self) -> list[str]:
        """All texts that may be drawn."""
        return [_fill(template, word) for word in self.words for template in TEMPLATES]


def _fill(template: str, word: str) -> str:
    article = "an" if word == "eight" else "a"
    return template.format(word=word, article=article)
