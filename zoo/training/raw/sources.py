"""Strings that come in batches: tf.data, DataLoader, Grain, PyDataset, generators."""

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
    """Batches that hold texts, or names of classes.

    Attributes:
        batches: begins a pass over them.
        has_texts: whether the inputs are texts; if not, only the targets are strings.
        once: whether there is only one pass.
        inner: what is told when an epoch begins and ends, if anything.
        num_batches: their number; None if unknown.
    """

    batches: Callable[[], Iterator[Any]]
    has_texts: bool
    once: bool = False
    inner: Any = None
    num_batches: int | None = None


def parts_of(batch: Any) -> tuple[Any, Any, Any]:
    """A batch's x, y and weights; None for those that it lacks."""
    if isinstance(batch, list) and segments_of(batch) is None:
        batch = tuple(batch)
    return example_weights.parts(batch)


def string_source(
    x: Any, batch_size: int | None, shuffle: bool = False
) -> tuple[Any, Source | None]:
    """Data that come in batches of texts, or with names of classes as targets.

    Args:
        x: what `fit` was given.
        batch_size: for texts that come one by one; `BATCH_SIZE` if None.
        shuffle: whether to shuffle the batches of a `PyDataset`.

    Returns:
        `x`, to be used from now on, as an iterator can be looked into only once; and
        its strings, or None if it holds none.
    """
    size = batch_size or BATCH_SIZE
    if data_adapters.is_tf_dataset(x):
        return x, _of_tensorflow(x, size)
    if isinstance(x, Iterator):
        if not (beginning := list(itertools.islice(x, 1))):
            return x, None
        (first,), x = beginning, _chained(beginning, x)
        if (has_texts := _has_texts(first)) is None:
            return x, None
        batches = _grouped(x, size) if _is_single(first) else x
        return x, Source(lambda: map(as_numpy, batches), has_texts, once=True)
    try:
        first = _first(x)
    except (IndexError, KeyError, NotImplementedError, TypeError):
        return x, None
    if first is None or (has_texts := _has_texts(first)) is None:
        return x, None
    if isinstance(x, data_adapters.py_dataset_adapter.PyDataset):
        inner = data_adapters.get_data_adapter(x, shuffle=shuffle)
        return x, Source(
            inner.get_numpy_iterator,
            has_texts,
            inner=inner,
            num_batches=inner.num_batches,
        )
    if data_adapters.is_torch_dataloader(x):
        return x, Source(lambda: map(as_numpy, x), has_texts)
    whole = x if not _is_single(first) else x.batch(size)
    return x, Source(lambda: map(as_numpy, whole), has_texts)


def _of_tensorflow(x: Any, size: int) -> Source | None:
    inputs, targets, _ = (tree.flatten(part) for part in parts_of(x.element_spec))
    if has_texts := _are_strings(inputs):
        if inputs[0].shape.rank == 0:
            x = x.batch(size)
    elif not _are_strings(targets):
        return None
    count = int(x.cardinality())
    known = count if count >= 0 else None
    return Source(x.as_numpy_iterator, has_texts, num_batches=known)


def _are_strings(leaves: list[Any]) -> bool:
    """Whether all arrays of TensorFlow's description of a batch hold strings."""
    dtypes = [str(getattr(leaf, "dtype", "")) for leaf in leaves]
    return bool(dtypes) and all("string" in dtype for dtype in dtypes)


def _first(x: Any) -> Any:
    """The first batch, or example, of data that can be looked into; else None."""
    if isinstance(x, data_adapters.py_dataset_adapter.PyDataset):
        return x[0]
    if data_adapters.is_torch_dataloader(x):
        return x.dataset[0]
    if data_adapters.is_grain_dataset(x):  # each `iter` begins anew
        return x[0] if hasattr(x, "__getitem__") else next(iter(x), None)
    return None


def _has_texts(batch: Any) -> bool | None:
    """Whether the inputs are texts; None if the targets are no strings either."""
    inputs, targets, _ = parts_of(batch)
    if segments_of(inputs) is not None:
        return True
    return None if targets is None or segments_of(targets) is None else False


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
