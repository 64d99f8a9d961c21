"""Training on TensorFlow: gradient tapes inside Keras's compiled step."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops, tree
from tensorflow.python.ops import stateful_random_ops

from zoo.engine import host_memory, interrupts
from zoo.engine.base import Engine
from zoo.engine.batches import adapted
from zoo.engine.loss_state import loss_state
from zoo.engine.quiet_export import quiet_export
from zoo.engine.tensors import Function, Tensor, Variables
from zoo.engine.tracing import tracing
from zoo.extras import optional


class TensorFlowEngine(Engine):
    """The engine for TensorFlow on one device."""

    fuses = True

    def __init__(self) -> None:
        # Before TensorFlow starts its threads, if possible.
        if not tf.config.list_physical_devices("GPU"):
            host_memory.share_between_threads()

    def refuse_others(self, training: bool) -> None:
        """Raises if Keras has a distribution, or the model is of another scope."""
        from zoo.engine.tensorflow import devices as tensorflow_devices

        tensorflow_devices.refuse_keras_distribution(training)
        scope = tf.distribute.get_strategy()
        if not isinstance(scope, tf.distribute.OneDeviceStrategy):
            tensorflow_devices.refuse_scope()

    def train_step(self, step: Function, model: Any, *args: Any) -> Any:
        """Runs the step after the batch has arrived.

        If the data failed to arrive, operations that do not depend on them would still
        run, such as counting the update.
        """
        (data,) = args
        with self.after(data):
            return step(model, data)

    def test_step(self, step: Function, model: Any, *args: Any) -> Any:
        """Keras's TensorFlow trainer passes the batch alone."""
        return step(model, *args)

    def whole_step(self, model: Any, function: Function) -> Function:
        """Restores moving statistics after an error.

        XLA writes all results at the end of a step. Without it, an error in a loss
        comes before its phase's optimizer writes, but after the earlier phases have
        made their updates; a note says so.
        """
        if model.run_eagerly or model.jit_compile or model.steps_per_execution > 1:
            # Of several steps, some may have ended.
            return super().whole_step(model, function)
        state = [v for v in loss_state(model) if "float" in v.dtype]
        copies = tf.function(lambda: self.copies(state), autograph=False)
        ahead = _phases_ahead(model.optimizer)

        def undoing(iterator: Any) -> Any:
            # Covers the undoing too: an interrupt that waited for a whole step must
            # undo nothing.
            with interrupts.held(self.is_tracing):
                before = copies() if state else []
                try:
                    return function(iterator)
                except BaseException as error:
                    for variable, value in zip(state, before, strict=True):
                        variable.assign(value)
                    if _phases_ahead(model.optimizer) > ahead:
                        error.add_note(interrupts.HALF_DONE)
                    raise

        return undoing

    def after(self, values: Any) -> AbstractContextManager[Any]:
        """Adds control dependencies to the graph."""
        return tf.control_dependencies(
            [x for x in tree.flatten(values) if x is not None]
        )

    def is_tracing(self) -> bool:
        """True inside a graph."""
        return not tf.executing_eagerly()

    def tune(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Does nothing: XLA fuses the update."""
        del optimizer

    def jit_compile(self, model: Any, asked: bool | str) -> bool | str:
        """Compiles on "auto" if fusion pays; without a GPU, Keras never would."""
        return True if asked == "auto" and model.fusion_pays else asked

    def settle(self, model: Any) -> None:
        """Lets TensorFlow set its limits on freed memory before ours replace them.

        With ours, a small GPT's step on a CPU is 1.2 to 1.8 times as fast.
        """
        _set_tensorflows_limits()
        super().settle(model)

    def gradients(
        self,
        function: Callable[..., tuple[Tensor, Any]],
        variables: Variables,
        inputs: Sequence[Tensor] = (),
    ) -> tuple[Any, list[Tensor], list[Tensor]]:
        """One tape that watches only the given variables and inputs."""
        leaves = [v.value for v in variables] + list(inputs)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(leaves)
            objective, aux = function(*inputs)
        gradients = _grad(tape, objective, leaves)
        return aux, gradients[: len(variables)], gradients[len(variables) :]

    def linearize(
        self, function: Callable[[], Any], variables: Variables
    ) -> tuple[Any, Callable[[Sequence[Tensor]], list[Tensor]]]:
        """A persistent tape: several phases may run its backward pass."""
        leaves = [v.value for v in variables]
        with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
            tape.watch(leaves)
            value = function()
        outputs = tree.flatten(value)
        return value, lambda cotangents: _grad(tape, outputs, leaves, list(cotangents))

    def repeat(self, function: Callable[[Tensor], Any], count: int) -> Any:
        """The first pass gives the structure; a `while_loop` adds the others."""
        first = function(tf.constant(0))
        flat = [tf.convert_to_tensor(x) for x in tree.flatten(first)]

        def body(index: Tensor, *total: Tensor) -> Any:
            parts = tree.flatten(function(index))
            return index + 1, *(t + p for t, p in zip(total, parts, strict=True))

        _, *total = tf.while_loop(
            lambda index, *_: index < count,
            body,
            (tf.constant(1), *flat),
            parallel_iterations=1,
        )
        return tree.pack_sequence_as(first, total)

    def scan(
        self,
        function: Callable[[Tensor, list[Tensor]], tuple[Tensor, Tensor]],
        state: Tensor,
        inputs: Sequence[Tensor],
        reverse: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """A `while_loop` after the first step, which gives the shapes.

        Keras's loop carries the state through arrays, which XLA can't compile.
        """
        count = tf.shape(inputs[0])[0]

        def step(number: Any, state: Tensor) -> tuple[Any, Tensor, Tensor]:
            at = count - 1 - number if reverse else number
            state, output = function(state, [x[at] for x in inputs])
            return at, state, output

        at, state, output = step(0, state)
        outputs = tf.TensorArray(output.dtype, count, element_shape=output.shape)

        def body(number: Tensor, state: Tensor, outputs: Any) -> Any:
            at, state, output = step(number, state)
            return number + 1, state, outputs.write(at, output)

        _, state, outputs = tf.while_loop(
            lambda number, *_: number < count,
            body,
            (tf.constant(1), state, outputs.write(at, output)),
            parallel_iterations=1,
        )
        outputs = outputs.stack()
        outputs.set_shape([inputs[0].shape[0], *output.shape])
        return state, outputs

    def when(
        self, condition: Tensor, function: Callable[[], None], variables: Variables
    ) -> None:
        """`tf.cond`, which needs a value from both branches."""
        del variables

        def run() -> Tensor:
            function()
            return tf.constant(True)

        tf.cond(condition, run, lambda: tf.constant(False))

    def input_gradient(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """A tape inside the phase's tape, for the second derivative."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x, unconnected_gradients="zero")

    def compile(
        self, function: Function, variables: Callable[[], Variables]
    ) -> Function:
        """Compiles with XLA, one trace per combination of shapes."""
        del variables

        def traced(*args: Any) -> Any:
            with tracing:
                return function(*args)

        compiled = tf.function(traced, jit_compile=True, autograph=False)
        # Each caller keeps its functions by shape; TensorFlow mistakes functions made
        # on one line for a single one that is retraced repeatedly.
        compiled._omit_frequent_tracing_warning = True
        return compiled

    def capture(self, function: Function) -> Function:
        """Returns the function: `compile` compiles the loop around it."""
        return function

    def write(self, array: Tensor, update: Tensor, index: Tensor) -> Tensor:
        """XLA updates the array in place."""
        start: list[Any] = [0] * len(array.shape)
        start[1] = index
        return ops.slice_update(array, start, ops.cast(update, array.dtype))

    def fit_arguments(self, arguments: dict[str, Any], divisor: int) -> dict[str, Any]:
        """Always adapts a generator, so that TensorFlow does not autotune it."""
        if isinstance(arguments["x"], Iterator):
            return adapted(arguments, divisor)
        return super().fit_arguments(arguments, divisor)

    def set_seed(self, seed: int) -> None:
        """Seeds the global generator, which would start from the system's entropy."""
        tf.random.set_global_generator(tf.random.Generator.from_seed(seed))

    def random_state(self) -> dict[str, Any]:
        """The global generator's state, if it exists; Keras's draws are stateless.

        TensorFlow's getter would create it, with a different seed in each process.
        """
        generator = stateful_random_ops.global_generator
        return {} if generator is None else {"generator": generator.state.numpy()}

    def set_random_state(self, state: dict[str, Any]) -> None:
        """Restores the global generator, if its state was saved."""
        if "generator" in state:
            generator = tf.random.get_global_generator()
            generator.state.assign(np.asarray(state["generator"], "int64"))

    def device_names(self) -> list[str]:
        kinds = ("GPU", "CPU")
        return [d.name for kind in kinds for d in tf.config.list_logical_devices(kind)]

    def peak_memory(self) -> int | None:
        """Counted on GPUs only."""
        if tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"]
        return None

    def export_onnx(self, network: Any, file: Path) -> None:
        """Through Keras, by tf2onnx."""
        purpose = "Writing ONNX on TensorFlow"
        optional("tf2onnx", purpose, "export")
        _teach_erfc()
        with quiet_export():
            network.export(
                file, "onnx", verbose=False, input_signature=network.signature
            )

    def export_saved_model(self, network: Any, folder: Path) -> None:
        """Through Keras."""
        with quiet_export():
            network.export(folder, verbose=False, input_signature=network.signature)


def _phases_ahead(optimizer: Any) -> int:
    """How many updates the most advanced phase is ahead of the whole step."""
    counts = [int(m.iterations.numpy()) for m in optimizer.members.values()]
    return max(counts) - int(optimizer.iterations.numpy())


def _grad(tape: Any, outputs: Any, leaves: Any, cotangents: Any = None) -> list[Tensor]:
    """Dense gradients; zeros, as on JAX, for leaves that outputs don't depend on."""
    gradients = tape.gradient(
        outputs, leaves, output_gradients=cotangents, unconnected_gradients="zero"
    )
    return [tf.convert_to_tensor(g) for g in gradients]


@cache
def _set_tensorflows_limits() -> None:
    """Makes TensorFlow set its limits, as it does with the first generator dataset."""
    signature = tf.TensorSpec((), "int32")
    next(iter(tf.data.Dataset.from_generator(lambda: [0], output_signature=signature)))


@cache
def _teach_erfc() -> None:
    """Adds the one operation of exact GELU that tf2onnx lacks: erfc, 1 - erf(x)."""
    from tf2onnx import utils
    from tf2onnx.handler import tf_op

    @tf_op("Erfc")
    class Erfc:
        @classmethod
        def version_9(cls, ctx: Any, node: Any, **kwargs: Any) -> None:
            del kwargs
            (output,) = node.output
            kind, shape = ctx.get_dtype(output), ctx.get_shape(output)
            ctx.remove_node(node.name)
            erf = ctx.make_node("Erf", node.input, dtypes=[kind], shapes=[shape])
            one = utils.make_name("one")
            one = ctx.make_const(one, np.ones((), utils.map_onnx_to_numpy_type(kind)))
            ctx.make_node(
                "Sub",
                [one.output[0], erf.output[0]],
                name=node.name,
                outputs=[output],
                dtypes=[kind],
                shapes=[shape],
            )
