"""JAX on a mesh: GSPMD cuts the compiled step by the layouts of what goes in.

Variables and batches are global arrays; XLA places the collectives (Xu et al. 2021).
Several processes (`keras.distribution.initialize`) see the same mesh; each is fed the
same global batches and hands over the rows that its devices hold.
"""

import contextlib
import os

import jax
import keras
import numpy as np
from keras import tree

from zoo.distribution.strategy import Strategy
from zoo.engine.batches import adapted
from zoo.engine.jax.engine import JaxEngine
from zoo.engine.layout import DATA, MODEL, Axes, Mesh, stored_axes


class JaxMeshEngine(Strategy, JaxEngine):
    """See `zoo.engine.base.Engine`."""

    MORE_DEVICES = (
        "On a CPU, set XLA_FLAGS=--xla_force_host_platform_device_count=N before JAX "
        "starts; for several hosts see the README."
    )

    @staticmethod
    def count_devices() -> int:
        """Of all processes, which Keras's environment variables may announce."""
        if "KERAS_DISTRIBUTION_NUM_PROCESSES" in os.environ:
            if not jax.distributed.is_initialized():
                keras.distribution.initialize()
        return jax.device_count()

    def __init__(self, mesh: Mesh) -> None:
        super().__init__(mesh)
        self.is_main = jax.process_index() == 0
        self.distribution = _Distribution(mesh)

    def enter(self) -> None:
        """Makes it Keras's distribution."""
        self._before = keras.distribution.distribution()
        keras.distribution.set_distribution(self.distribution)

    def exit(self) -> None:
        """Puts back what was there."""
        keras.distribution.set_distribution(self._before)

    def adopt(self, table):
        """The rules for the variables that Keras makes next."""
        self.distribution.table = (*table, *self.distribution.table)

    def fit_arguments(self, arguments, divisor):
        """Divisible batches, this process's rows."""
        if divisor == 1:
            return arguments
        return adapted(arguments, divisor, self._local_rows)

    def evaluate(self, model, evaluate, arguments):
        """The ragged rest is evaluated whole by every device; means are exact."""
        arguments = adapted(arguments, self.mesh.data, self._local_rows)
        as_dict = arguments.pop("return_dict", False)
        logs = evaluate(**arguments, return_dict=True)
        with _counting_on(model):
            for batch in arguments["x"].rest:
                x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
                logs = model.test_on_batch(x, y, weight, return_dict=True)
        return logs if as_dict else model._flatten_metrics_in_order(logs)

    def predict(self, model, predict, arguments):
        """Likewise."""
        arguments = adapted(arguments, self.mesh.data, self._local_rows)
        parts = [predict(**arguments)]
        for batch in arguments["x"].rest:
            x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
            parts.append(model.predict_on_batch(x))
        return tree.map_structure(lambda *xs: np.concatenate(xs), *parts)

    def _local_rows(self, x):
        """The rows of a global batch that this process's devices hold."""
        if jax.process_count() == 1:
            return x
        sharding = self.distribution.get_data_layout(x.shape).backend_layout
        pieces = sharding.addressable_devices_indices_map(x.shape).values()
        starts = [piece[0].start or 0 for piece in pieces]
        stops = [piece[0].stop or x.shape[0] for piece in pieces]
        return x[min(starts) : max(stops)]

    def numpy(self, value):
        """Gathered from all processes where it lies on several."""
        value = getattr(value, "value", value)
        if isinstance(value, jax.Array) and not value.is_fully_addressable:
            if not value.is_fully_replicated:
                from jax.experimental import multihost_utils

                return multihost_utils.process_allgather(value, tiled=True)
        return super().numpy(value)

    @contextlib.contextmanager
    def readable(self, variables):
        """Of several processes, each holds them whole in its memory for a while."""
        if jax.process_count() == 1:
            yield
            return
        values = [v._value for v in variables]
        for variable, value in zip(variables, values, strict=True):
            variable._value = self.numpy(value)
        try:
            yield
        finally:
            for variable, value in zip(variables, values, strict=True):
                variable._value = value

    def wait(self):
        """A barrier."""
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices("zoo")

    def held_bytes(self, variables):
        """Of every device of this process."""
        counts: dict[int, int] = {}
        for variable in variables:
            for shard in variable.value.addressable_shards:
                held = counts.setdefault(shard.device.id, 0)
                counts[shard.device.id] = held + shard.data.nbytes
        return [counts[device] for device in sorted(counts)]


@contextlib.contextmanager
def _counting_on(model):
    """Within, Keras does not reset the running means before a single batch."""
    vars(model)["reset_metrics"] = lambda: None
    try:
        yield
    finally:
        del vars(model)["reset_metrics"]


class _Distribution(keras.distribution.ModelParallel):
    """Keras's distribution, with our table instead of its map.

    Keras's map wants exactly one match a variable, and knows no sizes.
    """

    def __init__(self, mesh: Mesh) -> None:
        devices = keras.distribution.DeviceMesh(
            (mesh.data, mesh.model),
            [DATA, MODEL],
            keras.distribution.list_devices()[: mesh.size],
        )
        super().__init__(
            layout_map=keras.distribution.LayoutMap(devices),
            batch_dim_name=DATA,
            auto_shard_dataset=False,
        )
        self.mesh = mesh
        self.table: tuple = ()

    def get_variable_layout(self, variable):
        """By the table; a slot has its variable's."""
        if getattr(variable, "_layout", None) is not None:
            return variable._layout
        axes: Axes = (None,) * len(variable.shape)
        if variable.trainable:
            axes = stored_axes(variable.path, variable.shape, self.table, self.mesh)
        return keras.distribution.TensorLayout(axes, self.device_mesh)

    def get_data_layout(self, data_shape):
        """Cut by rows; whole on every device where the rows don't divide."""
        cut = len(data_shape) and data_shape[0] % self.mesh.data == 0
        axes = [DATA if cut and d == 0 else None for d in range(len(data_shape))]
        return keras.distribution.TensorLayout(axes, self.device_mesh)
