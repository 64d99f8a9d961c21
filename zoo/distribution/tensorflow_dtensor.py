"""TensorFlow on a mesh: DTensor, under Keras's own `fit`.

Variables, batches and everything in between are global arrays; each device holds a
part. Keras is unaware of this: its variables are replaced as it makes them, and batches
are laid out before each step, which is compiled for the mesh.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import tree
from tensorflow.experimental import dtensor

from zoo.distribution.gathering import GathersAtUse
from zoo.engine.interface.loops import unrolled, unrolled_scan
from zoo.engine.layout import DATA, MODEL, Axes
from zoo.engine.tensorflow.devices import (
    MORE_DEVICES,
    kind,
    refuse_keras_distribution,
    refuse_other_processes,
    refuse_scope,
    refuse_use_within,
)
from zoo.engine.tensorflow.engine import TensorFlowEngine
from zoo.engine.tensors import Function, Tensor, Variables


class DTensorEngine(GathersAtUse, TensorFlowEngine):
    """The engine for TensorFlow's DTensor."""

    # A step for the mesh can't read a seed that is not on the mesh.
    places_seeds = True

    MORE_DEVICES = MORE_DEVICES

    @staticmethod
    def count_devices() -> int:
        """Counts GPUs, or else logical CPUs, without starting TensorFlow."""
        refuse_other_processes()
        physical = tf.config.list_physical_devices(kind())
        logical = [tf.config.get_logical_device_configuration(d) for d in physical]
        return sum(len(parts or [None]) for parts in logical)

    def refuse_others(self, training: bool) -> None:
        """Raises if Keras has a distribution, or a strategy's scope is open."""
        refuse_keras_distribution(training)
        refuse_scope()

    def jit_compile(self, model: Any, asked: bool | str) -> bool | str:
        """Off: the step is compiled for the mesh instead."""
        del model, asked
        return False

    def reflect(self, x: Tensor, size: int, axes: tuple[int, int]) -> Tensor:
        """Pads row by row: DTensor does not support MirrorPad."""
        for axis in axes:
            length = x.shape[axis]
            mirrored = [*range(size, 0, -1)], range(length - 2, length - 2 - size, -1)
            before, after = ([_row(x, i, axis) for i in each] for each in mirrored)
            x = tf.concat([*before, x, *after], axis=axis)
        return x

    def enter(self) -> None:
        """Starts DTensor; variables made from here on are cut."""
        refuse_use_within()
        # With combined all-reduces, optimizers read stale slots: Adam is silently
        # wrong (TensorFlow 2.21).
        os.environ["DTENSOR_ENABLE_COMBINE_ALL_REDUCES_OPTIMIZATION"] = "0"
        if not _started:
            try:
                _started.append(dtensor.initialize_accelerator_system(kind()))
            except ValueError as error:
                raise ValueError(
                    "DTensor must start before anything uses TensorFlow in a process. "
                    "Call zoo.distribution.use at the top of the script, before you "
                    "set seeds or make models and tensors."
                ) from error
        names = [f"{kind()}:{index}" for index in range(self.mesh.size)]
        self.devices = dtensor.create_mesh(
            [(DATA, self.mesh.data), (MODEL, self.mesh.model)], devices=names
        )
        self._context = contextlib.ExitStack()
        self._context.enter_context(self.patched_variables())
        self._context.enter_context(_axes_spelt_out())
        self._context.enter_context(_averages_swapped_by_value())

    def exit(self) -> None:
        """Restores Keras's own variables."""
        self._context.close()

    # === Variables ===

    def _layout(self, axes: Axes) -> dtensor.Layout:
        specs = [dtensor.UNSHARDED if axis is None else axis for axis in axes]
        return dtensor.Layout(specs, self.devices)

    def _laid(self, value: Tensor, axes: Axes) -> Tensor:
        """Lays a plain tensor out on the mesh."""
        whole = dtensor.copy_to_mesh(value, self._layout((None,) * len(value.shape)))
        return dtensor.relayout(whole, self._layout(axes))

    def place(self, variable: Any, axes: Axes) -> None:
        """Replaces the TensorFlow variable that Keras has just made."""
        value = self._laid(tf.convert_to_tensor(variable._value), axes)
        variable._value = dtensor.DVariable(
            value, trainable=variable.trainable, name=variable.name
        )

    def reads_whole(self) -> bool:
        """True outside of a step, where DTensors can't be mixed with plain tensors.

        Layers and whole models can thus be called there as on one device.
        """
        return tf.executing_eagerly()

    def gather(self, value: Tensor, axes: Axes) -> Tensor:
        """Differentiable: its backward pass cuts the summed gradient."""
        return dtensor.relayout(value, self._layout(axes))

    def direct_assign(self, variable: Any, value: Any, original: Function) -> None:
        """Outside of a step, lays a plain value out first."""
        if tf.executing_eagerly() and isinstance(variable._value, dtensor.DVariable):
            value = tf.cast(value, variable._value.dtype)
            if not dtensor.is_dtensor(value):
                value = self._laid(value, variable._layout)
        original(variable, value)

    def whole(self, value: Any) -> Any:
        """Gathers a value from all devices into a plain tensor."""
        value = getattr(value, "_value", value)
        if isinstance(value, dtensor.DVariable):
            value = value.read_value()
        if tf.is_tensor(value) and dtensor.is_dtensor(value):
            value = dtensor.relayout(value, self._layout((None,) * len(value.shape)))
            value = dtensor.unpack(value)[0]
        return value

    def held_bytes(self, variables: Variables) -> list[int]:
        """Bytes on each device."""
        counts = [0] * self.mesh.size
        for variable in variables:
            for index, piece in enumerate(dtensor.unpack(variable._value.read_value())):
                counts[index] += piece.numpy().nbytes
        return counts

    # === Steps ===

    def step_function(self, model: Any, name: str, step: Function) -> Function:
        """Lays out each batch, then runs the step that was compiled for the mesh.

        With several steps per execution, they run one after the other: batches are laid
        out outside of the step.
        """
        compiled = tf.function(self._stored_step(step, name), autograph=False)
        # TensorFlow mistakes functions made on one line for one that is retraced.
        compiled._omit_frequent_tracing_warning = True

        def run(data: Any) -> Any:
            data = tree.map_structure(self._batch, data)
            with dtensor.default_mesh(self.devices):
                return tree.map_structure(self.whole, compiled(data))

        def predict(batches: Sequence[Any]) -> Any:
            outputs = [run(batch) for batch in batches]
            return tree.map_structure(lambda *parts: tf.concat(parts, 0), *outputs)

        def execute(iterator: Iterator[Any]) -> Any:
            logs = run(next(iterator))
            # The last execution of an epoch may have fewer steps.
            for batch in itertools.islice(iterator, model.steps_per_execution - 1):
                logs = run(batch)
            return logs

        return predict if name == "predict_function" else execute

    def _stored_step(self, step: Function, name: str) -> Function:
        def stored(data: Any) -> Any:
            with self.stored() if name == "train_function" else self.used():
                return step(data)

        return stored

    def _batch(self, x: Any) -> Tensor | None:
        if x is None or isinstance(x, tf.experimental.Optional):
            return None
        x = tf.convert_to_tensor(x)
        cut = x.shape.rank and x.shape[0] % self.mesh.data == 0
        return self._laid(x, (DATA if cut else None,) + (None,) * (x.shape.rank - 1))

    def average(self, gradients: list[Tensor], variables: Variables) -> list[Tensor]:
        """Cuts each gradient like its variable."""
        return [
            dtensor.relayout(g, self._layout(v._layout))
            for g, v in zip(gradients, variables, strict=True)
        ]

    def repeat(self, function: Callable[[Tensor], Any], count: int) -> Any:
        """Unrolled: DTensor does not support loops."""
        return unrolled(function, count)

    def scan(
        self,
        function: Callable[[Tensor, list[Tensor]], tuple[Tensor, Tensor]],
        state: Tensor,
        inputs: Sequence[Tensor],
        reverse: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Unrolled: DTensor does not support loops."""
        return unrolled_scan(function, state, inputs, reverse)

    def custom_gradient(self, function: Function) -> Callable[..., Tensor]:
        """Leaves the gradient to the tape: DTensor crashes on `tf.custom_gradient`."""
        return lambda *arrays: function(*arrays)[0]

    def when(
        self, condition: Tensor, function: Callable[[], None], variables: Variables
    ) -> None:
        """Runs the function and undoes it if needed: DTensor has no branches either."""
        before = self.copies(variables)
        function()
        for variable, value in zip(variables, before, strict=True):
            variable.assign(self.select(condition, variable.value, value))

    def select(self, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Broadcasts the scalar condition first: DTensor crashes if it has to."""
        return tf.where(tf.broadcast_to(condition, tf.shape(a)), a, b)


_started: list[Any] = []


@contextlib.contextmanager
def _axes_spelt_out() -> Iterator[None]:
    """Within, `x[0]` is read as `x[0, :, :]`, with as many axes as `x` has.

    If a slice leaves out axes that are cut, DTensor silently gives wrong numbers, and
    with a new axis (`x[:, None]`) it crashes the process (TensorFlow 2.21).
    """
    sliced = (tf.Tensor, tf.Variable)
    originals = [each.__getitem__ for each in sliced]

    def spelling(original: Function) -> Function:
        def __getitem__(x: Any, spec: Any) -> Any:
            return original(x, _spelt_out(spec, x.shape.rank))

        return __getitem__

    for each, original in zip(sliced, originals, strict=True):
        each.__getitem__ = spelling(original)
    try:
        yield
    finally:
        for each, original in zip(sliced, originals, strict=True):
            each.__getitem__ = original


@contextlib.contextmanager
def _averages_swapped_by_value() -> Iterator[None]:
    """Within, Keras's callback swaps averages as on other backends.

    On TensorFlow it writes into what it has read, which here is a copy.
    """
    kind = keras.callbacks.SwapEMAWeights
    originals = kind._tf_swap_variables, kind._tf_finalize_ema_values
    kind._tf_swap_variables = kind._backend_swap_variables
    kind._tf_finalize_ema_values = kind._backend_finalize_ema_values
    try:
        yield
    finally:
        kind._tf_swap_variables, kind._tf_finalize_ema_values = originals


def _spelt_out(spec: Any, rank: int | None) -> Any:
    """The same slice with every axis given; leaves masks and unknown ranks alone."""
    if rank is None or getattr(spec, "ndim", None):
        return spec
    parts = list(spec) if isinstance(spec, tuple | list) else [spec]
    named = sum(part is not None and part is not ... for part in parts)
    rest = [slice(None)] * (rank - named)
    at = next((i for i, part in enumerate(parts) if part is ...), len(parts))
    return (*parts[:at], *rest, *parts[at + 1 :])


def _row(x: Tensor, index: int, axis: int) -> Tensor:
    """One row of images (B, H, W, C), as (B, 1, W, C), or one column."""
    return x[:, index : index + 1] if axis == 1 else x[:, :, index : index + 1]
