"""JAX on a mesh: GSPMD cuts the compiled step by the layouts of its inputs.

Variables and batches are global arrays; XLA places the collectives (Xu et al. 2021).
Several processes (`keras.distribution.initialize`) see the same mesh; each gets the
same global batches and passes on the rows that its devices hold.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import keras
import numpy as np
from keras import tree

from zoo.distribution.strategy import Strategy
from zoo.engine.batches import adapted
from zoo.engine.jax.engine import JaxEngine
from zoo.engine.layout import DATA, MODEL, Axes, Mesh, Table, stored_axes
from zoo.engine.tensors import Function, Variables


class JaxMeshEngine(Strategy, JaxEngine):
    """The engine for JAX on several devices."""

    MORE_DEVICES = (
        "On a CPU, set XLA_FLAGS=--xla_force_host_platform_device_count=N before JAX "
        "starts; for several hosts see docs/guides/devices.md."
    )

    @staticmethod
    def count_devices() -> int:
        """Counts all processes' devices, after joining those that Keras announces."""
        if "KERAS_DISTRIBUTION_NUM_PROCESSES" in os.environ:
            if not jax.distributed.is_initialized():
                keras.distribution.initialize()
        return jax.device_count()

    def __init__(self, mesh: Mesh) -> None:
        super().__init__(mesh)
        self.is_main = jax.process_index() == 0
        self.distribution = _Distribution(mesh)

    def enter(self) -> None:
        """Sets Keras's distribution."""
        self._before = keras.distribution.distribution()
        keras.distribution.set_distribution(self.distribution)

    def exit(self) -> None:
        """Restores Keras's previous distribution."""
        keras.distribution.set_distribution(self._before)

    def adopt(self, table: Table) -> None:
        """Adds rules for the variables that Keras makes next."""
        self.distribution.table = (*table, *self.distribution.table)

    def fit_arguments(self, arguments: dict[str, Any], divisor: int) -> dict[str, Any]:
        """Keeps divisible batches, and of those this process's rows."""
        if divisor == 1:
            return arguments
        return adapted(arguments, divisor, self._local_rows)

    def evaluate(
        self, model: Any, evaluate: Function, arguments: dict[str, Any]
    ) -> Any:
        """Every device evaluates the whole of a ragged last batch; means are exact."""
        arguments = adapted(arguments, self.mesh.data, self._local_rows)
        as_dict = arguments.pop("return_dict", False)
        logs = evaluate(**arguments, return_dict=True)
        with _counting_on(model):
            for batch in arguments["x"].rest:
                x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
                logs = model.test_on_batch(x, y, weight, return_dict=True)
        return logs if as_dict else model._flatten_metrics_in_order(logs)

    def predict(self, model: Any, predict: Function, arguments: dict[str, Any]) -> Any:
        """Every device predicts the whole of a ragged last batch."""
        arguments = adapted(arguments, self.mesh.data, self._local_rows)
        parts = [predict(**arguments)]
        for batch in arguments["x"].rest:
            x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
            parts.append(model.predict_on_batch(x))
        return tree.map_structure(lambda *xs: np.concatenate(xs), *parts)

    def _local_rows(self, x: Any) -> Any:
        """The rows of a global batch that this process's devices hold."""
        if jax.process_count() == 1:
            return x
        sharding = self.distribution.get_data_layout(x.shape).backend_layout
        pieces = sharding.addressable_devices_indices_map(x.shape).values()
        starts = [piece[0].start or 0 for piece in pieces]
        stops = [piece[0].stop or x.shape[0] for piece in pieces]
        return x[min(starts) : max(stops)]

    def numpy(self, value: Any) -> np.ndarray:
        """Gathers a value that is spread over several processes."""
        value = getattr(value, "value", value)
        if isinstance(value, jax.Array) and not value.is_fully_addressable:
            if not value.is_fully_replicated:
                from jax.experimental import multihost_utils

                return multihost_utils.process_allgather(value, tiled=True)
        return super().numpy(value)

    @contextlib.contextmanager
    def readable(self, variables: Variables) -> Iterator[None]:
        """Within, each of several processes holds the variables in full in memory."""
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

    def wait(self) -> None:
        """Waits at a barrier."""
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices("zoo")

    def held_bytes(self, variables: Variables) -> list[int]:
        """Bytes on each device of this process."""
        counts: dict[int, int] = {}
        for variable in variables:
            for shard in variable.value.addressable_shards:
                held = counts.setdefault(shard.device.id, 0)
                counts[shard.device.id] = held + shard.data.nbytes
        return [counts[device] for device in sorted(counts)]


@contextlib.contextmanager
def _counting_on(model: Any) -> Iterator[None]:
    """Within, Keras does not reset metrics before a single batch."""
    vars(model)["reset_metrics"] = lambda: None
    try:
        yield
    finally:
        del vars(model)["reset_metrics"]


class _Distribution(keras.distribution.ModelParallel):
    """Keras's distribution, with our table instead of its layout map.

    Keras's map needs exactly one match per variable, and ignores sizes.
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
        self.table: Table = ()

    def get_variable_layout(self, variable: Any) -> Any:
        """The layout by the table; an optimizer's slot has its variable's."""
        if getattr(variable, "_layout", None) is not None:
            return variable._layout
        axes: Axes = (None,) * len(variable.shape)
        if variable.trainable:
            axes = stored_axes(variable.path, variable.shape, self.table, self.mesh)
        return keras.distribution.TensorLayout(axes, self.device_mesh)

    def get_data_layout(self, data_shape: Sequence[int]) -> Any:
        """Cut by rows, or whole on every device if the rows don't divide."""
        cut = len(data_shape) and data_shape[0] % self.mesh.data == 0
        axes = [DATA if cut and d == 0 else None for d in range(len(data_shape))]
        return keras.distribution.TensorLayout(axes, self.device_mesh)
