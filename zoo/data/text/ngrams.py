"""Counts and looks up n-grams of token ids in sorted tables.

There is one table per order. An n-gram is identified by its row in the table of its
order; its key there is the row of its first n - 1 symbols in the table below, times S,
plus its last symbol. So keys fit into 64 bits at any order, and all continuations of a
context are adjacent.

Symbols are the V tokens and, if the beginnings of documents are counted, one more, the
id V, which precedes each document. It is part of contexts but is never predicted, so
its own count is 0.

Shapes: T tokens, G n-grams of an order, V vocabulary, S symbols (V or V + 1).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

NOT_FOUND = -1


class NgramTable(NamedTuple):
    """The n-grams of one order.

    Attributes:
        keys: int64 of shape (G,), ascending.
        counts: how often each occurs, int64 of shape (G,).
    """

    keys: np.ndarray
    counts: np.ndarray

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Returns the rows of the n-grams with these keys, or `NOT_FOUND`."""
        if not len(self.keys):
            return np.full(np.shape(keys), NOT_FOUND)
        places = np.searchsorted(self.keys, keys)
        found = self.keys[np.minimum(places, len(self.keys) - 1)] == keys
        return np.where(found, places, NOT_FOUND)


def root() -> NgramTable:
    """Returns the table of order 0, which holds the empty n-gram."""
    return NgramTable(np.zeros(1, "int64"), np.zeros(1, "int64"))


def count_ngrams(
    documents: Sequence[np.ndarray],
    order: int,
    vocab_size: int,
    beginnings: bool = False,
) -> list[NgramTable]:
    """Counts the n-grams of orders 1 to `order`, none of which crosses documents.

    Args:
        documents: ids from 0 to V - 1, each of shape (T,).
        order: the highest order.
        vocab_size: V.
        beginnings: whether to count the beginnings of documents.

    Returns:
        The tables by order, the root first.
    """
    symbols = vocab_size
    if beginnings:
        symbols += 1
        documents = [np.append(vocab_size, document) for document in documents]
    tokens = np.concatenate(documents).astype("int64")
    starts = np.cumsum([0, *map(len, documents)])[:-1]
    lengths = np.asarray([len(document) for document in documents])
    place = np.arange(len(tokens)) - np.repeat(starts, lengths)
    tables, numbers = [root()], np.zeros(len(tokens) + 1, "int64")
    for size in range(1, order + 1):
        ends = np.flatnonzero(place >= size - 1)
        # The row of the n-gram that ends before token t is kept at t, up to t = T.
        possible = len(tables[-1].keys) * symbols
        keys = numbers[ends] * symbols + tokens[ends]
        keys, ranks, counts = _distinct(keys, possible)
        tables.append(NgramTable(keys, counts))
        numbers[ends + 1] = ranks
    if beginnings:
        tables[1].counts[-1] = 0
    return tables


def _distinct(
    keys: np.ndarray, possible: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the distinct keys, ascending, each key's index, and their counts."""
    if possible > len(keys):
        return np.unique(keys, return_inverse=True, return_counts=True)
    # Few keys are possible, so counting takes a tenth of the time of sorting.
    counts = np.bincount(keys, minlength=possible)
    occurring = np.flatnonzero(counts)
    return occurring, (np.cumsum(counts > 0) - 1)[keys], counts[occurring]


def ngrams_ending(
    tables: Sequence[NgramTable], tokens: np.ndarray, symbols: int
) -> list[np.ndarray]:
    """Returns the rows of the n-grams that end at each token, by order from 0.

    Returns:
        One array of shape (T + 1,) per order. Its first entry is for the position
        before the first token, where only the empty n-gram ends.
    """
    found = [np.zeros(len(tokens) + 1, "int64")]
    for table in tables[1:]:
        # After an n-gram that was not found, the key is negative and not found either.
        numbers = table.find(found[-1][:-1] * symbols + tokens)
        found.append(np.concatenate([[NOT_FOUND], numbers]))
    return found


def suffixes(tables: Sequence[NgramTable], symbols: int) -> list[np.ndarray]:
    """Returns, per table, the rows of its n-grams without their first tokens, (G,)."""
    found = [np.zeros(1, "int64"), np.zeros(len(tables[1].keys), "int64")]
    for below, table in zip(tables[1:], tables[2:], strict=False):
        parents, last = np.divmod(table.keys, symbols)
        found.append(below.find(found[-1][parents] * symbols + last))
    return found


def beginning(tables: Sequence[NgramTable], vocab_size: int) -> list[np.ndarray]:
    """Tells, per table, which n-grams begin at the start of a document, bool (G,).

    The tables must have been counted with `beginnings`.
    """
    found = [np.zeros(1, bool), tables[1].keys == vocab_size]
    for table in tables[2:]:
        found.append(found[-1][table.keys // (vocab_size + 1)])
    return found
