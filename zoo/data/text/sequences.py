"""Sequences of one or two segments, [CLS] A [SEP] or [CLS] A [SEP] B [SEP].

RoBERTa's are <s> A </s> or <s> A </s></s> B </s>.

Shapes: N sequences, S segments of each (1 or 2), K tokens of all segments, B rows,
T tokens of a row.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zoo.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class Sequences:
    """N sequences as places in one run of tokens, put together when asked for.

    Segments may overlap: windows of one text hold its tokens once.

    Attributes:
        tokens: Token ids without special ones, of shape (K,).
        starts: The token at which each segment begins, (N, S).
        stops: The token before which it ends, (N, S).
        length: T, which no sequence exceeds.
        tokenizer: Whose [CLS], [SEP] and [PAD] stand around the segments.
        labels: One label a sequence, of shape (N,), or None.
        num_segments: Kinds of segments that the model tells apart: with fewer than two
            (RoBERTa, DistilBERT) all segment ids are 0.
    """

    tokens: np.ndarray = field(repr=False)
    starts: np.ndarray = field(repr=False)
    stops: np.ndarray = field(repr=False)
    length: int
    tokenizer: Tokenizer
    labels: np.ndarray | None = field(default=None, repr=False)
    num_segments: int = 2

    def __post_init__(self) -> None:
        """Checks that all sequences fit."""
        if len(self) and self.lengths.max() > self.length:
            raise ValueError(
                f"a sequence has {self.lengths.max()} tokens with its special ones; "
                f"expected at most length={self.length}"
            )

    def __len__(self) -> int:
        """N."""
        return len(self.starts)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each sequence with its special ones, (N,)."""
        return self._ends(slice(None))[:, -1] + 1

    def pack(self, rows: np.ndarray, length: int | None = None) -> dict[str, Any]:
        """Puts some sequences together.

        Args:
            rows: Their numbers, of shape (B,).
            length: Tokens of a row, T if None; the rest is [PAD].

        Returns:
            `token_ids`, `segment_ids` (int32) and `padding_mask` (bool), (B, T).
        """
        sources = self.sources(rows, length)
        ends = self._ends(rows)
        columns = np.arange(sources.shape[1])
        token_ids = np.where(sources < 0, self.tokenizer.sep_id, self.tokens[sources])
        token_ids[:, 0] = self.tokenizer.cls_id
        padding_mask = columns <= ends[:, -1:]
        token_ids[~padding_mask] = self.tokenizer.pad_id
        segment_ids = np.zeros(sources.shape, np.int32)
        if self.num_segments > 1:
            # A separator is of the segment before it.
            for end in ends[:, :-1].T:
                segment_ids += columns > end[:, None]
        return {
            "token_ids": token_ids.astype(np.int32),
            "segment_ids": segment_ids * padding_mask,
            "padding_mask": padding_mask,
        }

    def sources(self, rows: np.ndarray, length: int | None = None) -> np.ndarray:
        """Where in `tokens` each token of some rows is, (B, T); -1 for special ones."""
        columns = np.arange(length or self.length)
        sources = np.full((len(rows), len(columns)), -1)
        begin = np.ones((len(rows), 1), int)
        for start, end in zip(self.starts[rows].T, self._ends(rows).T, strict=True):
            inside = (columns >= begin) & (columns < end[:, None])
            sources = np.where(inside, start[:, None] + columns - begin, sources)
            begin = end[:, None] + self.tokenizer.separators
        return sources

    def batch(self, rows: np.ndarray, length: int | None = None) -> tuple:
        """Returns (inputs,) of `pack`, or (inputs, labels), as `fit` takes them."""
        inputs = self.pack(rows, length)
        return (inputs,) if self.labels is None else (inputs, self.labels[rows])

    def _ends(self, rows: np.ndarray | slice) -> np.ndarray:
        """The columns of the first [SEP] after each segment, (B, S)."""
        between = self.tokenizer.separators
        lengths = self.stops[rows] - self.starts[rows]
        return np.cumsum(lengths + between, axis=1) + 1 - between


def shortened(
    starts: np.ndarray, stops: np.ndarray, room: int
) -> tuple[np.ndarray, np.ndarray]:
    """How many tokens each segment has to lose, the longer one first, (N,) and (N,).

    As if one token after the other were taken from the longer of the two, and from the
    second if they are equal (Devlin et al. 2019's `truncate_seq_pair`).

    Args:
        starts: Where segments begin, (N, 2).
        stops: Where they end, (N, 2).
        room: Tokens that both may have together.
    """
    a, b = (stops - starts).T
    excess = np.maximum(a + b - room, 0)
    level = np.minimum(excess, abs(a - b))  # after which both are equally long
    rest = excess - level
    from_a = np.where(a > b, level, 0) + rest // 2
    return from_a, excess - from_a
