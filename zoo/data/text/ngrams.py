"""N-grams of token ids, counted and found, in sorted tables.

One table per order. An n-gram is known by its number in its order's table; its key
there is the number of its first n - 1 symbols in the table below, times S, plus its
last symbol. So keys fit into 64 bits whatever the order, and what follows a context
lies together.

Symbols are the V tokens and, where the beginnings of documents are counted, one more,
the id V, which stands before each document. It is part of contexts; nothing predicts
it, so that by itself it counts 0 times.

Shapes: T tokens, G n-grams of an order, V vocabulary, S symbols (V or V + 1).
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
    documents: Sequence[np.ndarray],
    order: int,
    vocab_size: int,
    beginnings: bool = False,
) -> list[NgramTable]:
    """Counts the n-grams of orders 1 to `order`; none reaches across documents.

    Args:
        documents: ids from 0 to V - 1, (T,) each.
        order: the longest.
        vocab_size: V.
        beginnings: whether to count where documents begin.

    Returns:
        Tables by order, the root first.
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
        # The n-gram that ends before token t is kept at t, that after the last at T.
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
    """Distinct keys in rising order, which of them each key is, and their counts."""
    if possible > len(keys):
        return np.unique(keys, return_inverse=True, return_counts=True)
    # Few are possible: counting them takes a tenth of the time of sorting.
    counts = np.bincount(keys, minlength=possible)
    occurring = np.flatnonzero(counts)
    return occurring, (np.cumsum(counts > 0) - 1)[keys], counts[occurring]


def ngrams_ending(
    tables: Sequence[NgramTable], tokens: np.ndarray, symbols: int
) -> list[np.ndarray]:
    """The numbers of the n-grams that end at each token, by order from 0, (T + 1,).

    The first entry of each is for the place before the first token, where only the
    empty n-gram ends.
    """
    found = [np.zeros(len(tokens) + 1, "int64")]
    for table in tables[1:]:
        # After what was not found the key is negative, and not found either.
        numbers = table.find(found[-1][:-1] * symbols + tokens)
        found.append(np.concatenate([[NOT_FOUND], numbers]))
    return found


def suffixes(tables: Sequence[NgramTable], symbols: int) -> list[np.ndarray]:
    """For each table, the numbers of its n-grams less their first tokens, (G,)."""
    found = [np.zeros(1, "int64"), np.zeros(len(tables[1].keys), "int64")]
    for below, table in zip(tables[1:], tables[2:], strict=False):
        parents, last = np.divmod(table.keys, symbols)
        found.append(below.find(found[-1][parents] * symbols + last))
    return found


def beginning(tables: Sequence[NgramTable], vocab_size: int) -> list[np.ndarray]:
    """For each table, which n-grams begin where a document does, (G,) bool.

    Of tables that count beginnings.
    """
    found = [np.zeros(1, bool), tables[1].keys == vocab_size]
    for table in tables[2:]:
        found.append(found[-1][table.keys // (vocab_size + 1)])
    return found
