"""A text and its tokens, to train and evaluate a language model on."""

from dataclasses import dataclass, field

import numpy as np

from zoo.data.datasets import TextDataset
from zoo.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class EncodedText:
    """The two parts of a text as token ids.

    Attributes:
        tokenizer: the tokenizer that encoded them.
        train: token ids to train on, int32 of shape (K,).
        validation: token ids to evaluate on, int32 of shape (L,).
        validation_text: the text that `validation` encodes.
    """

    tokenizer: Tokenizer
    train: np.ndarray = field(repr=False)
    validation: np.ndarray = field(repr=False)
    validation_text: str = field(repr=False)

    @classmethod
    def of(cls, text: TextDataset, tokenizer: Tokenizer) -> "EncodedText":
        """Encodes a dataset."""
        train, validation = map(tokenizer.encode, (text.train, text.validation))
        return cls(tokenizer, train, validation, text.validation)

    @classmethod
    def by_character(cls, text: TextDataset) -> "EncodedText":
        """Encodes a dataset with one token per character of either part."""
        return cls.of(text, Tokenizer.characters(text.train + text.validation))
