"""Pairs of sentences as token ids, for models that generate one from the other.

Shapes: N pairs, K tokens in all, B rows, T tokens per row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from zoo.data.translation.parallel_texts import Pair
from zoo.tokenizers.tokenizer import Tokenizer

# The tokenizer's `pad_id`, `cls_id` (begin) and `sep_id` (end), under RoBERTa's names.
PAIR_TOKENS = ("<pad>", "<s>", "</s>")


def train_joint_bpe(pairs: Sequence[Pair], vocab_size: int) -> Tokenizer:
    """Trains byte-level BPE on both sides of pairs (Sennrich et al. 2016, section 3.2).

    The tokens for padding, begin and end have the ids 0, 1 and 2.

    Raises:
        ValueError: `vocab_size` has no room for these and the 256 bytes.
    """
    texts = [text for side in zip(*pairs, strict=True) for text in side]
    return Tokenizer.train_bpe(texts, vocab_size, PAIR_TOKENS)


@dataclass(frozen=True, eq=False)
class TokenRows:
    """N sequences in one array of tokens.

    Attributes:
        tokens: the token ids of all sequences, of shape (K,).
        ends: the index at which each sequence ends, of shape (N,).
    """

    tokens: np.ndarray = field(repr=False)
    ends: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, rows: Sequence[np.ndarray]) -> "TokenRows":
        """Joins arrays of token ids, one per sequence."""
        lengths = [len(row) for row in rows]
        return cls(np.concatenate(rows).astype(np.int32), np.cumsum(lengths))

    @property
    def lengths(self) -> np.ndarray:
        """The number of tokens in each sequence, of shape (N,)."""
        return np.diff(self.ends, prepend=0)

    def padded(self, rows: np.ndarray, length: int, padding: int) -> np.ndarray:
        """Returns some sequences, padded, as an int32 array of shape (B, length)."""
        columns = np.arange(length)
        lengths = self.lengths[rows][:, None]
        places = self.ends[rows][:, None] - lengths + columns
        tokens = self.tokens[np.minimum(places, len(self.tokens) - 1)]
        return np.where(columns < lengths, tokens, np.int32(padding))


@dataclass(frozen=True, eq=False)
class TokenPairs:
    """N sources, each with an end token, and targets, with begin and end tokens.

    Attributes:
        sources: the sources.
        targets: the targets.
        pad_id: the id of padding.
        left_out: the number of pairs that were too long.
    """

    sources: TokenRows
    targets: TokenRows
    pad_id: int
    left_out: int = 0

    @classmethod
    def of(
        cls, pairs: Sequence[Pair], tokenizer: Tokenizer, length: int
    ) -> "TokenPairs":
        """Encodes pairs of sentences.

        Args:
            pairs: the pairs of a `ParallelText`.
            tokenizer: a tokenizer with tokens for padding, begin and end, such as
                `train_joint_bpe` makes.
            length: the most tokens of a source with its end, and of a target with
                either its begin or its end; longer pairs are left out.

        Raises:
            ValueError: no pair is left.
        """
        begin, end = tokenizer.cls_id, tokenizer.sep_id
        sources, targets = (
            tokenizer.encode_batch(list(side)) for side in zip(*pairs, strict=True)
        )
        kept = [
            (source, target)
            for source, target in zip(sources, targets, strict=True)
            if max(len(source), len(target)) < length
        ]
        if not kept:
            raise ValueError(
                f"At least one pair must have at most length={length} tokens, got none "
                f"among {len(pairs)}."
            )
        return cls(
            TokenRows.of([np.append(source, end) for source, _ in kept]),
            TokenRows.of([np.r_[begin, target, end] for _, target in kept]),
            tokenizer.pad_id,
            len(pairs) - len(kept),
        )

    def __len__(self) -> int:
        """Returns N."""
        return len(self.sources.ends)

    @property
    def lengths(self) -> np.ndarray:
        """The number of tokens that a model reads of each pair's longer side, (N,)."""
        return np.maximum(self.sources.lengths, self.targets.lengths - 1)

    def batch(self, rows: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns sources (B, length) and targets (B, length + 1) for `fit`."""
        return (
            self.sources.padded(rows, length, self.pad_id),
            self.targets.padded(rows, length + 1, self.pad_id),
        )
