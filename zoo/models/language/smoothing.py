"""Smoothing: n-gram counts to probabilities, with a share for unseen tokens.

Chen & Goodman 1999, "An empirical study of smoothing techniques for language modeling";
Jurafsky & Martin, "Speech and Language Processing", chapter 3.

With any smoothing, p(w | h) is a value stored for the n-gram hw if it occurred, and
otherwise a weight of the context h times a lower-order distribution: p(w | h'), where
h' is h without its first token, or the uniform distribution. ARPA files have the same
tables.

Shapes: G n-grams of an order, C contexts (n-grams of the order below), V vocabulary,
S symbols (V, or V + 1 with beginnings; see `zoo.data.text.ngrams`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from zoo.data.text.ngrams import NgramTable, beginning, suffixes

# Katz 1987: counts above this are not discounted.
RELIABLE = 5
# The discounts that modified Kneser-Ney subtracts from counts of 0, 1, 2 and at least 3
# where there are too few to estimate them, as in KenLM's `lmplz --discount_fallback`.
FALLBACK = (0.0, 0.5, 1.0, 1.5)


class Order(NamedTuple):
    """The probabilities of one order; the last entries are for unseen n-grams.

    Attributes:
        values: (G + 1,) p(w | h) of the n-grams that occurred, then 0.
        weights: (C + 1,) the factor of the lower-order distribution after each context,
            then 1.
    """

    values: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, weights: np.ndarray) -> "Order":
        """An order with the last entries appended."""
        return cls(np.append(values, 0.0), np.append(weights, 1.0))


def add_k(
    tables: Sequence[NgramTable], vocab_size: int, k: float, beginnings: bool = False
) -> list[Order]:
    """(c(hw) + k) / (c(h) + kV); the lower-order distribution is uniform.

    With k = 0 these are relative frequencies, all 0 after unseen contexts.
    """
    orders = []
    for below, table in _pairs(tables):
        parents = table.keys // (vocab_size + beginnings)
        totals = _sums(parents, table.counts, below)
        room = totals + k * vocab_size
        weights = _ratio(k * vocab_size, room, otherwise=1.0)
        orders.append(Order.of((table.counts + k) / room[parents], weights))
    return orders


def kneser_ney(
    tables: Sequence[NgramTable],
    vocab_size: int,
    discount: float | None = None,
    beginnings: bool = False,
) -> list[Order]:
    """Interpolated Kneser-Ney: discounts all counts in favour of the order below.

    Kneser & Ney 1995 in the interpolated form of Chen & Goodman, or their modified
    form, which estimates discounts of counts of 1, 2 and more for each order. Below the
    highest order, counts are numbers of distinct symbols to the left; n-grams at the
    beginning of a text, which have none, count how often they occur.

    A given discount is not subtracted from unigrams, unless some ids never occurred and
    need a share.
    """
    symbols = vocab_size + beginnings
    orders: list[Order] = []
    lower = np.full(1, 1 / vocab_size)
    links = suffixes(tables, symbols)
    first = beginning(tables, vocab_size) if beginnings else [False] * len(tables)
    for order, (below, table) in enumerate(_pairs(tables), start=1):
        counts = table.counts
        if order < len(tables) - 1:
            left = np.bincount(links[order + 1], minlength=len(table.keys))
            counts = np.where(first[order], counts, left)
        parents = table.keys // symbols
        totals = _sums(parents, counts, below)
        if discount is None:
            discounts = modified_discounts(counts)
        else:
            spared = order == 1 and np.count_nonzero(counts) == vocab_size
            discounts = np.asarray([0.0, *[0.0 if spared else discount] * 3])
        taken = discounts[np.minimum(counts, 3)]
        weights = _ratio(_sums(parents, taken, below), totals, otherwise=1.0)
        own = _ratio(counts - taken, totals[parents], otherwise=0.0)
        values = own + weights[parents] * lower[links[order]]
        orders.append(Order.of(values, weights))
        lower = values
    return orders


def modified_discounts(counts: np.ndarray) -> np.ndarray:
    """The discounts of counts of 0, 1, 2 and at least 3, (4,).

    Chen & Goodman 1999, equation 17: with n_r n-grams of count r and
    Y = n_1 / (n_1 + 2 n_2), D_r = r - (r + 1) Y n_{r+1} / n_r. If any n_r is 0 or any
    D_r is not positive, `FALLBACK`.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6)[1:5]
    if n.all():
        r = np.arange(1, 4)
        found = r - (r + 1) * n[0] / (n[0] + 2 * n[1]) * n[1:] / n[:-1]
        if found.min() > 0:
            return np.append(0.0, found)
    return np.asarray(FALLBACK)


