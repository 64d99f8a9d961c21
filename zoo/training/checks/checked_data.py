"""Checks data from any source before they are used.

Arrays are checked as a whole, Python iterators batch by batch, and pipelines
(DataLoader, Grain, PyDataset, tf.data) by their first batch; the step itself watches
all later batches (`zoo.training.checks.ranges`). TensorFlow's datasets run without
Python, so only the step sees them. `predict` has no such step, so all its batches are
checked.
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
    """A model's checks of its data, used by `fit`, `evaluate` and `predict`."""

    # Why example weights are meaningless for the losses; empty if they are not.
    weightless: ClassVar[str] = ""
    # Whether targets are one class per example, which `class_weight` can weight.
    class_targets: ClassVar[bool] = True
    plan: Any
    unpack: Any
    # The error found in a batch; a backend may wrap it in an error of its own.
    _refusal: ValueError | None = None

    # === What a subclass defines ===

    def check(self, batch: Batch) -> None:
        """Raises for NumPy arrays that the losses can't take.

        Checks `form`, `ranges` and weights; a subclass adds what only NumPy can see.

        Args:
            batch: NumPy arrays, structured as the argument of `prepare`.

        Raises:
            ValueError: the batch is invalid.
        """
        self.form(batch)
        for range_ in self.ranges(batch):
            range_.check()
        _, _, weights = example_weights.parts(batch)
        if weights is not None and (shapes := self.weight_shapes(batch)):
            example_weights.check_weights(weights, *shapes)

    def form(self, batch: Batch) -> None:
        """Raises for a batch that lacks an array or has one of the wrong shape.

        Also called when a step is compiled, on the backend's tensors, whose shapes may
        contain None.

        Raises:
            ValueError: an array is missing or has the wrong shape.
        """

    def ranges(self, batch: Batch) -> Sequence[Range]:
        """The ranges of a batch's arrays; called after `form`."""
        return ()

    def weight_shapes(self, batch: Batch) -> Sequence[tuple[int, ...]]:
        """The allowed shapes of the weights in (x, y, weights); empty: not checked."""
        return ()

    def check_inputs(self, inputs: Any) -> None:
        """Raises a ValueError for NumPy arrays that the model can't be called with."""

    # === Where the checks are called ===

    def checked(self, arguments: dict, function: str) -> dict:
        """The arguments of `fit` or `evaluate`, with data checked now or on the way.

        Args:
            arguments: the arguments by name.
            function: attribute of the compiled step, `train_function` or
                `test_function`.

        Raises:
            ValueError: the data or weights are invalid.
        """
        x, y = arguments["x"], arguments.get("y")
        example_weights.check_arguments(self, arguments)
        if isinstance(x, Iterator):
            # Of all iterators, Keras only takes generators of tuples.
            return {**arguments, "x": (self._checked_batch(batch) for batch in x)}
        if not are_arrays((x, y)):
            return fed(arguments, self._checked_batches)
        rows_of_arrays((x, y))
        arguments = example_weights.with_place(arguments)
        data = [arguments.get(name) for name in ("x", "y", "sample_weight")]
        self.check(self.unpack(as_numpy(data)))
        # If the ranks of arrays such as weights changed since the last call, TensorFlow
        # would trace a step with unknown ranks.
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
        """The arguments of `predict`, with data checked now or batch by batch."""
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
        """Within the block, errors found in batches are raised unwrapped.

        TensorFlow wraps Python errors in errors of its own.
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
