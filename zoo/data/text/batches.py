"""Batches of sequences of about one length, which cost no more than they have to.

Shapes: N sequences, B batch, T tokens of the longest one.
"""

from collections.abc import Iterator

import numpy as np

from zoo.data.epochs import EpochBatches
from zoo.data.text.sequences import Sequences


class TextBatches(EpochBatches):
    """Batches for `fit`, a function of (seed, update), padded to few lengths.

    An epoch's sequences, shuffled, are sorted by their lengths, which are rounded up to
    multiples of T / num_buckets, and cut into batches; these are shuffled. So there
    are few shapes to compile, and most batches have no more padding than that.

    Args:
        sequences: `labelled_sequences`, `tagged_sequences` or `question_windows`.
        batch_size: B.
        num_buckets: How many lengths there may be.
        seed: A non-negative integer that selects the order.

    Attributes:
        steps_per_epoch: Batches in an epoch.
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
    """Goes through all sequences, to evaluate on, from the shortest to the longest.

    Args:
        sequences: What `TextBatches` takes.
        batch_size: B.
        num_buckets: How many lengths there may be.

    Yields:
        The sequences' numbers, of shape (B,), fewer in the last batch; and the batch.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}; expected at least 1")
    lengths = _rounded(sequences, num_buckets)
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        yield rows, sequences.batch(rows, lengths[rows[-1]])


def _rounded(sequences: Sequences, num_buckets: int) -> np.ndarray:
    """Lengths, rounded up to multiples of T / num_buckets, (N,)."""
    if not 1 <= num_buckets <= sequences.length:
        raise ValueError(
            f"num_buckets={num_buckets}; expected 1 to length={sequences.length}"
        )
    step = -(-sequences.length // num_buckets)
    return np.minimum(-(-sequences.lengths // step) * step, sequences.length)
