"""Labelled texts and tagged words as sequences for a model.

Shapes: N sequences, K tokens in all, B rows, T tokens per row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from zoo.data.tasks.labelled import LabelledText, TaggedWords
from zoo.data.text.sequences import Sequences, shortened
from zoo.tokenizers.tokenizer import Tokenizer


def labelled_sequences(
    examples: Sequence[LabelledText],
    tokenizer: Tokenizer,
    length: int,
    *,
    num_segments: int = 2,
) -> Sequences:
    """Encodes texts, or pairs of texts, and their labels.

    Texts that are too long are cut at the end, of a pair the longer text first.

    Args:
        examples: the examples. Either all or none have a second text, and either all or
            none have a label.
        tokenizer: the tokenizer to encode them with.
        length: T.
        num_segments: the model's number of segments, see `Sequences`.

    Raises:
        ValueError: only some examples have a second text or a label, there are no
            examples, or T is too small.
    """
    pairs = [example.pair for example in examples if example.pair is not None]
    if len(pairs) not in (0, len(examples)):
        raise ValueError(
            "All examples must have a second text, or none, got "
            f"{len(pairs)} of {len(examples)} that have one."
        )
    segments = 2 if pairs else 1
    special = 2 + (tokenizer.separators if pairs else 0)
    if length < special + segments:
        raise ValueError(f"length must be at least {special + segments}, got {length}.")
    texts = [example.text for example in examples]
    sequences = text_sequences(
        (texts, pairs) if pairs else (texts,), tokenizer, num_segments=num_segments
    )
    sequences, _ = cut_to(sequences, length)
    known = [example.label for example in examples if example.label is not None]
    if len(known) not in (0, len(examples)):
        raise ValueError(
            "All examples must have a label, or none, got "
            f"{len(known)} of {len(examples)} that have one."
        )
    labels = None
    if known:
        labels = np.array(known)
        labels = labels.astype(np.int32 if labels.dtype.kind == "i" else np.float32)
    return replace(sequences, labels=labels)


def text_sequences(
    segments: Sequence[Sequence[str]], tokenizer: Tokenizer, *, num_segments: int = 2
) -> Sequences:
    """Encodes texts, or pairs of texts, whole; T is the length of the longest.

    Args:
        segments: the texts or, for pairs, the first texts and the second, as many.
        tokenizer: the tokenizer to encode them with.
        num_segments: the model's number of segments, see `Sequences`.
    """
    texts = [text for segment in segments for text in segment]
    tokens, bounds = _joined(tokenizer.encode_batch(texts))
    starts = bounds[:-1].reshape(len(segments), -1).T
    stops = bounds[1:].reshape(len(segments), -1).T
    special = 2 + tokenizer.separators * (len(segments) - 1)
    length = int((stops - starts).sum(axis=1).max()) + special
    return Sequences(
        tokens, starts, stops, length, tokenizer, num_segments=num_segments
    )


def cut_to(sequences: Sequences, length: int) -> tuple[Sequences, int]:
    """Cuts sequences at the end, of a pair the longer text first.

    Args:
        sequences: the result of `text_sequences`.
        length: T of the result, special tokens included.

    Returns:
        The sequences, and how many of them lost tokens.
    """
    starts, stops = sequences.starts, sequences.stops
    cut = int((sequences.lengths > length).sum())
    if starts.shape[1] == 2:
        room = length - 2 - sequences.tokenizer.separators
        stops = stops - np.stack(shortened(starts, stops, room), axis=1)
    else:
        stops = np.minimum(stops, starts + length - 2)
    return replace(sequences, stops=stops, length=length), cut


@dataclass(frozen=True, eq=False)
class TaggedSequences(Sequences):
    """Sentences with tagged words; each tag is at the first token of its word.

    Attributes:
        tags: the tag of each token's word, -1 where a word continues, of shape (K,).
    """

    tags: np.ndarray = field(repr=False, kw_only=True)

    def batch(self, rows: np.ndarray, length: int | None = None) -> tuple:
        """Returns (inputs, tags, weights) for `fit`, with inputs as in `pack`.

        Tags are int32 and weights float32, of shape (B, T). Weights are 1 at the first
        token of each word and 0 elsewhere.
        """
        tags = self._tags(rows, length)
        weights = (tags >= 0).astype(np.float32)
        return self.pack(rows, length), np.maximum(tags, 0), weights

    def at_words(self, rows: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
        """Selects the values at the first token of each word.

        Args:
            rows: the numbers of the sentences, of shape (B,).
            values: one value per token, of shape (B, T, ...).

        Returns:
            Per sentence, the values of its words, of shape (words, ...), without words
            that were cut off.
        """
        kept = self._tags(rows, values.shape[1]) >= 0
        return [some[words] for some, words in zip(values, kept, strict=True)]

    def _tags(self, rows: np.ndarray, length: int | None) -> np.ndarray:
        sources = self.sources(rows, length)
        return np.where(sources < 0, -1, self.tags[sources])


def tagged_sequences(
    examples: Sequence[TaggedWords], tokenizer: Tokenizer, length: int
) -> TaggedSequences:
    """Encodes sentences word by word; a word without a token is [UNK].

    Args:
        examples: the sentences; those that are too long are cut at the end.
        tokenizer: the tokenizer to encode them with.
        length: T.
    """
    if length < 3:
        raise ValueError(f"length must be at least 3, got {length}.")
    unknown = np.array([tokenizer.unk_id], np.int32)
    words = tokenizer.encode_words([word for e in examples for word in e.words])
    words = [ids if len(ids) else unknown for ids in words]
    tokens, bounds = _joined(words)
    tags: np.ndarray = np.full(len(tokens), -1, np.int32)
    tags[bounds[:-1]] = [tag for example in examples for tag in example.tags]
    num_words = np.array([len(example.words) for example in examples])
    sentences = bounds[np.append(0, np.cumsum(num_words))]
    starts, stops = sentences[:-1], sentences[1:]
    # Leaves room for [CLS] and [SEP].
    stops = np.minimum(stops, starts + length - 2)
    return TaggedSequences(
        tokens,
        starts[:, None],
        stops[:, None],
        length,
        tokenizer,
        tags=tags,
    )


def _joined(encoded: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns all tokens, and the index at which each text begins, then their count."""
    if not len(encoded):
        raise ValueError("There must be at least one example, got none.")
    bounds = np.append(0, np.cumsum([len(ids) for ids in encoded]))
    return np.concatenate(encoded), bounds
