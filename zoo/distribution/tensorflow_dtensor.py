"""TensorFlow on a mesh: DTensor, under Keras's own `fit`.

Variables, batches and all between them are global arrays, of which a device holds a
part. Keras knows nothing of it: variables are swapped as it makes them, and batches are
laid out before each step, which is compiled for the mesh.
"""

import contextlib
import itertools
import os

import keras
import tensorflow as tf
from keras import tree
from tensorflow.experimental import dtensor

from zoo.distribution.gathering import GathersAtUse
from zoo.engine.interface.loops import unrolled, unrolled_scan
from zoo.engine.layout import DATA, MODEL
from zoo.engine.tensorflow.devices import (
    MORE_DEVICES,
    kind,
    refuse_keras_distribution,
    refuse_other_processes,
    refuse_scope,
    refuse_use_within,
)
from zoo.engine.tensorflow.engine import TensorFlowEngine


class DTensorEngine(GathersAtUse, TensorFlowEngine):
    """See `zoo.engine.base.Engine`."""

    # Inside a step for the mesh, a seed that lies elsewhere can't be read.
    places_seeds = True

    MORE_DEVICES = MORE_DEVICES

    @staticmethod
    def count_devices() -> int:
        """GPUs, or else logical CPUs; counted without starting TensorFlow."""
        refuse_other_processes()
        physical = tf.config.list_physical_devices(kind())
        logical = [tf.config.get_logical_device_configuration(d) for d in physical]
        return sum(len(parts or [None]) for parts in logical)

    def refuse_others(self, training):
        """A strategy's scope inside of the block."""
        refuse_keras_distribution(training)
        refuse_scope()

    def jit_compile(self, model, asked):
        """The step is compiled for the mesh instead."""
        del model, asked
        return False

    def reflect(self, x, size, axes):
        """Row by row: DTensor lays out no MirrorPad."""
        for axis in axes:
            length = x.shape[axis]
            mirrored = [*range(size, 0, -1)], range(length - 2, length - 2 - size, -1)
            before, after = ([_row(x, i, axis) for i in each] for each in mirrored)
            x = tf.concat([*before, x, *after], axis=axis)
        return x

    def enter(self) -> None:
        """Starts DTensor; from here on variables are cut as they are made."""
        refuse_use_within()
        # With all-reduces combined, optimizers read stale slots: Adam goes wrong
        # silently (TensorFlow 2.21).
        os.environ["DTENSOR_ENABLE_COMBINE_ALL_REDUCES_OPTIMIZATION"] = "0"
        if not _started:
            try:
                _started.append(dtensor.initialize_accelerator_system(kind()))
            except ValueError as error:
                raise ValueError(
                    "DTensor has to start before TensorFlow is first used in a "
                    "process: call zoo.distribution.use at the top of the script, "
                    "before seeds are set or models and tensors are made."
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
        """Gives Keras its variables back."""
        self._context.close()

    # === Variables ===

    def _layout(self, axes):
        specs = [dtensor.UNSHARDED if axis is None else axis for axis in axes]
        return dtensor.Layout(specs, self.devices)

    def _laid(self, value, axes):
        """A plain tensor on the mesh."""
        whole = dtensor.copy_to_mesh(value, self._layout((None,) * len(value.shape)))
        return dtensor.relayout(whole, self._layout(axes))

    def place(self, variable, axes):
        """Swaps the variable that Keras has just made."""
        value = self._laid(tf.convert_to_tensor(variable._value), axes)
        variable._value = dtensor.DVariable(
            value, trainable=variable.trainable, name=variable.name
        )

    def reads_whole(self):
        """Outside of a step, where DTensor takes no plain tensors beside its own.

        Layers and whole models can be called there as on one device.
        """
        return tf.executing_eagerly()

    def gather(self, value, axes):
        """Differentiable: its backward pass cuts the gradient's sum."""
        return dtensor.relayout(value, self._layout(axes))

    def direct_assign(self, variable, value, original):
        """Outside of a step, a plain value is laid out first."""
        if tf.executing_eagerly() and isinstance(variable._value, dtensor.DVariable):
            value = tf.cast(value, variable._value.dtype)
            if not dtensor.is_dtensor(value):
                value = self._laid(value, variable._layout)
        original(variable, value)

    def whole(self, value):
        """Gathered from all devices, as a plain tensor."""
        value = getattr(value, "_value", value)
        if isinstance(value, dtensor.DVariable):
            value = value.read_value()
        if tf.is_tensor(value) and dtensor.is_dtensor(value):
            value = dtensor.relayout(value, self._layout((None,) * len(value.shape)))
            value = dtensor.unpack(value)[0]
        return value

    def held_bytes(self, variables):
        """Of every device."""
        counts = [0] * self.mesh.size
        for variable in variables:
            for index, piece in enumerate(dtensor.unpack(variable._value.read_value())):
                counts[index] += piece.numpy().nbytes
        return counts

    # === Steps ===

    def step_function(self, model, name, step):
        """Lays out each batch, then runs the step that was compiled for the mesh.

        Several steps an execution are run one after the other, since batches are laid
        out outside of the step.
        """
        compiled = tf.function(self._stored_step(step, name), autograph=False)
        # TensorFlow takes functions made on one line for one that is traced again.
        compiled._omit_frequent_tracing_warning = True

        def run(data):
            data = tree.map_structure(self._batch, data)
            with dtensor.default_mesh(self.devices):
                return tree.map_structure(self.whole, compiled(data))

        def predict(batches):
            outputs = [run(batch) for batch in batches]
            return tree.map_structure(lambda *parts: tf.concat(parts, 0), *outputs)

        def execute(iterator):
            logs = run(next(iterator))
            # The last execution of an epoch may have fewer.
            for batch in itertools.islice(iterator, model.steps_per_execution - 1):
                logs = run(batch)
            return logs

        return predict if name == "predict_function" else execute

    def _stored_step(self, step, name):
        def stored(data):
            with self.stored() if name == "train_function" else self.used():
                return step(data)

        return stored

    def _batch(self, x):
        if x is None or isinstance(x, tf.experimental.Optional):
            return None
        x = tf.convert_to_tensor(x)
        cut = x.shape.rank and x.shape[0] % self.mesh.data == 0
        return self._laid(x, (DATA if cut else None,) + (None,) * (x.shape.rank - 1))

    def average(self, gradients, variables):
        """Each gradient is cut like its variable."""
        return [
            dtensor.relayout(g, self._layout(v._layout))
            for g, v in zip(gradients, variables, strict=True)
        ]

    def repeat(self, function, count):
        """Unrolled: DTensor lays out no loops."""
        return unrolled(function, count)

    def scan(self, function, state, inputs, reverse=False):
        """Likewise."""
        return unrolled_scan(function, state, inputs, reverse)

    def custom_gradient(self, function):
        """The tape's own gradient: DTensor crashes on TensorFlow's way to give one."""
        return lambda *arrays: function(*arrays)[0]

    def when(self, condition, function, variables):
        """Done and, where the condition fails, undone: nor does it lay out branches."""
        before = self.copies(variables)
        function()
        for variable, value in zip(variables, before, strict=True):
            variable.assign(self.select(condition, variable.value, value))

    def select(self, condition, a, b):
        """DTensor crashes where a scalar condition has to be broadcast."""
        return tf.where(tf.broadcast_to(condition, tf.shape(a)), a, b)


_started: list = []


@contextlib.contextmanager
def _axes_spelt_out():
    """Within, `x[0]` is read as `x[0, :, :]`, with as many axes as `x` has.

    Where a slice leaves axes out that are cut, DTensor gives wrong numbers without a
    word, and with a new axis (`x[:, None]`) it crashes the process (TensorFlow 2.21).
    """
    sliced = (tf.Tensor, tf.Variable)
    originals = [each.__getitem__ for each in sliced]

    def spelling(original):
        def __getitem__(x, spec):
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
def _averages_swapped_by_value():
    """Within, Keras's callback swaps averages as on other backends.

    On TensorFlow it writes into what it reads, and here that is a copy.
    """
    kind = keras.callbacks.SwapEMAWeights
    originals = kind._tf_swap_variables, kind._tf_finalize_ema_values
    kind._tf_swap_variables = kind._backend_swap_variables
    kind._tf_finalize_ema_values = kind._backend_finalize_ema_values
    try:
        yield
    finally:
        kind._tf_swap_variables, kind._tf_finalize_ema_values = originals


def _spelt_out(spec, rank):
    """The same slice with every axis in it; masks and unknown ranks as they are."""
    if rank is None or getattr(spec, "ndim", None):
        return spec
    parts = list(spec) if isinstance(spec, tuple | list) else [spec]
    named = sum(part is not None and part is not ... for part in parts)
    rest = [slice(None)] * (rank - named)
    at = next((i for i, part in enumerate(parts) if part is ...), len(parts))
    return (*parts[:at], *rest, *parts[at + 1 :])


def _row(x, index, axis):
    """A row of pictures, (B, 1, W, C), or a column."""
    return x[:, index : index + 1] if axis == 1 else x[:, :, index : index + 1]
