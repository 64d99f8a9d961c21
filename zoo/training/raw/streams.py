"""Batches that Python makes anew in each pass, as a data adapter of Keras."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import tree
from keras.src.trainers.data_adapters import data_adapter_utils
from keras.src.trainers.data_adapters.data_adapter import DataAdapter
from keras.src.utils.module_utils import tensorflow as tf

from zoo.engine.batches import rows_of

Batch = tuple[Any, ...]


class Stream(DataAdapter):
    """Batches of NumPy arrays that `start` begins anew in each pass.

    Args:
        start: returns an iterator over one pass, given the number of the epoch.
        num_batches: their number; None if unknown.
        batch_size: rows per batch; None if unknown.
        inner: what is told when an epoch begins and ends, if anything.

    Attributes:
        epoch: the number of the epoch, set by `TellsEpoch`.
    """

    def __init__(
        self,
        start: Callable[[int], Iterator[Batch]],
        num_batches: int | None = None,
        batch_size: int | None = None,
        inner: Any = None,
    ) -> None:
        self._pass, self._inner, self.epoch = start, inner, 0
        self._num_batches, self._batch_size = num_batches, batch_size

    def get_numpy_iterator(self) -> Iterator[Any]:
        """Batches of NumPy arrays."""
        return self._start()

    def get_jax_iterator(self) -> Iterator[Any]:
        """Batches of arrays."""
        return data_adapter_utils.get_jax_iterator(self._start())

    def get_torch_dataloader(self) -> Iterable[Any]:
        """Batches of tensors."""
        return data_adapter_utils.get_torch_dataloader(_Passes(self._start))

    def get_tf_dataset(self) -> Any:
        """A dataset of batches; its signature is that of the first one."""
        first = next(batches := self._start(), None)
        if first is None:
            raise ValueError("The data must give at least one batch, got none.")
        read = [itertools.chain([first], batches)]
        return tf.data.Dataset.from_generator(
            lambda: read.pop() if read else self._start(),
            output_signature=data_adapter_utils.get_tensor_spec([first]),
        )

    @property
    def num_batches(self) -> int | None:
        """The number of batches; None if unknown."""
        return self._num_batches

    @property
    def batch_size(self) -> int | None:
        """Rows per batch; None if unknown."""
        return self._batch_size

    @property
    def has_partial_batch(self) -> bool | None:
        """Unknown."""
        return None

    @property
    def partial_batch_size(self) -> int | None:
        """Unknown."""
        return None

    def on_epoch_begin(self) -> None:
        """Forwards the call."""
        if self._inner is not None:
            self._inner.on_epoch_begin()

    def _start(self) -> Iterator[Batch]:
        # Keras may begin a pass before its epoch, or to look at a batch, so an epoch
        # is not counted by passes.
        yield from self._pass(self.epoch)

    def on_epoch_end(self) -> None:
        """Forwards the call."""
        if self._inner is not None:
            self._inner.on_epoch_end()


class TellsEpoch(keras.callbacks.Callback):
    """Tells a stream the number of each epoch before it begins."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.stream = stream

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Passes the number on."""
        self.stream.epoch = epoch


class _Passes:
    """An iterable that begins anew each time."""

    def __init__(self, start: Callable[[], Iterator[Batch]]) -> None:
        self._start = start

    def __iter__(self) -> Iterator[Batch]:
        return self._start()


def in_rows(batches: Iterable[tuple[int, Batch]]) -> Iterator[Batch]:
    """Cuts batches anew, so that all but the last have as many rows as the first asks.

    Args:
        batches: pairs of a number of rows and NumPy arrays with any number of rows, in
            one structure; their trailing axes are the same.
    """
    rows, kept = 0, None
    for asked, batch in batches:
        rows = rows or asked
        if kept is not None:
            batch = tree.map_structure(lambda a, b: np.concatenate([a, b]), kept, batch)
        whole = rows_of(batch) // rows * rows
        for start in range(0, whole, rows):
            yield _rows(batch, slice(start, start + rows))
        kept = _rows(batch, slice(whole, None)) if whole < rows_of(batch) else None
    if kept is not None:
        yield kept


def _rows(batch: Batch, rows: slice) -> Batch:
    return tree.map_structure(lambda x: x[rows], batch)
