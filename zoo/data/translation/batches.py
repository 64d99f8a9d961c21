"""Batches of pairs of about one length and about so many tokens.

Shapes: N pairs, B batch, L tokens of a side.
"""

import functools
from collections.abc import Iterator

import numpy as np

from zoo.data.translation.token_pairs import TokenPairs
from zoo.data.updates import Updates

ROWS = 8  # what every batch has a multiple of, for devices and micro-batches to share

Batch = tuple[np.ndarray, np.ndarray]


class PairBatches(Updates):
    """Batches for `fit`, a function of (seed, update), of few shapes.

    An epoch's pairs, shuffled, are sorted by the length of their longer side, rounded
    up to multiples of `bucket`, and cut from the longest on: a batch is as long as its
    first pair, L, and has the rows that this leaves room for. Lengths, unlike their
    order, are the same in each epoch, and so are the cuts; there is one shape an L. The
    batches are shuffled; a few of the shortest pairs, which don't fill a batch, are
    left out: others in the next epoch.

    Args:
        pairs: The pairs.
        batch_tokens: The most tokens of one side of a batch, B · L, padding included.
        bucket: What L is a multiple of.
        seed: A non-negative integer that selects the order.

    Attributes:
        steps_per_epoch: Batches in an epoch.
        target_tokens: Target tokens to predict in a batch, on average.
    """

    def __init__(
        self, pairs: TokenPairs, batch_tokens: int, *, bucket: int = 4, seed: int = 0
    ) -> None:
        """Checks the arguments; raises ValueError naming the one at fault."""
        if seed < 0:
            raise ValueError(f"seed={seed}; expected a non-negative integer")
        self._pairs, self._seed = pairs, seed
        self._lengths, self._cuts = _cuts(pairs, batch_tokens, bucket)
        self.steps_per_epoch = sum(stop <= len(pairs) for _, stop, _ in self._cuts)
        if not self.steps_per_epoch:
            raise ValueError(
                f"batch_tokens={batch_tokens}; expected fewer: the {len(pairs)} pairs "
                "don't fill a batch"
            )
        kept = np.argsort(-self._lengths)[: self._cuts[self.steps_per_epoch - 1][1]]
        predicted = (pairs.targets.lengths - 1)[kept].sum()
        self.target_tokens = round(predicted / self.steps_per_epoch)
        self._epoch = functools.lru_cache(maxsize=2)(self._drawn)

    def batch(self, update: int) -> Batch:
        """Returns one update's sources (B, L) and targets (B, L + 1).

        Args:
            update: The number of the update, from 0.
        """
        if update < 0:
            raise ValueError(f"update={update}; expected a number from 0")
        epoch, step = divmod(update, self.steps_per_epoch)
        order, batches = self._epoch(epoch)
        start, stop, length = self._cuts[batches[step]]
        return self._pairs.batch(order[start:stop], length)

    def _drawn(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The order of the pairs, and that of the batches that it is cut into."""
        rng = np.random.default_rng((self._seed, epoch))
        order = rng.permutation(len(self._pairs))
        order = order[np.argsort(-self._lengths[order], kind="stable")]
        return order, rng.permutation(self.steps_per_epoch)


def pairs_once(
    pairs: TokenPairs, batch_tokens: int, *, bucket: int = 4
) -> Iterator[Batch]:
    """Goes through all pairs, to evaluate on, from the longest to the shortest.

    Args:
        pairs: What `PairBatches` takes.
        batch_tokens: Likewise.
        bucket: Likewise.

    Yields:
        Sources (B, L) and targets (B, L + 1), fewer in the last batch.
    """
    lengths, cuts = _cuts(pairs, batch_tokens, bucket)
    order = np.argsort(-lengths, kind="stable")
    for start, stop, length in cuts:
        yield pairs.batch(order[start:stop], length)


def _cuts(
    pairs: TokenPairs, batch_tokens: int, bucket: int
) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Rounded lengths, (N,), and how pairs, sorted from the longest on, are cut.

    A cut is the first pair, the one after the last, and L. The last cut may reach
    beyond the last pair.
    """
    if bucket < 1:
        raise ValueError(f"bucket={bucket}; expected at least 1")
    rounded = -(-pairs.lengths // bucket) * bucket
    falling = np.sort(rounded)[::-1]
    if batch_tokens < ROWS * falling[0]:
        raise ValueError(
            f"batch_tokens={batch_tokens}; expected at least {ROWS * falling[0]}: "
            f"{ROWS} pairs of {falling[0]} tokens"
        )
    cuts, start = [], 0
    while start < len(falling):
        length = int(falling[start])
        stop = start + batch_tokens // length // ROWS * ROWS
        cuts.append((start, stop, length))
        start = stop
    return rounded, cuts
