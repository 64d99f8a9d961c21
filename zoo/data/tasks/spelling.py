"""Words as sequences of character ids, for models that read spellings.

The ids are those of ELMo's authors and of AllenNLP: a word's UTF-8 bytes, so no
character is unknown, between markers of its begin and end. 0 is padding.

Shapes: N sequences, K words in all, W distinct words, B rows, T words per row, C
characters per word.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zoo.data.tasks.labelled import LabelledText
from zoo.data.tasks.sequences import labelled_sequences
from zoo.data.text.sequences import Sequences
from zoo.files.surrogates import refuse_halves
from zoo.tokenizers.tokenizer import Tokenizer

# The begin and end of a sentence, the begin and end of a word, and a word's padding.
FIRST, LAST, BEGIN, END, FILL = 257, 258, 259, 260, 261
NUM_CHARACTERS = 262


def spelled(words: Sequence[str], length: int) -> np.ndarray:
    """Returns the character ids of words, int32 of shape (number of words, C).

    Args:
        words: the words; bytes beyond the length are cut off.
        length: C, including the markers of a word's begin and end.

    Raises:
        ValueError: there is no room for a character between the markers.
    """
    for number, word in enumerate(words):
        refuse_halves(word, f"word {number}")
    return _marked([word.encode() for word in words], length)


def _marked(words: Sequence[bytes | tuple[int, ...]], length: int) -> np.ndarray:
    if length < 3:
        raise ValueError(
            "word_length must be at least 3, room for a character between two markers, "
            f"got {length}."
        )
    found = np.full((len(words), length), FILL, np.int32)
    found[:, 0] = BEGIN
    for row, word in zip(found, words, strict=True):
        inside = [byte + 1 for byte in word[: length - 2]]
        row[1 : 1 + len(inside)] = inside
        row[1 + len(inside)] = END
    return found


@dataclass(frozen=True, eq=False)
class SpelledSequences(Sequences):
    """Sequences that also have the spelling of each token.

    Attributes:
        spellings: the character ids of the distinct words, of shape (W, C).
        words: the index in `spellings` of each token, of shape (K,).
    """

    spellings: np.ndarray = field(repr=False, kw_only=True)
    words: np.ndarray = field(repr=False, kw_only=True)

    def pack(self, rows: np.ndarray, length: int | None = None) -> dict[str, Any]:
        """Returns what `Sequences.pack` does and `character_ids`, (B, T, C).

        [CLS] and [SEP] are spelled as the markers of a sentence's begin and end;
        padding is 0.
        """
        packed = super().pack(rows, length)
        sources = self.sources(rows, length)
        ids = self.spellings[self.words[sources]]
        first, last = _marked([(FIRST - 1,), (LAST - 1,)], self.spellings.shape[1])
        special = packed["token_ids"] * (sources < 0)
        ids[special == self.tokenizer.sep_id] = last
        ids[special == self.tokenizer.cls_id] = first
        ids[~packed["padding_mask"]] = 0
        return {**packed, "character_ids": ids}


def spelled_sequences(
    examples: Sequence[LabelledText],
    tokenizer: Tokenizer,
    length: int,
    word_length: int,
) -> SpelledSequences:
    """Encodes texts, or pairs of texts, their spellings and their labels.

    Args:
        examples: as in `labelled_sequences`.
        tokenizer: a tokenizer made by `Tokenizer.train_words`, which gives the id and
            the place of each word. All words, unknown ones too, are spelled as they
            occur in the text, after the tokenizer's normalization.
        length: T.
        word_length: C.
    """
    plain = labelled_sequences(examples, tokenizer, length)
    pairs = [example.pair for example in examples if example.pair is not None]
    texts = [*(example.text for example in examples), *pairs]
    return with_spelling(plain, texts, word_length)


def with_spelling(
    plain: Sequences, texts: Sequence[str], word_length: int
) -> SpelledSequences:
    """Sequences with the spelling of each word.

    Args:
        plain: the sequences of all words of the texts, whose tokenizer was made by
            `Tokenizer.train_words`.
        texts: the texts in the order of their tokens; of pairs, all first texts come
            before the second ones.
        word_length: C.
    """
    tokenizer = plain.tokenizer
    words: list[str] = []
    for text in texts:
        _, offsets = tokenizer.encode_with_offsets(text)
        words.extend(text[begin:end] for begin, end in offsets)
    normalize = getattr(tokenizer.backend.normalizer, "normalize_str", str)
    different, places = np.unique(np.array(words, dtype=object), return_inverse=True)
    return SpelledSequences(
        plain.tokens,
        plain.starts,
        plain.stops,
        plain.length,
        tokenizer,
        plain.labels,
        spellings=spelled([normalize(word) for word in different], word_length),
        words=places.astype(np.int32),
    )
