"""Texts that come in batches: tf.data, DataLoader, Grain, PyDataset, generators."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from keras import tree
from keras.src.trainers import data_adapters

from zoo.engine.batches import as_numpy
from zoo.training.checks import example_weights
from zoo.training.raw.texts import is_text, segments_of

# Keras's, for texts that come one by one and without a batch size.
BATCH_SIZE = 32


@dataclass(frozen=True)
class Source:
    """Batches that hold texts.

    Attributes:
        batches: begins a pass over them.
        once: whether there is only one pass.
        inner: what is told when an epoch begins and ends, if anything.
        num_batches: their number; None if unknown.
    """

    batches: Callable[[], Iterator[Any]]
    once: bool = False
    inner: Any = None
    num_batches: int | None = None


def parts_of(batch: Any) -> tuple[Any, Any, Any]:
    """A batch's x, y and weights; None for those that it lacks."""
    if isinstance(batch, list) and segments_of(batch) is None:
        batch = tuple(batch)
    return example_weights.parts(batch)


def text_source(
    x: Any, batch_size: int | None, shuffle: bool = False
) -> tuple[Any, Source | None]:
    """Data that come in batches of texts.

    Args:
        x: what `fit` was given.
        batch_size: for texts that come one by one; `BATCH_SIZE` if None.
        shuffle: whether to shuffle the batches of a `PyDataset`.

    Returns:
        `x`, to be used from now on, as an iterator can be looked into only once; and
        its texts, or None if it holds something else.
    """
    size = batch_size or BATCH_SIZE
    if data_adapters.is_tf_dataset(x):
        return x, _of_tensorflow(x, size)
    if isinstance(x, Iterator):
        if not (beginning := list(itertools.islice(x, 1))):
            return x, None
        (first,), x = beginning, _chained(beginning, x)
        if not _has_texts(first):
            return x, None
        batches = _grouped(x, size) if _is_single(first) else x
        return x, Source(lambda: map(as_numpy, batches), once=True)
    try:
        first = _first(x)
    except (IndexError, KeyError, TypeError):
        return x, None
    if first is None or not _has_texts(first):
        return x, None
    if isinstance(x, data_adapters.py_dataset_adapter.PyDataset):
        inner = data_adapters.get_data_adapter(x, shuffle=shuffle)
        return x, Source(inner.get_numpy_iterator, False, inner, inner.num_batches)
    if data_adapters.is_torch_dataloader(x):
        return x, Source(lambda: map(as_numpy, x))
    whole = x if not _is_single(first) else x.batch(size)
    return x, Source(lambda: map(as_numpy, whole))


def _of_tensorflow(x: Any, size: int) -> Source | None:
    leaves = tree.flatten(parts_of(x.element_spec)[0])
    if not leaves or any("string" not in str(leaf.dtype) for leaf in leaves):
        return None
    if leaves[0].shape.rank == 0:
        x = x.batch(size)
    count = int(x.cardinality())
    return Source(x.as_numpy_iterator, num_batches=count if count >= 0 else None)


def _first(x: Any) -> Any:
    """The first batch, or example, of data that can be looked into; else None."""
    if isinstance(x, data_adapters.py_dataset_adapter.PyDataset):
        return x[0]
    if data_adapters.is_torch_dataloader(x):
        return x.dataset[0]
    if data_adapters.is_grain_dataset(x) and hasattr(x, "__getitem__"):
        return x[0]
    return None


def _has_texts(batch: Any) -> bool:
    return segments_of(parts_of(batch)[0]) is not None


def _is_single(batch: Any) -> bool:
    """Whether a batch is one example: a text, or a pair of them, and its target."""
    x = parts_of(batch)[0]
    pair = isinstance(x, tuple) and len(x) == 2 and all(map(is_text, x))
    return is_text(x) or pair


def _grouped(examples: Iterator[Any], size: int) -> Iterator[Any]:
    """Batches of examples that come one by one."""
    while group := list(itertools.islice(examples, size)):
        columns = zip(*(parts_of(example) for example in group), strict=True)
        batch = tuple([*column] for column in columns)
        yield tuple(None if column[0] is None else column for column in batch)


def _chained(beginning: list[Any], rest: Iterator[Any]) -> Iterator[Any]:
    """A generator, the only iterator that Keras takes."""
    yield from beginning
    yield from rest
