"""Compiled functions, loops and branches."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops, tree

from zoo.engine.tensors import Function, Tensor, Variables


class Loops(ABC):
    """How a backend compiles functions, and what it loops and branches with.

    Attributes:
        fuses: whether a compiler fuses elementwise operations into few passes over
            memory. If not, one native kernel beats several small ones.
    """

    fuses: bool

    @abstractmethod
    def compile(
        self, function: Function, variables: Callable[[], Variables]
    ) -> Function:
        """Compiles `function(*arrays)`, which may read and assign `variables()`.

        Arguments, all positional, and results are nested arrays. No gradients flow
        out of the compiled function.
        """

    @abstractmethod
    def capture(self, function: Function) -> Function:
        """Speeds up a function from arrays to a list of arrays, the body of a loop.

        Where `compile` runs loops eagerly, this removes the function's Python
        overhead; elsewhere it returns the function. The function must neither draw
        random numbers nor assign variables.
        """

    @abstractmethod
    def repeat(self, function: Callable[[Tensor], Any], count: int) -> Any:
        """The sum of `function(0) ... function(count - 1)`, leaf by leaf.

        The loop is compiled, so that only one pass's activations live at a time.
        """

    def scan(
        self,
        function: Callable[[Tensor, list[Tensor]], tuple[Tensor, Tensor]],
        state: Tensor,
        inputs: Sequence[Tensor],
        reverse: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Carries a state through time: `state, output = function(state, slices)`.

        Not every backend can differentiate it: see `custom_gradient`.

        Args:
            function: one step.
            state: before the first step.
            inputs: arrays (T, ...); step t gets [x[t] for x in inputs].
            reverse: whether to go from the last step to the first.

        Returns:
            The last state, and the outputs of all steps, (T, ...).
        """
        return ops.scan(function, state, list(inputs), reverse=reverse)

    @abstractmethod
    def when(
        self, condition: Tensor, function: Callable[[], None], variables: Variables
    ) -> None:
        """Runs `function`, which only assigns `variables`, if `condition` holds."""

    def select(self, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """`a` if the scalar condition holds, else `b`; both have the same shape."""
        return ops.where(condition, a, b)

    @abstractmethod
    def write(self, array: Tensor, update: Tensor, index: Tensor) -> Tensor:
        """`array` with `update` at `index` along axis 1; may reuse its memory."""


def unrolled(function: Callable[[int], Any], count: int) -> Any:
    """`Loops.repeat` as a plain loop."""
    total = function(0)
    for index in range(1, count):
        total = tree.map_structure(operator.add, total, function(index))
    return total


def unrolled_scan(
    function: Callable[[Tensor, list[Tensor]], tuple[Tensor, Tensor]],
    state: Tensor,
    inputs: Sequence[Tensor],
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """`Loops.scan` as a plain loop."""
    steps = list(zip(*(ops.unstack(x) for x in inputs), strict=True))
    outputs = []
    for slices in reversed(steps) if reverse else steps:
        state, output = function(state, list(slices))
        outputs.append(output)
    return state, ops.stack(outputs[::-1] if reverse else outputs)
