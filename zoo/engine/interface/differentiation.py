"""Gradients."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from zoo.engine.tensors import Function, Tensor, Variables


class Differentiation(ABC):
    """How a backend differentiates code that reads and assigns variables."""

    @abstractmethod
    def gradients(
        self,
        function: Callable[..., tuple[Tensor, Any]],
        variables: Variables,
        inputs: Sequence[Tensor] = (),
    ) -> tuple[Any, list[Tensor], list[Tensor]]:
        """Differentiates `function(*inputs) -> (scalar, aux)`.

        Assignments that the function makes to other variables are kept.

        Returns:
            `aux`, the gradients for the variables, and those for the inputs.
        """

    @abstractmethod
    def linearize(
        self, function: Callable[[], Any], variables: Variables
    ) -> tuple[Any, Callable[[Sequence[Tensor]], list[Tensor]]]:
        """Runs `function()` once and keeps its backward pass.

        Returns:
            Its value, and a function from gradients for the flattened value to
            gradients for the variables.
        """

    @abstractmethod
    def input_gradient(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """The gradient of `sum(function(x))` with respect to `x`, differentiable.

        For penalties on gradients inside a loss, such as WGAN-GP's (Gulrajani et
        al. 2017), and for Hamiltonian dynamics.
        """

    def custom_gradient(self, function: Function) -> Callable[..., Tensor]:
        """Wraps `function(*arrays)`, which returns one array and its backward pass.

        See `keras.ops.custom_gradient`.
        """
        return ops.custom_gradient(function)
