"""Batches that go through all examples once per epoch, with random access."""

import functools
from abc import abstractmethod
from typing import Any

import numpy as np

from zoo.data.updates import Updates, update_numbers


class EpochBatches(Updates):
    """Batches in a new order every epoch, a function of (seed, update).

    An epoch is a permutation of all N examples, drawn from the seed and the epoch
    number, and cut into batches of B. If B does not divide N, the last N mod B examples
    are left out; in the next epoch these are others.

    Args:
        num_examples: N.
        batch_size: B.
        seed: a non-negative integer that determines the order and all other
            randomness.

    Attributes:
        steps_per_epoch: the number of batches in an epoch, N // B.
    """

    def __init__(self, num_examples: int, batch_size: int, seed: int = 0) -> None:
        """Checks the arguments; raises ValueError naming the one at fault."""
        if not 1 <= batch_size <= num_examples:
            raise ValueError(
                f"batch_size must be from 1 to {num_examples}, the number of examples, "
                f"got {batch_size}."
            )
        numbers = update_numbers(seed)
        self.steps_per_epoch = num_examples // batch_size

        def rows(update: int) -> np.ndarray:
            epoch, step = divmod(update, self.steps_per_epoch)
            return epoch_rows(epoch)[step]

        def draw_epoch(_, rng: np.random.Generator) -> np.ndarray:
            order = rng.permutation(num_examples)[: self.steps_per_epoch * batch_size]
            return self._cut(order, rng).reshape(self.steps_per_epoch, batch_size)

        # One Grain element is a whole batch, or a whole epoch's order, so its overhead
        # per element is paid only once. Grain seeds the two random maps differently:
        # they are one and two steps away from the seed.
        epochs = numbers.random_map(draw_epoch)
        epoch_rows = functools.lru_cache(maxsize=2)(epochs.__getitem__)
        self._batches = numbers.map(rows).random_map(self._draw)

    def batch(self, update: int) -> Any:
        """Returns one update's batch.

        Args:
            update: the number of the update, from 0.
        """
        if update < 0:
            raise ValueError(f"update must be 0 or more, got {update}.")
        return self._batches[update]

    def _cut(self, order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Returns the order in which an epoch is cut into consecutive batches."""
        return order

    @abstractmethod
    def _draw(self, rows: np.ndarray, rng: np.random.Generator) -> Any:
        """Returns the batch made of the examples `rows`."""
