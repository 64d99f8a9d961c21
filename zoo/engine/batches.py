"""Batches that the devices can share: what does not divide is dropped in training."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import tree

# Keras takes adapters of one's own, but does not export the class.
from keras.src.trainers import data_adapters
from keras.src.trainers.data_adapters import data_adapter_utils
from keras.src.trainers.data_adapters.data_adapter import DataAdapter
from keras.src.utils.module_utils import tensorflow as tf

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


def bound(function: Callable, args: tuple, kwargs: dict) -> dict[str, Any]:
    """Arguments by name, with defaults, as a call of `function` would see them."""
    arguments = inspect.signature(function).bind(*args, **kwargs)
    arguments.apply_defaults()
    found = dict(arguments.arguments)
    return found | found.pop("kwargs", {})


def adapted(arguments: dict, divisor: int, local: Callable | None = None) -> dict:
    """The same arguments with their data as one adapter of divisible batches.

    Args:
        arguments: of `fit`, `evaluate` or `predict`, by name.
        divisor: what must divide a batch's rows.
        local: takes this process's rows of an array; default is all.

    Raises:
        ValueError: no batch can be divided.
    """
    return fed(arguments, lambda inner: WholeBatches(inner, divisor, local))


def fed(arguments: dict, wrapped: Callable[[DataAdapter], DataAdapter]) -> dict:
    """The same arguments with their data as what `wrapped` makes of Keras's adapter."""
    data = {name: arguments.get(name, FEEDING[name]) for name in FEEDING}
    steps = data.pop("steps")
    data["steps_per_epoch"] = data["steps_per_epoch"] or steps
    adapter = wrapped(data_adapters.get_data_adapter(**data))
    # Keras's fit keeps an iterator over the validation data as it was given.
    dropped = (*FEEDING, "_use_cached_eval_dataset")
    kept = {k: v for k, v in arguments.items() if k not in dropped}
    if "shuffle" in arguments:
        kept["shuffle"] = False
    for name in ("steps_per_epoch", "steps"):
        if name in arguments:
            kept[name] = arguments[name]
    return {"x": adapter, **kept}


def are_arrays(data: Any) -> bool:
    """Whether it is arrays, of NumPy or of a backend, all of whose rows are at hand."""
    leaves = [x for x in tree.flatten(data) if x is not None]
    return bool(leaves) and all(
        isinstance(x, np.ndarray) or is_tensor(x) for x in leaves
    )


def is_tensor(x: Any) -> bool:
    """Whether it is an array of one of the backends, this one's or another's."""
    adapter = data_adapter_utils
    return (
        keras.ops.is_tensor(x)
        or adapter.is_tensorflow_tensor(x)
        or adapter.is_torch_tensor(x)
        or adapter.is_jax_array(x)
    )


def as_numpy(batch: Any) -> Any:
    """A batch, its tensors as NumPy arrays."""
    return next(iter(data_adapter_utils.get_numpy_iterator([batch])))


def rows_of_arrays(data: Any) -> int:
    """How many rows arrays have; raises if there are none."""
    rows = min(len(x) for x in tree.flatten(data) if x is not None)
    if not rows:
        raise ValueError("The arrays have no rows: there is no data in them.")
    return rows


def rows_of(batch: Any) -> int:
    """Rows of a batch of arrays, its structure being Keras's."""
    return next(x.shape[0] for x in tree.flatten(batch) if x is not None)


class _Wrapping(DataAdapter):
    """A Keras data adapter around another one, from which it differs in few things."""

    inner: DataAdapter

    @property
    def builtin_prefetch(self) -> bool:
        """As the inner adapter's."""
        return getattr(self.inner, "builtin_prefetch", False)

    @property
    def num_batches(self) -> int | None:
        """Likewise."""
        return self.inner.num_batches

    @property
    def batch_size(self) -> int | None:
        """Rows in all, over all devices."""
        return self.inner.batch_size

    @property
    def has_partial_batch(self) -> bool:
        """As the inner adapter's."""
        return bool(self.inner.has_partial_batch)

    @property
    def partial_batch_size(self) -> int | None:
        """Likewise."""
        return self.inner.partial_batch_size

    def on_epoch_begin(self) -> None:
        """Passed on."""
        self.inner.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """Passed on."""
        self.inner.on_epoch_end()


