"""The seam between the models and a backend.

An engine turns stateful, backend-neutral code (layers that read and assign
`keras.Variable`s) into what its backend differentiates, loops over and compiles.
Everything else in the training step is written once, in `step.py`.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

import keras

Tensor = Any
Variables = Sequence[keras.Variable]


class Engine(Protocol):
    """What a backend has to offer. One object a backend.

    Attributes:
        fuses: whether a compiler fuses elementwise operations into few passes over
            memory; where not, one native kernel beats several small ones.
    """

    fuses: bool

    def train_step(self, model: Any, *args: Any) -> Any:
        """Keras's `train_step`, with the signature this backend's trainer calls."""

    def test_step(self, model: Any, *args: Any) -> Any:
        """Keras's `test_step`, likewise."""

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

    def when(self, condition: Tensor, function: Callable[[], None]) -> None:
        """Runs `function`, which only assigns variables, where `condition` holds."""

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

    def random_state(self) -> dict[str, Any]:
        """The backend's own random state, as arrays by name."""

    def set_random_state(self, state: dict[str, Any]) -> None:
        """Restores what `random_state` returned."""

    def peak_memory(self) -> int | None:
        """Bytes of device memory at the peak so far; None where it isn't counted."""


@cache
def engine() -> Engine:
    """The engine of the backend that Keras runs on."""
    match keras.config.backend():
        case "tensorflow":
            from zoo.training.engine_tensorflow import TensorFlowEngine

            return TensorFlowEngine()
        case "jax":
            from zoo.training.engine_jax import JaxEngine

            return JaxEngine()
        case "torch":
            from zoo.training.engine_torch import TorchEngine

            return TorchEngine()
        case other:
            raise ValueError(
                "zoo runs on Keras's tensorflow, jax and torch backends. "
                f"Received: {other!r}. Set the environment variable KERAS_BACKEND."
            )


def input_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The gradient of `sum(function(x))` for `x`; usable inside a loss."""
    return engine().input_gradient(function, x)
