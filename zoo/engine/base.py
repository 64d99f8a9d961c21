"""The seam between the models and a backend.

An engine turns stateful, backend-neutral code (layers that read and assign
`keras.Variable`s) into what its backend differentiates, loops over and compiles.
Everything else in the training step is written once, in `step.py`.
"""

import contextlib
import math
import operator
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from zoo.engine import host_memory, interrupts, plain_attention
from zoo.engine.batches import adapted
from zoo.engine.layout import Mesh, Table

Tensor = Any
Variables = Sequence[keras.Variable]
HALF_DONE = (
    "The update had begun: some weights are new and some are old. Go on from the last "
    "checkpoint."
)
# Held by the thread that records or traces: torch patches itself meanwhile, and JAX's
# engine knows the variables of one function at a time. What is compiled runs without.
tracing = threading.RLock()


class Engine(Protocol):
    """What a backend has to offer. One object a backend and kind of distribution.

    The methods with a body are those that change when there are several devices;
    `zoo.distribution` overrides them. Most distributed engines see each batch, and
    each variable, as one global array, whose parts happen to lie apart. An engine with
    `replicas` runs the step once a replica instead, on its own rows.

    Attributes:
        fuses: whether a compiler fuses elementwise operations into few passes over
            memory; where not, one native kernel beats several small ones.
        image_format: "channels_last" or "channels_first", as its convolutions and norms
            are fastest. Keras's layers work in either.
        mesh: the devices.
        replicas: how many copies of the step run, each on its own rows of a batch.
        is_main: whether this process is the one that writes files.
    """

    fuses: bool
    image_format: str = "channels_last"
    mesh: Mesh = Mesh()
    replicas: int = 1
    is_main: bool = True

    def train_step(self, step: Callable, model: Any, *args: Any) -> Any:
        """Keras's `train_step`: `step(model, data)` with this trainer's arguments."""

    def test_step(self, step: Callable, model: Any, *args: Any) -> Any:
        """Keras's `test_step`: `step(model, data)` with this trainer's arguments."""

    def tune(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Makes an optimizer's update fast, its numbers unchanged."""

    def gradients(
        self,
        function: Callable[..., tuple[Tensor, Any]],
        variables: Variables,
        inputs: Sequence[Tensor] = (),
    ) -> tuple[Any, list[Tensor], list[Tensor]]:
        """Differentiates `function(*inputs) -> (scalar, aux)`.

        Returns `aux` and the gradients for the variables and for the inputs; what
        the function assigns to other variables is kept.
        """

    def linearize(
        self, function: Callable[[], Any], variables: Variables
    ) -> tuple[Any, Callable[[Sequence[Tensor]], list[Tensor]]]:
        """Runs `function()` once and keeps the way back.

        Returns its value and a function from gradients for the flattened value to
        gradients for the variables.
        """

    def repeat(self, function: Callable[[Tensor], Any], count: int) -> Any:
        """The sum of `function(0) ... function(count - 1)`, leaf by leaf, in a loop.

        A compiled loop, so that only one pass's activations live at a time.
        """

    def scan(
        self,
        function: Callable[[Tensor, list[Tensor]], tuple[Tensor, Tensor]],
        state: Tensor,
        inputs: Sequence[Tensor],
        reverse: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Carries a state through time: `state, output = function(state, slices)`.

        No gradient goes through it on every backend: see `custom_gradient`.

        Args:
            function: one step.
            state: before the first step.
            inputs: arrays (T, ...), of which step t gets [x[t] for x in inputs].
            reverse: from the last to the first.

        Returns:
            The last state, and the outputs of all steps, (T, ...).
        """
        return ops.scan(function, state, list(inputs), reverse=reverse)

    def custom_gradient(self, function: Callable) -> Callable:
        """`function(*arrays)`, which returns its value, one array, and the way back.

        See `keras.ops.custom_gradient`.
        """
        return ops.custom_gradient(function)

    def when(
        self, condition: Tensor, function: Callable[[], None], variables: Variables
    ) -> None:
        """Runs `function`, which only assigns `variables`, where `condition` holds."""

    def after(self, values: Any) -> contextlib.AbstractContextManager:
        """Within, nothing is done before these values are there.

        Where a step's operations run in any order, so that one that fails comes before
        those that change something.
        """
        del values
        return contextlib.nullcontext()

    def select(self, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """`a` or `b`, of one shape, by a scalar condition."""
        return ops.where(condition, a, b)

    def input_gradient(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """The gradient of `sum(function(x))` for `x`, itself differentiable.

        For penalties on gradients inside a loss, such as WGAN-GP's (Gulrajani et
        al. 2017), and for Hamiltonian dynamics.
        """

    def compile(self, function: Callable, variables: Callable[[], Variables]) -> Any:
        """Compiles `function(*arrays)`, which may read and assign `variables()`.

        Arguments and results are nested arrays; positional arguments only. No
        gradients flow out of it.
        """

    def capture(self, function: Callable) -> Callable:
        """A function from arrays to a list of arrays, for the body of an eager loop.

        Where `compile` runs loops eagerly, this sheds the function's Python cost;
        elsewhere it is the function. It must draw nothing and assign no variable.
        """

    def write(self, array: Tensor, update: Tensor, index: Tensor) -> Tensor:
        """`array` with `update` at `index` along axis 1; may reuse its memory."""

    def set_seed(self, seed: int) -> None:
        """Seeds what `keras.utils.set_random_seed` leaves out."""
        del seed

    def random_state(self) -> dict[str, Any]:
        """The backend's own random state, as arrays by name."""

    def set_random_state(self, state: dict[str, Any]) -> None:
        """Restores what `random_state` returned."""

    def peak_memory(self) -> int | None:
        """Bytes of device memory at the peak so far; None where it isn't counted."""

    def device_names(self) -> list[str]:
        """The devices at hand, accelerators first."""

    def jit_compile(self, model: Any, asked: bool | str) -> bool | str:
        """What Keras is told of `jit_compile`, where the user asked for this."""
        del model
        return asked

    # === Files for other programs ===

    def export_onnx(self, network: Any, file: Path) -> None:
        """Writes a `zoo.presets.inference.Served` as ONNX.

        Raises:
            ValueError: this backend can't; the message says which one can.
        """
        del network, file
        raise ValueError(
            f"On {keras.config.backend()} no ONNX is written. TensorFlow and torch "
            "write it: set KERAS_BACKEND to one of them. Or zoo.presets."
            "export_inference(model, FOLDER) writes a SavedModel."
        )

    def export_saved_model(self, network: Any, folder: Path) -> None:
        """Likewise, as a SavedModel of TensorFlow's."""
        del network, folder
        raise ValueError(
            f"On {keras.config.backend()} no SavedModel is written. TensorFlow and JAX "
            "write it: set KERAS_BACKEND to one of them. Or zoo.presets."
            "export_inference(model, 'FILE.onnx') writes ONNX."
        )

    # === Several devices ===

    def in_use(self) -> contextlib.AbstractContextManager:
        """Within, this engine is in use, if it can be outside of a block of `use`."""
        return contextlib.nullcontext()

    def refuse_others(self, training: bool) -> None:
        """Raises where devices were laid out in a way that the step takes no part in.

        Called before each `compile`, `fit`, `evaluate` and `predict`; `training` says
        that weights are to change, not only to be read.
        """
        del training

    def adopt(self, table: Table) -> None:
        """Lays out the variables that are made from here on by these rules."""
        del table

    def settle(self, model: Any) -> None:
        """Readies the process and a built model; called when it is compiled."""
        del model
        host_memory.keep_freed()

    def whole_updates(self, model: Any) -> contextlib.AbstractContextManager:
        """Within, an interrupt or error leaves a model as its last update left it.

        Around each call of Keras's trainer. Interrupts wait for the end of a step, and
        an error in the data, in a callback or in tracing changes nothing. What an error
        of a running step can leave behind is said where it can: `whole_step` on torch,
        `after` on TensorFlow, `zoo.engine.jax.state` on JAX.
        """
        del model
        return interrupts.watched()

    def on_batches(self, function: Callable) -> Callable:
        """Keras's train_function, test_function or predict_function, if it needs help.

        They are called with an iterator, or with a list of batches.
        """
        return function

    def whole_step(self, model: Any, function: Callable) -> Callable:
        """Keras's `train_function`, whose updates are done wholly or not at all."""

        def run(*args):
            with interrupts.held(self.is_tracing):
                if not model.run_eagerly:
                    return function(*args)
                # Slow, as all is that runs eagerly.
                held = [*model.variables, *model.optimizer.variables]
                held += model.metrics_variables
                before = self.copies(held)
                try:
                    return function(*args)
                except BaseException:
                    for variable, value in zip(held, before, strict=True):
                        variable.assign(value)
                    raise

        return run

    def is_tracing(self) -> bool:
        """Whether the step that runs is being traced, and can be interrupted."""
        return False

    def step_function(self, model: Any, name: str, step: Callable) -> Callable | None:
        """What Keras is to call with an iterator of batches; None for its own.

        `name` is Keras's attribute: train_function, test_function, predict_function.
        """
        del model, name, step
        return None

    def fit_arguments(self, arguments: dict, divisor: int) -> dict:
        """`fit`'s arguments with batches that `divisor` divides; others are dropped."""
        return arguments if divisor == 1 else adapted(arguments, divisor)

    def prepare(self, model: Any, data: Any) -> Any:
        """The prepared batch, or a replica's rows of it."""
        return model.prepare(model.unpack(data))

    def total(self, value: Tensor) -> Tensor:
        """The sum over replicas."""
        return value

    def extremes(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The least and the greatest of all values, as scalars; NaN if one is NaN."""
        return ops.min(values), ops.max(values)

    def highest(self, value: Tensor) -> Tensor:
        """The maximum over replicas, element by element."""
        return value

    def average(self, gradients: list[Tensor], variables: Variables) -> list[Tensor]:
        """The mean over replicas, each gradient lying where its variable lies."""
        del variables
        return gradients

    def stored(self) -> contextlib.AbstractContextManager:
        """Within, variables read as they are stored, even those used otherwise."""
        return contextlib.nullcontext()

    def copies(self, variables: Variables) -> list[Tensor]:
        """Their values as they are stored, to be assigned again later."""
        return [ops.copy(v) for v in variables]

    def dropout(self, x: Tensor, rate: float, seed: Any) -> Tensor:
        """Drops elements; different ones in each row of the global batch."""
        return keras.random.dropout(x, rate, seed=seed)

    def normal(self, shape: Sequence[Any], seed: Any) -> Tensor:
        """Standard normal noise in float32; `seed` is a model's `SeedGenerator`."""
        return keras.random.normal(shape, dtype="float32", seed=seed)

    def uniform(self, shape: Sequence[Any], seed: Any) -> Tensor:
        """Noise between 0 and 1 in float32, likewise: alike on any devices."""
        # A normal variable's own distribution function makes it uniform.
        return 0.5 + 0.5 * ops.erf(self.normal(shape, seed) / math.sqrt(2.0))

    def by_rows(self, x: Tensor) -> Tensor:
        """Cut along the data axis alone: where parts of a product become whole.

        As the residual stream of a tensor-parallel transformer lies (Shoeybi et al.
        2019, section 3).
        """
        return x

    def attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Any = None,
        is_causal: bool = False,
        bias: Any = None,
        drop: Callable | None = None,
    ) -> Tensor:
        """Scaled dot products of (B, T, N, H) with (B, S, N, H) twice.

        `mask` is (B or 1, 1, T or 1, S), True where to look; `bias` (B or 1, N, T, S)
        is added to the scaled products; `drop` leaves out some of the probabilities
        (B, N, T, S), of which the fused kernels have none.
        """
        if drop is not None:
            return plain_attention.attention(q, k, v, mask, is_causal, bias, drop)
        return ops.dot_product_attention(
            q, k, v, bias=bias, mask=mask, is_causal=is_causal
        )

    def recurrent(
        self,
        cell: str,
        x: Tensor,
        state: Tensor,
        weights: Sequence[Tensor],
        mask: Any = None,
        backward: bool = False,
    ) -> tuple[Tensor, Tensor] | None:
        """A whole recurrent layer by a kernel of the backend; None where none serves.

        Args:
            cell: "elman", "gru" or "lstm".
            x: (B, T, D).
            state: (B, S).
            weights: kernel, recurrent kernel and both biases, as
                `zoo.layers.recurrent.cells.Recurrent` has them.
            mask: (B, T), False at padding.
            backward: read from the last token to the first.

        Returns:
            What `Recurrent.call` returns, differentiable.
        """
        del cell, x, state, weights, mask, backward
        return None

    def reflect(self, x: Tensor, size: int, axes: tuple[int, int]) -> Tensor:
        """Pictures with `size` mirrored rows and columns on each side of two axes."""
        added = [(size, size) if axis in axes else (0, 0) for axis in range(4)]
        return ops.pad(x, added, mode="reflect")

    def adopted(self, array: np.ndarray, dtype: str) -> Tensor:
        """An array that nobody else has, as a tensor; in its memory if that can be."""
        return ops.convert_to_tensor(array, dtype=dtype)

    def numpy(self, value: Any) -> np.ndarray:
        """The whole of a variable or tensor; all processes must ask."""
        return ops.convert_to_numpy(value)

    def held_bytes(self, variables: Variables) -> list[int]:
        """Bytes of the variables that each device holds."""
        sizes = (math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in variables)
        return [sum(sizes)]

    def read_back(self, model: Any) -> None:
        """Makes a model's variables readable in the midst of an epoch."""
        del model

    def readable(self, variables: Variables) -> contextlib.AbstractContextManager:
        """Within, Keras can read the whole of the variables, to save them."""
        del variables
        return contextlib.nullcontext()

    def wait(self) -> None:
        """Until all processes are here."""
        return None

    def evaluate(self, model: Any, evaluate: Callable, arguments: dict) -> Any:
        """Keras's `evaluate`, whatever the size of the last batch."""
        del model
        return evaluate(**arguments)

    def predict(self, model: Any, predict: Callable, arguments: dict) -> Any:
        """Keras's `predict`, likewise."""
        del model
        return predict(**arguments)


def unrolled(function: Callable[[int], Any], count: int) -> Any:
    """`Engine.repeat` as a plain loop."""
    total = function(0)
    for index in range(1, count):
        total = keras.tree.map_structure(operator.add, total, function(index))
    return total


def unrolled_scan(
    function: Callable, state: Tensor, inputs: Sequence[Tensor], reverse: bool = False
) -> tuple[Tensor, Tensor]:
    """`Engine.scan` as a plain loop."""
    steps = list(zip(*(ops.unstack(x) for x in inputs), strict=True))
    outputs = []
    for slices in reversed(steps) if reverse else steps:
        state, output = function(state, list(slices))
        outputs.append(output)
    return state, ops.stack(outputs[::-1] if reverse else outputs)
