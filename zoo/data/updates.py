"""Batches as a function of the update number, so that a run can be resumed."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

# The length of a Grain dataset that should have none.
ENDLESS = 2**62


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
