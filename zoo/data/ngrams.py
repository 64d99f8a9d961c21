"""N-grams of token ids, counted and found, in sorted tables.

A table an order. An n-gram is known by its number in its order's table; its key there
is the number of its first n - 1 tokens in the table below, times V, plus its last
token. So keys fit into 64 bits whatever the order, and what follows a context lies
together.

Shapes: T tokens, G n-grams of an order, V vocabulary.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

NOT_FOUND = -1


class NgramTable(NamedTuple):
    """The n-grams of one order.

    Attributes:
        keys: (G,) int64, rising.
        counts: (G,) int64, how often each occurs.
    """

    keys: np.ndarray
    counts: np.ndarray

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The numbers of the n-grams that have these keys, or `NOT_FOUND`."""
        if not len(self.keys):
            return np.full(np.shape(keys), NOT_FOUND)
        places = np.searchsorted(self.keys, keys)
        found = self.keys[np.minimum(places, len(self.keys) - 1)] == keys
        return np.where(found, places, NOT_FOUND)


def root() -> NgramTable:
    """The table of order 0: the empty n-gram."""
    return NgramTable(np.zeros(1, "int64"), np.zeros(1, "int64"))


def count_ngrams(
    documents: Sequence[np.ndarray], order: int, vocab_size: int
) -> list[NgramTable]:
    """Counts the n-grams of orders 1 to `order`; none reaches across documents.

    Args:
        documents: ids from 0 to V - 1, (T,) each.
        order: the longest.
        vocab_size: V.

    Returns:
        Tables by order, the root first.
    """
    tokens = np.concatenate(documents).astype("int64")
    starts = np.cumsum([0, *map(len, documents)])[:-1]
    lengths = np.asarray([len(document) for document in documents])
    place = np.arange(len(tokens)) - np.repeat(starts, lengths)
    tables, numbers = [root()], np.zeros(len(tokens) + 1, "int64")
    for size in range(1, order + 1):
        ends = np.flatnonzero(place >= size - 1)
        # The n-gram that ends before token t is kept at t, that after the last at T.
        possible = len(tables[-1].keys) * vocab_size
        keys = numbers[ends] * vocab_size + tokens[ends]
        keys, ranks, counts = _distinct(keys, possible)
        tables.append(NgramTable(keys, counts))
        numbers[ends + 1] = ranks
    return tables


def _distinct(
    keys: np.ndarray, possible: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct keys in rising order, which of them each key is, and their counts."""
    if possible > len(keys):
        return np.unique(keys, return_inverse=True, return_counts=True)
    # Few are possible: counting them takes a tenth of the time of sorting.
    counts = np.bincount(keys, minlength=possible)
    occurring = np.flatnonzero(counts)
    return occurring, (np.cumsum(counts > 0) - 1)[keys], counts[occurring]


def ngrams_ending(
    tables: Sequence[NgramTable], tokens: np.ndarray, vocab_size: int
) -> list[np.ndarray]:
    """The numbers of the n-grams that end at each token, by order from 0, (T + 1,).

    The first entry of each is for the place before the first token, where only the
    empty n-gram ends.
    """
    found = [np.zeros(len(tokens) + 1, "int64")]
    for table in tables[1:]:
        # After what was not found the key is negative, and not found either.
        numbers = table.find(found[-1][:-1] * vocab_size + tokens)
        found.append(np.concatenate([[NOT_FOUND], numbers]))
    return found


def suffixes(tables: Sequence[NgramTable], vocab_size: int) -> list[np.ndarray]:
    """For each table, the numbers of its n-grams less their first tokens, (G,)."""
    found = [np.zeros(1, "int64"), np.zeros(len(tables[1].keys), "int64")]
    for below, table in zip(tables[1:], tables[2:], strict=False):
        parents, last = np.divmod(table.keys, vocab_size)
        found.append(below.find(found[-1][parents] * vocab_size + last))
    return found
