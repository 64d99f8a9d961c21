"""Batches as a function of the update number, so that a run can be resumed."""

import itertools
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

# The length of a Grain dataset that should have none.
ENDLESS = 2**62


def update_numbers(seed: int) -> Any:
    """An endless Grain dataset of the numbers of updates, with seeded random maps.

    Raises:
        ValueError: the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"seed must be a non-negative integer, got {seed}.")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # Grain warns if JAX, which it may use, is missing
    try:
        import grain
    finally:
        logging.disable(before)
    return grain.MapDataset.range(ENDLESS).seed(seed)


class Updates(ABC):
    """Maps each update of a training run to its batch."""

    @abstractmethod
    def batch(self, update: int) -> Any:
        """Returns the batch of an update, counted from 0."""

    def batches(self, start: int = 0) -> Iterator[Any]:
        """Returns an endless iterator over `batch(start)`, `batch(start + 1)`, ...

        Batches are made on demand: drawing one takes microseconds, while Grain's
        prefetching threads take several times as long to hand it over.
        """
        if start < 0:
            raise ValueError(f"start must be 0 or more, got {start}.")
        return map(self.batch, itertools.count(start))
