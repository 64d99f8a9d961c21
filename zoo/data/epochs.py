"""Batches that go through all examples once an epoch, in an order that seeks."""

import functools
from abc import abstractmethod
from typing import Any

import numpy as np

from zoo.data.updates import ENDLESS, Updates


class EpochBatches(Updates):
    """Batches in another order every epoch, a function of (seed, update).

    An epoch is a permutation of all N examples, drawn from the seed and the epoch's
    number, and cut into batches of B. Where B does not divide N, the N mod B examples
    at its end are left out: others in the next epoch.

    Args:
        num_examples: N.
        batch_size: B.
        seed: A non-negative integer that selects the order and all else by chance.

    Attributes:
        steps_per_epoch: Batches in an epoch, N // B.
    """

    def __init__(self, num_examples: int, batch_size: int, seed: int = 0) -> None:
        """Checks the arguments; raises ValueError naming the one at fault."""
        import grain

        if not 1 <= batch_size <= num_examples:
            raise ValueError(
                f"batch_size={batch_size}; expected 1 to {num_examples}, the number of "
                "examples"
            )
        if seed < 0:
            raise ValueError(f"seed={seed}; expected a non-negative integer")
        self.steps_per_epoch = num_examples // batch_size

        def rows(update: int) -> np.ndarray:
            epoch, step = divmod(update, self.steps_per_epoch)
            return epoch_rows(epoch)[step]

        def draw_epoch(_, rng: np.random.Generator) -> np.ndarray:
            order = rng.permutation(num_examples)[: self.steps_per_epoch * batch_size]
            return self._cut(order, rng).reshape(self.steps_per_epoch, batch_size)

        # One Grain element is a whole batch, or a whole epoch's order: its cost an
        # element is paid once. Grain seeds the two random maps differently, since they
        # are one and two steps from the seed.
        numbers = grain.MapDataset.range(ENDLESS).seed(seed)
        epochs = numbers.random_map(draw_epoch)
        epoch_rows = functools.lru_cache(maxsize=2)(epochs.__getitem__)
        self._batches = numbers.map(rows).random_map(self._draw)

    def batch(self, update: int) -> Any:
        """Returns one update's batch.

        Args:
            update: The number of the update, from 0.
        """
        if update < 0:
            raise ValueError(f"update={update}; expected a number from 0")
        return self._batches[update]

    def _cut(self, order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The order in which an epoch is cut into batches, one after the other."""
        return order

    @abstractmethod
    def _draw(self, rows: np.ndarray, rng: np.random.Generator) -> Any:
        """The batch of some examples."""