def katz(
    tables: Sequence[NgramTable], vocab_size: int, beginnings: bool = False
) -> list[Order]:
    """Katz backoff (Katz 1987): Good-Turing discounts, the rest by the order below.

    As in SRILM (Stolcke 2002), a count whose Good-Turing estimate is out of range is
    not discounted; and where that leaves nothing for tokens unseen after a context, the
    context's total is increased by one. Where all tokens were seen, nothing is
    discounted.
    """
    orders: list[Order] = []
    lower, kinds_lower = np.full(1, 1 / vocab_size), np.zeros(1, "int64")
    left_lower = np.ones(1)
    symbols = vocab_size + beginnings
    links = suffixes(tables, symbols)
    for order, (below, table) in enumerate(_pairs(tables), start=1):
        parents = table.keys // symbols
        totals = _sums(parents, table.counts, below)
        kinds = _sums(parents, table.counts > 0, below)
        kept = good_turing(table.counts)[np.minimum(table.counts, RELIABLE + 1)]
        kept[kinds[parents] == vocab_size] = 1.0
        freed = _sums(parents, (1 - kept) * table.counts, below)
        short = (freed == 0) & (kinds < vocab_size) & (totals > 0)
        freed, totals = freed + short, totals + short
        left = _ratio(freed, totals, otherwise=1.0)
        values = kept * table.counts / totals[parents]
        # After h', the tokens unseen after h have the mass left for unseen tokens, plus
        # that of the tokens seen only there. Both may be small compared with 1.
        suffix = links[order - 1]
        here = lower[links[order]] * (table.counts > 0)
        seen = 1 - left_lower[suffix] - _sums(parents, here, below)
        seen[kinds == kinds_lower[suffix]] = 0.0
        weights = _ratio(left, left_lower[suffix] + seen, otherwise=0.0)
        weights[totals == 0] = 1.0
        orders.append(Order.of(values, weights))
        lower, left_lower, kinds_lower = values, left, kinds
    return orders


def good_turing(counts: np.ndarray) -> np.ndarray:
    """The fraction of each count from 0 to `RELIABLE` + 1 that discounting keeps.

    d_r of Katz 1987 in the notation of Chen & Goodman: with n_r n-grams of count r,
    k = `RELIABLE` and r* = (r + 1) n_{r+1} / n_r,
    d_r = (r* / r - (k + 1) n_{k+1} / n_1) / (1 - (k + 1) n_{k+1} / n_1).
    """
    shares = np.ones(RELIABLE + 2)
    n = np.bincount(np.minimum(counts, RELIABLE + 2), minlength=RELIABLE + 3)
    r = np.arange(1, RELIABLE + 1)
    common = _ratio((RELIABLE + 1) * n[RELIABLE + 1], n[1], otherwise=np.nan)
    estimate = _ratio((r + 1) * n[r + 1], r * n[r], otherwise=np.nan)
    found = _ratio(estimate - common, 1 - common, otherwise=np.nan)
    shares[r] = np.where((found > 0) & (found <= 1), found, 1.0)
    return shares


def _pairs(tables: Sequence[NgramTable]) -> zip:
    """Pairs of tables: contexts, and the n-grams that extend them."""
    return zip(tables, tables[1:], strict=False)


def _sums(parents: np.ndarray, values: np.ndarray, below: NgramTable) -> np.ndarray:
    """Sums of values over the n-grams of each context, (C,)."""
    return np.bincount(parents, values, minlength=len(below.keys))


def _ratio(a: ArrayLike, b: ArrayLike, *, otherwise: float) -> np.ndarray:
    """The quotient a / b, and `otherwise` where b is 0."""
    a, b = np.broadcast_arrays(np.asarray(a, "float64"), np.asarray(b, "float64"))
    return np.divide(a, b, out=np.full(b.shape, otherwise), where=b != 0)