class CheckedBatches(_Wrapping):
    """A Keras data adapter whose first batches are looked at before they are used.

    Args:
        inner: the adapter.
        look: takes a batch as NumPy arrays, and raises for one that is no good.
        form: the same for the shapes alone. With it, the step looks at batches too:
            then the first of each run through the data is looked at here, and of
            TensorFlow's own datasets, which run without Python, only the shapes.
            Without it, all batches are.
    """

    def __init__(
        self,
        inner: DataAdapter,
        look: Callable[[Any], None],
        form: Callable[[Any], None] | None = None,
    ) -> None:
        self.inner, self.look, self.form = inner, look, form

    def _checked(self, batches: Iterable, narrows: bool = False) -> Iterator:
        """`narrows`: whether the step sees 64 bits as 32, so that it can't look."""
        index = -1
        for index, batch in enumerate(batches):
            if index == 0 or self.form is None or (narrows and _is_wide(batch)):
                self.look(as_numpy(batch))
            yield batch
        if index < 0:
            raise ValueError("The data gave no batch: there is nothing in them.")

    def get_numpy_iterator(self) -> Iterator:
        """Arrays."""
        return self._checked(self.inner.get_numpy_iterator())

    def get_jax_iterator(self) -> Iterator:
        """Arrays."""
        return self._checked(self.inner.get_jax_iterator(), narrows=True)

    def get_torch_dataloader(self) -> Iterable:
        """Tensors."""
        return _Iterable(lambda: self._checked(self.inner.get_torch_dataloader()))

    def get_tf_dataset(self) -> Any:
        """A dataset; see the class."""
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
    """A Keras data adapter without the batches that `divisor` does not divide.

    Attributes:
        rest: the batches passed over in the last run through the data, in order.
    """

    def __init__(
        self, inner: DataAdapter, divisor: int, local: Callable | None = None
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

    def _whole(self, batches: Iterable) -> Iterator:
        """Looks one batch ahead, since Keras does not ask past the last whole one."""
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

    def get_numpy_iterator(self) -> Iterator:
        """Arrays."""
        return self._whole(self.inner.get_numpy_iterator())

    def get_jax_iterator(self) -> Iterator:
        """Arrays, this process's rows of them."""
        return self._whole(self.inner.get_jax_iterator())

    def get_torch_dataloader(self) -> Iterable:
        """Tensors; every process is fed the whole batch."""
        return _Iterable(lambda: self._whole(self.inner.get_torch_dataloader()))

    def get_tf_dataset(self) -> Any:
        """A dataset, tuned by TensorFlow only where the user made it."""

        def divides(*batch):
            first = next(x for x in tree.flatten(batch) if x is not None)
            return keras.ops.equal(tf.shape(first)[0] % self.divisor, 0)

        dataset = self.inner.get_tf_dataset()
        if not isinstance(self.inner, data_adapters.TFDatasetAdapter):
            dataset = _untuned(dataset)
        return dataset if self.divisor == 1 else dataset.filter(divides)

    @property
    def num_batches(self) -> int | None:
        """As many as will come, where that is known."""
        if self.inner.num_batches is None:
            return None
        return self.inner.num_batches - bool(self._ragged())

    def _ragged(self) -> int:
        partial = self.inner.has_partial_batch and self.inner.partial_batch_size
        return (partial or 0) % self.divisor

    @property
    def has_partial_batch(self) -> bool:
        """Whether the last batch is smaller and yet divides."""
        return bool(self.inner.has_partial_batch) and not self._ragged()

    @property
    def partial_batch_size(self) -> int | None:
        """Its size."""
        return self.inner.partial_batch_size if self.has_partial_batch else None


def _untuned(dataset: Any) -> Any:
    """A dataset that Python feeds, and that TensorFlow does not tune.

    When Keras is done with it, it would wait for the end of the tuning, at times as
    long as all batches took (TensorFlow 2.21).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _is_wide(batch: Any) -> bool:
    """Whether a batch has whole numbers of more than 32 bits, or of 32 without sign."""
    wide = ("int64", "uint64", "uint32")
    return any(str(getattr(x, "dtype", "")) in wide for x in tree.flatten(batch))


class _Iterable:
    """Calls for a new iterator each time it is iterated over."""

    def __init__(self, start: Callable[[], Iterator]) -> None:
        self._start = start

    def __iter__(self) -> Iterator:
        return self._start()
