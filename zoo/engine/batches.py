"""Batches that the devices can share: training drops those that do not divide."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import tree

# Keras accepts custom adapters, but does not export the class.
from keras.src.trainers import data_adapters
from keras.src.trainers.data_adapters import data_adapter_utils
from keras.src.trainers.data_adapters.data_adapter import DataAdapter
from keras.src.utils.module_utils import tensorflow as tf

from zoo.engine.tensors import Function

NO_BATCH = "The data must give at least one batch, got none."
FEEDING = {
    "x": None,
    "y": None,
    "sample_weight": None,
    "batch_size": None,
    "steps_per_epoch": None,
    "steps": None,
    "shuffle": False,
    "class_weight": None,
}


def bound(
    function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Arguments by name, with defaults, as a call of `function` would see them."""
    arguments = inspect.signature(function).bind(*args, **kwargs)
    arguments.apply_defaults()
    found = dict(arguments.arguments)
    return found | found.pop("kwargs", {})


def adapted(
    arguments: dict[str, Any], divisor: int, local: Function | None = None
) -> dict[str, Any]:
    """The same arguments, with the data wrapped in one adapter of divisible batches.

    Args:
        arguments: of `fit`, `evaluate` or `predict`, by name.
        divisor: must divide the number of rows of a batch.
        local: takes this process's rows of an array; by default, all rows.

    Raises:
        ValueError: `divisor` does not divide the batch size.
    """
    return fed(arguments, lambda inner: WholeBatches(inner, divisor, local))


def fed(
    arguments: dict[str, Any], wrapped: Callable[[DataAdapter], DataAdapter]
) -> dict[str, Any]:
    """The same arguments, with the data as Keras's adapter, wrapped by `wrapped`."""
    data = {name: arguments.get(name, FEEDING[name]) for name in FEEDING}
    steps = data.pop("steps")
    data["steps_per_epoch"] = data["steps_per_epoch"] or steps
    adapter = wrapped(data_adapters.get_data_adapter(**data))
    # Keras's fit would reuse an iterator over the validation data as first given.
    dropped = (*FEEDING, "_use_cached_eval_dataset")
    kept = {k: v for k, v in arguments.items() if k not in dropped}
    if "shuffle" in arguments:
        kept["shuffle"] = False
    for name in ("steps_per_epoch", "steps"):
        if name in arguments:
            kept[name] = arguments[name]
    return {"x": adapter, **kept}


def are_arrays(data: Any) -> bool:
    """Whether the data are in-memory arrays, of NumPy or of any backend."""
    leaves = [x for x in tree.flatten(data) if x is not None]
    return bool(leaves) and all(
        isinstance(x, np.ndarray) or is_tensor(x) for x in leaves
    )


