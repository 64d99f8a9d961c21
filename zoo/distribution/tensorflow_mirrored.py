"""TensorFlow's MirroredStrategy: whole weights and a replica of the step everywhere.

Keras gives every replica its own rows. Random numbers are still drawn for the global
batch: each replica gathers it, prepares all of it in the same way, and keeps its rows.
Sums and gradients are joined before anything uses them: clipping, overflow checks,
updates.
"""

import contextlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree
from tensorflow.python.distribute.values import DistributedVariable

from zoo.distribution.strategy import Strategy
from zoo.engine.drawn_seed import DrawnSeed
from zoo.engine.interface.loops import unrolled
from zoo.engine.layout import Mesh
from zoo.engine.tensorflow.devices import (
    INSTEAD,
    MORE_DEVICES,
    kind,
    refuse_keras_distribution,
    refuse_other_processes,
    refuse_scope,
    refuse_use_within,
)
from zoo.engine.tensorflow.engine import TensorFlowEngine
from zoo.engine.tensors import Function, Tensor, Variables

# Without these, `int(model.optimizer.iterations)` would fail, unlike on one device.
DistributedVariable.__int__ = lambda variable: int(variable.numpy())
DistributedVariable.__float__ = lambda variable: float(variable.numpy())


class MirroredEngine(Strategy, TensorFlowEngine):
    """The engine for TensorFlow's MirroredStrategy."""

    MORE_DEVICES = MORE_DEVICES

    @staticmethod
    def count_devices() -> int:
        """Counts this process's GPUs, or else its logical CPUs."""
        refuse_other_processes()
        return len(_devices())

    def __init__(self, mesh: Mesh, strategy: Any = None) -> None:
        self.mesh = mesh
        self.replicas = mesh.data
        self.strategy = strategy

    def enter(self) -> None:
        """Opens the strategy's scope, in which Keras mirrors variables."""
        refuse_use_within()
        self.strategy = _strategy(self.mesh.data)
        self._context = contextlib.ExitStack()
        self._context.enter_context(self.strategy.scope())

    def exit(self) -> None:
        """Closes the strategy's scope."""
        self._context.close()

    def in_use(self) -> contextlib.AbstractContextManager[None]:
        """Opens the scope of the user's own strategy, unless it is open."""
        if self not in _adopted.values() or tf.distribute.has_strategy():
            return contextlib.nullcontext()
        return self.strategy.scope()

    def refuse_others(self, training: bool) -> None:
        """Raises if Keras has a distribution, or another strategy's scope is open."""
        refuse_keras_distribution(training)
        if tf.distribute.has_strategy():
            if tf.distribute.get_strategy() is not self.strategy:
                refuse_scope()

    def jit_compile(self, model: Any, asked: bool | str) -> bool | str:
        """Off: XLA hangs on virtual devices and sometimes on several GPUs."""
        del model, asked
        return False

    def settle(self, model: Any) -> None:
        """Stops Keras from building the built model on a mean of replicas' data.

        Booleans, such as masks, have no mean.
        """
        super().settle(model)
        vars(model)["_maybe_symbolic_build"] = lambda **_: None

    def prepare(self, model: Any, data: Any) -> Any:
        """A replica's rows of the global batch, which is prepared as a whole."""
        batch = model.unpack(data)
        if not model.plan.has_prepare or not _in_replica():
            return model.prepare(batch)
        context = tf.distribute.get_replica_context()
        first = next(x for x in tree.flatten(batch) if x is not None)
        # A ragged last batch may be divided unequally.
        rows = context.all_gather(tf.shape(first)[:1], axis=0)
        start = tf.reduce_sum(rows[: context.replica_id_in_sync_group])
        count = rows[context.replica_id_in_sync_group]

        def gathered(x: Tensor | None) -> Tensor | None:
            if x is None:
                return None
            # The strategy gathers by adding, which excludes booleans, and drops shapes.
            numbers = tf.cast(x, "int32") if x.dtype == tf.bool else x
            whole = tf.cast(context.all_gather(numbers, axis=0), x.dtype)
            return tf.ensure_shape(whole, [None, *x.shape[1:]])

        def own(x: Tensor | None) -> Tensor | None:
            return None if x is None else x[start : start + count]

        batch = model.prepare(tree.map_structure(gathered, batch))
        return tree.map_structure(own, batch)

    def on_batches(self, function: Function) -> Function:
        """Gives each replica its rows of a batch that Keras did not distribute."""
        distributed = (tf.data.Iterator, tf.distribute.DistributedIterator)

        def run(batches: Any) -> Any:
            if isinstance(batches, distributed):
                return function(batches)
            return function([self._rows(batch) for batch in batches])

        return run

    def _rows(self, batch: Any) -> Any:
        """Cuts a batch given to `*_on_batch`; `predict`'s is already cut."""
        flat = [x for x in tree.flatten(batch) if x is not None]
        if any(isinstance(x, tf.distribute.DistributedValues) for x in flat):
            return batch
        batch = tree.map_structure(lambda x: x if x is None else np.asarray(x), batch)

        def part(context: Any) -> Any:
            def rows(x: np.ndarray) -> np.ndarray:
                parts = np.array_split(x, self.replicas)
                return parts[context.replica_id_in_sync_group]

            return tree.map_structure(lambda x: x if x is None else rows(x), batch)

        return self.strategy.experimental_distribute_values_from_function(part)

    def total(self, value: Tensor) -> Tensor:
        """The sum over replicas."""
        if not _in_replica():
            return value
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, value)

    def highest(self, value: Tensor) -> Tensor:
        """The maximum over replicas."""
        if not _in_replica():
            return value
        context = tf.distribute.get_replica_context()
        return tf.reduce_max(context.all_gather(value[None], axis=0), axis=0)

    def average(self, gradients: list[Tensor], variables: Variables) -> list[Tensor]:
        """Averages all gradients in one all-reduce."""
        del variables
        if not _in_replica():
            return gradients
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)

    def tune(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Stops Keras from summing the gradients over the replicas a second time."""
        optimizer._all_reduce_sum_gradients = list

    def repeat(self, function: Callable[[Tensor], Any], count: int) -> Any:
        """Unrolled: replicas can't communicate inside a loop's graph."""
        return unrolled(function, count)

    def when(
        self, condition: Tensor, function: Callable[[], None], variables: Variables
    ) -> None:
        """Runs the function and undoes it if needed: branches can't communicate."""
        if not _in_replica():
            return super().when(condition, function, variables)
        before = [tf.identity(v.value) for v in variables]
        function()

        def undone(variable: Any, before: Tensor, condition: Tensor) -> None:
            variable.assign(tf.where(condition, variable, before))

        def undo(strategy: Any, before: Sequence[Tensor], condition: Tensor) -> None:
            for variable, value in zip(variables, before, strict=True):
                arguments = (value, condition)
                strategy.extended.update(
                    variable.value, undone, args=arguments, group=False
                )

        context = tf.distribute.get_replica_context()
        context.merge_call(undo, args=(before, condition))

    def held_bytes(self, variables: Variables) -> list[int]:
        """Bytes on each device, the same on all."""
        return super().held_bytes(variables) * self.replicas

    def dropout(self, x: Tensor, rate: float, seed: Any) -> Tensor:
        """Draws from a separate stream on each replica."""
        if _in_replica():
            context = tf.distribute.get_replica_context()
            drawn = seed.next()
            replica = tf.cast(context.replica_id_in_sync_group, drawn.dtype)
            seed = DrawnSeed(drawn + tf.stack([replica * 0, replica * 2**20]))
        return keras.random.dropout(x, rate, seed=seed)


def _devices() -> list[str]:
    return [device.name for device in tf.config.list_logical_devices(kind())]


_adopted: dict[int, MirroredEngine] = {}


def adopted(
    strategy: tf.distribute.Strategy, local: TensorFlowEngine
) -> TensorFlowEngine:
    """The engine for a strategy whose scope the user has opened.

    Raises:
        ValueError: zoo does not support the strategy.
    """
    if isinstance(strategy, tf.distribute.OneDeviceStrategy):
        return local
    if not isinstance(strategy, tf.distribute.MirroredStrategy):
        raise ValueError(
            f"This is the scope of a {type(strategy).__name__}, in which a step would "
            f"differ from that of one device. Instead, {INSTEAD}"
        )
    if id(strategy) not in _adopted:
        _numbered(strategy)
        mesh = Mesh(strategy.num_replicas_in_sync)
        _adopted[id(strategy)] = MirroredEngine(mesh, strategy)
    return _adopted[id(strategy)]


@cache
def _strategy(size: int) -> tf.distribute.MirroredStrategy:
    _renumber()
    return _numbered(tf.distribute.MirroredStrategy(_devices()[:size]))


_numbers: dict[int, tf.distribute.MirroredStrategy] = {}


def _renumber() -> None:
    """Makes the next strategy number its all-reduces uniquely.

    By default all strategies use the same numbers, and so does DTensor, so that the
    messages of two of them get mixed up (TensorFlow 2.21).
    """
    kind = tf.distribute.MirroredStrategy
    kind._collective_key_base = max(_numbers, default=0) + 10_000


def _numbered(
    strategy: tf.distribute.MirroredStrategy,
) -> tf.distribute.MirroredStrategy:
    """Registers a strategy's numbers; later strategies get others.

    Raises:
        ValueError: another strategy has the same numbers.
    """
    number = strategy.extended._collective_key_base
    if _numbers.setdefault(number, strategy) is not strategy:
        raise ValueError(
            "At most one MirroredStrategy may be made before the first model, got two: "
            "TensorFlow would mix up their all-reduces. Make one, and use it for all "
            "models."
        )
    _renumber()
    return strategy


def _in_replica() -> bool:
    return tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context()
