"""Batches of sequences of similar length, so that little padding is computed.

Shapes: N sequences, B batch, T tokens of the longest sequence.
"""

from collections.abc import Iterator

import numpy as np

from zoo.data.epochs import EpochBatches
from zoo.data.text.sequences import Sequences


class TextBatches(EpochBatches):
    """Batches for `fit`, a function of (seed, update), padded to a few lengths.

    In each epoch the sequences are shuffled, sorted by length, rounded up to a multiple
    of T / num_buckets, and cut into batches, which are then shuffled. So there are few
    shapes to compile, and most batches are padded only by this rounding.

    Args:
        sequences: the result of `labelled_sequences`, `tagged_sequences` or
            `question_windows`.
        batch_size: B.
        num_buckets: the most different lengths.
        seed: a non-negative integer that determines the order.

    Attributes:
        steps_per_epoch: the number of batches in an epoch.
    """

    def __init__(
        self,
        sequences: Sequences,
        batch_size: int,
        *,
        num_buckets: int = 8,
        seed: int = 0,
    ) -> None:
        """Checks the arguments; raises ValueError naming the one at fault."""
        super().__init__(len(sequences), batch_size, seed)
        self._sequences = sequences
        self._lengths = _rounded(sequences, num_buckets)

    def _cut(self, order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        order = order[np.argsort(self._lengths[order], kind="stable")]
        return rng.permutation(order.reshape(self.steps_per_epoch, -1))

    def _draw(self, rows: np.ndarray, rng: np.random.Generator) -> tuple:
        return self._sequences.batch(rows, self._lengths[rows].max())


def each_once(
    sequences: Sequences, batch_size: int, num_buckets: int = 8
) -> Iterator[tuple[np.ndarray, tuple]]:
    """Iterates over all sequences once, from the shortest to the longest, to evaluate.

    Args:
        sequences: as in `TextBatches`.
        batch_size: B.
        num_buckets: the most different lengths.

    Yields:
        The numbers of the sequences, of shape (B,), fewer in the last batch; and the
        batch.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    lengths = _rounded(sequences, num_buckets)
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        yield rows, sequences.batch(rows, lengths[rows[-1]])


def _rounded(sequences: Sequences, num_buckets: int) -> np.ndarray:
    """Returns all lengths, rounded up to multiples of T / num_buckets, (N,)."""
    if not 1 <= num_buckets <= sequences.length:
        raise ValueError(
            f"num_buckets must be from 1 to length={sequences.length}, got "
            f"{num_buckets}."
        )
    step = -(-sequences.length // num_buckets)
    return np.minimum(-(-sequences.lengths // step) * step, sequences.length)
