"""Pairs of sentences as token ids, for models that write one given the other.

Shapes: N pairs, K tokens of all, B rows, T tokens of a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from zoo.data.translation.parallel_texts import Pair
from zoo.tokenizers.tokenizer import Tokenizer

# The tokenizer's `pad_id`, `cls_id` (begin) and `sep_id` (end), by RoBERTa's names.
PAIR_TOKENS = ("<pad>", "<s>", "</s>")


def train_joint_bpe(pairs: Sequence[Pair], vocab_size: int) -> Tokenizer:
    """Trains byte-level BPE on both sides of pairs (Sennrich et al. 2016, section 3.2).

    Its tokens for padding, begin and end have the ids 0, 1 and 2.

    Raises:
        ValueError: `vocab_size` has no room for these and the 256 bytes.
    """
    texts = [text for side in zip(*pairs, strict=True) for text in side]
    return Tokenizer.train_bpe(texts, vocab_size, PAIR_TOKENS)


@dataclass(frozen=True, eq=False)
class TokenRows:
    """N sequences in one run of tokens.

    Attributes:
        tokens: Token ids, of shape (K,).
        ends: Where in it each sequence ends, (N,).
    """

    tokens: np.ndarray = field(repr=False)
    ends: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, rows: Sequence[np.ndarray]) -> "TokenRows":
        """From a list of arrays."""
        lengths = [len(row) for row in rows]
        return cls(np.concatenate(rows).astype(np.int32), np.cumsum(lengths))

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each, (N,)."""
        return np.diff(self.ends, prepend=0)

    def padded(self, rows: np.ndarray, length: int, padding: int) -> np.ndarray:
        """Some of them, as an int32 array (B, length)."""
        columns = np.arange(length)
        lengths = self.lengths[rows][:, None]
        places = self.ends[rows][:, None] - lengths + columns
        tokens = self.tokens[np.minimum(places, len(self.tokens) - 1)]
        return np.where(columns < lengths, tokens, np.int32(padding))


@dataclass(frozen=True, eq=False)
class TokenPairs:
    """N sources, each with its end, and targets, each with its begin and end.

    Attributes:
        sources: The sources.
        targets: The targets.
        pad_id: What fills rows up.
        left_out: Pairs that were too long.
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
            pairs: Of a `ParallelText`.
            tokenizer: With tokens for padding, begin and end, as `train_joint_bpe`
                makes it.
            length: The most tokens of a source with its end, and of a target with
                one of its begin and end; pairs that have more are left out.

        Raises:
            ValueError: No pair is left.
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
                f"none of {len(pairs)} pairs has at most length={length} tokens"
            )
        return cls(
            TokenRows.of([np.append(source, end) for source, _ in kept]),
            TokenRows.of([np.r_[begin, target, end] for _, target in kept]),
            tokenizer.pad_id,
            len(pairs) - len(kept),
        )

    def __len__(self) -> int:
        """N."""
        return len(self.sources.ends)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens that a model reads of each pair's longer side, (N,)."""
        return np.maximum(self.sources.lengths, self.targets.lengths - 1)

    def batch(self, rows: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Sources (B, length) and targets (B, length + 1), as `fit` takes them."""
        return (
            self.sources.padded(rows, length, self.pad_id),
            self.targets.padded(rows, length + 1, self.pad_id),
        )