def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor of any backend, in use or not."""
    adapter = data_adapter_utils
    return (
        keras.ops.is_tensor(x)
        or adapter.is_tensorflow_tensor(x)
        or adapter.is_torch_tensor(x)
        or adapter.is_jax_array(x)
    )


def as_numpy(batch: Any) -> Any:
    """A batch with its tensors converted to NumPy arrays."""
    return next(iter(data_adapter_utils.get_numpy_iterator([batch])))


def rows_of_arrays(data: Any) -> int:
    """The number of rows of arrays.

    Raises:
        ValueError: there are none.
    """
    rows = min(len(x) for x in tree.flatten(data) if x is not None)
    if not rows:
        raise ValueError("The arrays must have at least one row, got none.")
    return rows


def rows_of(batch: Any) -> int:
    """The number of rows of a batch of arrays, in any structure that Keras takes."""
    return next(x.shape[0] for x in tree.flatten(batch) if x is not None)


class _Wrapping(DataAdapter):
    """A Keras data adapter that delegates to another one."""

    inner: DataAdapter

    @property
    def builtin_prefetch(self) -> bool:
        """Whether the inner adapter prefetches by itself."""
        return getattr(self.inner, "builtin_prefetch", False)

    @property
    def num_batches(self) -> int | None:
        """The number of batches; None if unknown."""
        return self.inner.num_batches

    @property
    def batch_size(self) -> int | None:
        """Rows per batch, over all devices."""
        return self.inner.batch_size

    @property
    def has_partial_batch(self) -> bool:
        """Whether the last batch is smaller than the others."""
        return bool(self.inner.has_partial_batch)

    @property
    def partial_batch_size(self) -> int | None:
        """Rows of the smaller last batch."""
        return self.inner.partial_batch_size

    def on_epoch_begin(self) -> None:
        """Forwards the call."""
        self.inner.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """Forwards the call."""
        self.inner.on_epoch_end()


class CheckedBatches(_Wrapping):
    """A Keras data adapter that checks batches before they are used.

    Args:
        inner: the adapter to wrap.
        look: takes a batch as NumPy arrays, and raises if it is invalid.
        form: the same for the shapes alone. If given, the step checks batches too, so
            only the first batch of each pass over the data is checked here, and only
            the shapes of TensorFlow's own datasets, which run without Python. If not,
            every batch is checked.
    """

    def __init__(
        self,
        inner: DataAdapter,
        look: Callable[[Any], None],
        form: Callable[[Any], None] | None = None,
    ) -> None:
        self.inner, self.look, self.form = inner, look, form

    def _checked(self, batches: Iterable[Any], narrows: bool = False) -> Iterator[Any]:
        """Checks batches as they pass.

        Args:
            batches: to check.
            narrows: whether the step sees 64-bit integers as 32-bit ones, and so can't
                check them.
        """
        index = -1
        for index, batch in enumerate(batches):
            if index == 0 or self.form is None or (narrows and _is_wide(batch)):
                self.look(as_numpy(batch))
            yield batch
        if index < 0:
            raise ValueError(NO_BATCH)

    def get_numpy_iterator(self) -> Iterator[Any]:
        """Checked batches of NumPy arrays."""
        return self._checked(self.inner.get_numpy_iterator())

    def get_jax_iterator(self) -> Iterator[Any]:
        """Checked batches of arrays."""
        return self._checked(self.inner.get_jax_iterator(), narrows=True)

    def get_torch_dataloader(self) -> Iterable[Any]:
        """Checked batches of tensors."""
        return _Iterable(lambda: self._checked(self.inner.get_torch_dataloader()))

    def get_tf_dataset(self) -> Any:
        """A dataset of checked batches."""
        dataset = self.inner.get_tf_dataset()
        batches = self.inner.get_numpy_iterator
        if self.form is not None:
            self.form(dataset.element_spec)
        if isinstance(self.inner, data_adapters.TFDatasetAdapter):
            if self.form is not None:
                return dataset
            batches = dataset.as_numpy_iterator
        checked = tf.data.Dataset.from_generator(
            lambda: self._checked(batches()), output_signature=dataset.element_spec
        )
        return _untuned(checked)


class WholeBatches(_Wrapping):
    """A Keras data adapter that drops the batches that `divisor` does not divide.

    Attributes:
        rest: the batches dropped in the last pass over the data, in order.
    """

    def __init__(
        self, inner: DataAdapter, divisor: int, local: Function | None = None
    ) -> None:
        self.inner, self.divisor, self.local = inner, divisor, local
        self.rest: list[Any] = []
        if inner.batch_size is not None:
            rows = inner.batch_size
            if inner.num_batches == 1 and inner.has_partial_batch:
                rows = inner.partial_batch_size
            self._check(rows)

    def _check(self, rows: int) -> None:
        if rows % self.divisor:
            raise ValueError(
                f"A batch of {rows} rows can't be cut into {self.divisor} equal parts "
                "(devices on the data axis times accumulate). Choose a batch_size "
                f"that is a multiple of {self.divisor}."
            )

    def _whole(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Reads one batch ahead: Keras stops asking after the last whole batch."""
        self.rest.clear()
        ready: list[Any] = []
        for index, batch in enumerate(batches):
            rows = rows_of(batch)
            if rows % self.divisor == 0:
                yield from ready
                ready = [tree.map_structure(self._rows, batch) if self.local else batch]
            elif index == 0:
                self._check(rows)
            else:
                self.rest.append(batch)
        yield from ready

    def _rows(self, x: Any) -> Any:
        return x if x is None else self.local(x)  # type: ignore[misc]

    def get_numpy_iterator(self) -> Iterator[Any]:
        """Whole batches of NumPy arrays."""
        return self._whole(self.inner.get_numpy_iterator())

    def get_jax_iterator(self) -> Iterator[Any]:
        """Whole batches of arrays, this process's rows of them."""
        return self._whole(self.inner.get_jax_iterator())

    def get_torch_dataloader(self) -> Iterable[Any]:
        """Whole batches of tensors; every process gets all rows."""
        return _Iterable(lambda: self._whole(self.inner.get_torch_dataloader()))

    def get_tf_dataset(self) -> Any:
        """A dataset of whole batches, autotuned only if the user made the dataset."""

        def divides(*batch: Any) -> Any:
            first = next(x for x in tree.flatten(batch) if x is not None)
            return keras.ops.equal(tf.shape(first)[0] % self.divisor, 0)

        dataset = self.inner.get_tf_dataset()
        if not isinstance(self.inner, data_adapters.TFDatasetAdapter):
            dataset = _untuned(dataset)
        return dataset if self.divisor == 1 else dataset.filter(divides)

    @property
    def num_batches(self) -> int | None:
        """The number of whole batches; None if unknown."""
        if self.inner.num_batches is None:
            return None
        return self.inner.num_batches - bool(self._ragged())

    def _ragged(self) -> int:
        partial = self.inner.has_partial_batch and self.inner.partial_batch_size
        return (partial or 0) % self.divisor

    @property
    def has_partial_batch(self) -> bool:
        """Whether the last batch is smaller but still divides."""
        return bool(self.inner.has_partial_batch) and not self._ragged()

    @property
    def partial_batch_size(self) -> int | None:
        """Rows of the smaller last batch, if it divides."""
        return self.inner.partial_batch_size if self.has_partial_batch else None


def _untuned(dataset: Any) -> Any:
    """The same dataset without TensorFlow's autotuning, for one that Python feeds.

    On release it would wait for the autotuning to end, sometimes for as long as all
    batches took (TensorFlow 2.21).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _is_wide(batch: Any) -> bool:
    """Whether a batch has integers that don't fit int32."""
    wide = ("int64", "uint64", "uint32")
    return any(str(getattr(x, "dtype", "")) in wide for x in tree.flatten(batch))


class _Iterable:
    """Makes a new iterator each time it is iterated over."""

    def __init__(self, start: Callable[[], Iterator[Any]]) -> None:
        self._start = start

    def __iter__(self) -> Iterator[Any]:
        return self._start()
