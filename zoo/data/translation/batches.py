"""Batches of pairs of similar length, each with about the same number of tokens.

Shapes: N pairs, B batch, L tokens per side.
"""

import functools
from collections.abc import Iterator

import numpy as np

from zoo.data.translation.token_pairs import TokenPairs
from zoo.data.updates import Updates

ROWS = 8  # B is a multiple of this, so that devices and micro-batches can share it

Batch = tuple[np.ndarray, np.ndarray]


class PairBatches(Updates):
    """Batches for `fit`, a function of (seed, update), with few shapes.

    In each epoch the pairs are shuffled, sorted by the length of their longer side,
    rounded up to a multiple of `bucket`, and cut into batches from the longest on: a
    batch is as long as its first pair, L, and has as many rows as fit. The sorted
    lengths are the same in every epoch, and so are the cuts, with one shape per L.
    Then the batches are shuffled. A few of the shortest pairs, which do not fill a
    batch, are left out; in the next epoch these are others.

    Args:
        pairs: the pairs.
        batch_tokens: the most tokens on one side of a batch, B · L, padding included.
        bucket: the number that L is a multiple of.
        seed: a non-negative integer that determines the order.

    Attributes:
        steps_per_epoch: the number of batches in an epoch.
        target_tokens: the mean number of target tokens to predict per batch.
    """

    def __init__(
        self, pairs: TokenPairs, batch_tokens: int, *, bucket: int = 4, seed: int = 0
    ) -> None:
        """Checks the arguments; raises ValueError naming the one at fault."""
        if seed < 0:
            raise ValueError(f"seed must be a non-negative integer, got {seed}.")
        self._pairs, self._seed = pairs, seed
        self._lengths, self._cuts = _cuts(pairs, batch_tokens, bucket)
        self.steps_per_epoch = sum(stop <= len(pairs) for _, stop, _ in self._cuts)
        if not self.steps_per_epoch:
            raise ValueError(
                f"batch_tokens must be lower for {len(pairs)} pairs, which don't fill "
                f"a batch, got {batch_tokens}."
            )
        kept = np.argsort(-self._lengths)[: self._cuts[self.steps_per_epoch - 1][1]]
        predicted = (pairs.targets.lengths - 1)[kept].sum()
        self.target_tokens = round(predicted / self.steps_per_epoch)
        self._epoch = functools.lru_cache(maxsize=2)(self._drawn)

    def batch(self, update: int) -> Batch:
        """Returns one update's sources (B, L) and targets (B, L + 1).

        Args:
            update: the number of the update, from 0.
        """
        if update < 0:
            raise ValueError(f"update must be 0 or more, got {update}.")
        epoch, step = divmod(update, self.steps_per_epoch)
        order, batches = self._epoch(epoch)
        start, stop, length = self._cuts[batches[step]]
        return self._pairs.batch(order[start:stop], length)

    def _drawn(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the order of the pairs in an epoch, and that of the batches."""
        rng = np.random.default_rng((self._seed, epoch))
        order = rng.permutation(len(self._pairs))
        order = order[np.argsort(-self._lengths[order], kind="stable")]
        return order, rng.permutation(self.steps_per_epoch)


def pairs_once(
    pairs: TokenPairs, batch_tokens: int, *, bucket: int = 4
) -> Iterator[Batch]:
    """Iterates over all pairs once, from the longest to the shortest, to evaluate.

    Args:
        pairs: the pairs.
        batch_tokens: the most tokens on one side of a batch, B · L, padding included.
        bucket: the number that L is a multiple of.

    Yields:
        Sources (B, L) and targets (B, L + 1), with fewer rows in the last batch.
    """
    lengths, cuts = _cuts(pairs, batch_tokens, bucket)
    order = np.argsort(-lengths, kind="stable")
    for start, stop, length in cuts:
        yield pairs.batch(order[start:stop], length)


def _cuts(
    pairs: TokenPairs, batch_tokens: int, bucket: int
) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Returns rounded lengths, (N,), and how to cut pairs sorted from the longest on.

    A cut is (start, stop, L). The last cut may reach beyond the last pair.
    """
    if bucket < 1:
        raise ValueError(f"bucket must be at least 1, got {bucket}.")
    rounded = -(-pairs.lengths // bucket) * bucket
    falling = np.sort(rounded)[::-1]
    if batch_tokens < ROWS * falling[0]:
        raise ValueError(
            f"batch_tokens must be at least {ROWS * falling[0]}, {ROWS} pairs of "
            f"{falling[0]} tokens, got {batch_tokens}."
        )
    cuts, start = [], 0
    while start < len(falling):
        length = int(falling[start])
        stop = start + batch_tokens // length // ROWS * ROWS
        cuts.append((start, stop, length))
        start = stop
    return rounded, cuts
