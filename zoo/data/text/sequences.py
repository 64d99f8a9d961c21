"""Sequences of one or two segments, [CLS] A [SEP] or [CLS] A [SEP] B [SEP].

In RoBERTa's notation these are <s> A </s> or <s> A </s></s> B </s>.

Shapes: N sequences, S segments per sequence (1 or 2), K tokens in all, B rows,
T tokens per row.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zoo.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class Sequences:
    """N sequences as slices of one array of tokens, assembled on demand.

    Segments may overlap: the windows of a text share its tokens.

    Attributes:
        tokens: token ids without special tokens, of shape (K,).
        starts: the token at which each segment begins, of shape (N, S).
        stops: the token before which each segment ends, of shape (N, S).
        length: T, the most tokens in a sequence.
        tokenizer: the tokenizer, for [CLS], [SEP] and [PAD].
        labels: one label per sequence, of shape (N,), or None.
        num_segments: the number of segments that the model distinguishes. If it is
            below two (RoBERTa, DistilBERT), all segment ids are 0.
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
                f"A sequence must have at most length={self.length} tokens, special "
                f"ones included, got {self.lengths.max()}."
            )

    def __len__(self) -> int:
        """Returns N."""
        return len(self.starts)

    @property
    def lengths(self) -> np.ndarray:
        """The number of tokens in each sequence, special ones included, (N,)."""
        return self._ends(slice(None))[:, -1] + 1

    def pack(self, rows: np.ndarray, length: int | None = None) -> dict[str, Any]:
        """Assembles some sequences.

        Args:
            rows: the numbers of the sequences, of shape (B,).
            length: the number of tokens to pad rows to; T if None.

        Returns:
            `token_ids` and `segment_ids` (int32) and `padding_mask` (bool, False at
            padding), each of shape (B, T).
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
            # A separator belongs to the segment before it.
            for end in ends[:, :-1].T:
                segment_ids += columns > end[:, None]
        return {
            "token_ids": token_ids.astype(np.int32),
            "segment_ids": segment_ids * padding_mask,
            "padding_mask": padding_mask,
        }

    def sources(self, rows: np.ndarray, length: int | None = None) -> np.ndarray:
        """Returns the index in `tokens` of each token, (B, T); -1 for special ones."""
        columns = np.arange(length or self.length)
        sources = np.full((len(rows), len(columns)), -1)
        begin = np.ones((len(rows), 1), int)
        for start, end in zip(self.starts[rows].T, self._ends(rows).T, strict=True):
            inside = (columns >= begin) & (columns < end[:, None])
            sources = np.where(inside, start[:, None] + columns - begin, sources)
            begin = end[:, None] + self.tokenizer.separators
        return sources

    def batch(self, rows: np.ndarray, length: int | None = None) -> tuple:
        """Returns (inputs,) or (inputs, labels) for `fit`, with inputs as in `pack`."""
        inputs = self.pack(rows, length)
        return (inputs,) if self.labels is None else (inputs, self.labels[rows])

    def _ends(self, rows: np.ndarray | slice) -> np.ndarray:
        """Returns the column of the first [SEP] after each segment, (B, S)."""
        between = self.tokenizer.separators
        lengths = self.stops[rows] - self.starts[rows]
        return np.cumsum(lengths + between, axis=1) + 1 - between


def shortened(
    starts: np.ndarray, stops: np.ndarray, room: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns how many tokens to drop from each segment of each pair.

    Equivalent to dropping one token at a time from the longer segment, or from the
    second if they are equally long (`truncate_seq_pair` of Devlin et al. 2019).

    Args:
        starts: where segments begin, of shape (N, 2).
        stops: where they end, of shape (N, 2).
        room: the most tokens that both may have together.

    Returns:
        The numbers for the first segments and for the second, each of shape (N,).
    """
    a, b = (stops - starts).T
    excess = np.maximum(a + b - room, 0)
    level = np.minimum(excess, abs(a - b))  # after which both are equally long
    rest = excess - level
    from_a = np.where(a > b, level, 0) + rest // 2
    return from_a, excess - from_a
