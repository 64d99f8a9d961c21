"""Data are checked before they are used, whatever brings them.

Arrays are checked whole, Python's iterators batch by batch, pipelines (DataLoader,
Grain, PyDataset, tf.data) by their first batch; what a step then sees is watched within
it (`zoo.training.checks.ranges`). TensorFlow's datasets run without Python: the
step alone sees them. `predict` has no such step, and every batch for it is checked.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import keras
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

from zoo.engine.batches import (
    CheckedBatches,
    are_arrays,
    as_numpy,
    fed,
    rows_of_arrays,
)
from zoo.training.checks import example_weights
from zoo.training.checks.ranges import Range
from zoo.training.phases import Batch


class ChecksData:
    """What a model says of its data, and how `fit`, `evaluate` and `predict` ask."""

    # Why weights of examples have no meaning for its losses, where they have none.
    weightless: ClassVar[str] = ""
    # Whether targets are classes, one for each example, for `class_weight` to weigh.
    class_targets: ClassVar[bool] = True
    plan: Any
    unpack: Any
    # What was found wrong with a batch; a backend may wrap the error in its own.
    _refusal: ValueError | None = None

    # === What a subclass states ===

    def check(self, batch: Batch) -> None:
        """Raises for NumPy arrays that the losses can't take.

        Their form is that of `prepare`'s argument. This checks `form`, `ranges` and
        weights; a subclass adds what only NumPy can see.
        """
        self.form(batch)
        for range_ in self.ranges(batch):
            range_.check()
        _, _, weights = example_weights.parts(batch)
        if weights is not None and (shapes := self.weight_shapes(batch)):
            example_weights.check_weights(weights, *shapes)

    def form(self, batch: Batch) -> None:
        """Raises for a batch that lacks an array, or has one of a wrong shape.

        Asked wherever a step is compiled as well: of the backend's tensors, of whose
        shapes some sizes may be None.
        """

    def ranges(self, batch: Batch) -> Sequence[Range]:
        """What the arrays of a batch may hold; it has passed `form`."""
        return ()

    def weight_shapes(self, batch: Batch) -> Sequence[tuple[int, ...]]:
        """The shapes that weights (x, y, weights) may have; empty where not checked."""
        return ()

    def check_inputs(self, inputs: Any) -> None:
        """Raises for NumPy arrays that the model can't be called with."""

    # === How it is asked ===

    def checked(self, arguments: dict, function: str) -> dict:
        """The arguments of `fit` or `evaluate`, their data checked or to be checked.

        Args:
            arguments: by name.
            function: the compiled step's attribute, `train_function` or
                `test_function`.
        """
        x, y = arguments["x"], arguments["y"]
        example_weights.check_arguments(self, arguments)
        if isinstance(x, Iterator):
            # Keras takes a generator of tuples, and no other kind of iterator.
            return {**arguments, "x": (self._checked_batch(batch) for batch in x)}
        if not are_arrays((x, y)):
            return fed(arguments, self._checked_batches)
        rows_of_arrays((x, y))
        arguments = example_weights.with_place(arguments)
        data = [arguments.get(name) for name in ("x", "y", "sample_weight")]
        self.check(self.unpack(as_numpy(data)))
        # Of arrays that had other numbers of axes before, such as weights, TensorFlow
        # would trace a step that knows no number of axes at all.
        ranks = [
            len(leaf.shape) for leaf in keras.tree.flatten(data) if leaf is not None
        ]
        if self.__dict__.setdefault(f"_ranks_of_{function}", ranks) != ranks:
            self.__dict__[f"_ranks_of_{function}"] = ranks
            setattr(self, function, None)
        return arguments

    def _checked_batches(self, inner: DataAdapter) -> CheckedBatches:
        def form(batch: Any) -> None:
            self.form(self.unpack(batch))

        return CheckedBatches(inner, self._look, form)

    def checked_inputs(self, arguments: dict) -> dict:
        """Likewise, of `predict`."""
        x = arguments["x"]
        if are_arrays(x):
            rows_of_arrays(x)
            self.check_inputs(as_numpy(x))
            return arguments

        def look(batch: Any) -> None:
            with self._noted():
                self.check_inputs(keras.utils.unpack_x_y_sample_weight(batch)[0])

        def wrapped(inner: DataAdapter) -> CheckedBatches:
            return CheckedBatches(inner, look)

        return fed(arguments, wrapped)

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Within, what was found wrong is raised as such.

        TensorFlow wraps what Python raises in an error of its own.
        """
        self.__dict__["_refusal"] = None
        try:
            yield
        except (ValueError, FloatingPointError):
            raise
        except Exception as error:
            if self._refusal is not None:
                raise self._refusal from error
            raise

    def _look(self, batch: Any) -> None:
        with self._noted():
            self.check(self.unpack(batch))

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            self.__dict__["_refusal"] = error
            raise

    def _checked_batch(self, batch: Any) -> tuple:
        self._look(as_numpy(batch))
        return tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
