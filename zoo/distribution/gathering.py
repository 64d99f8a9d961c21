"""Weights stored in parts and used whole: they are gathered where a layer reads them.

Weights whose kernels can't take a part (convolutions), and weights cut along the data
axis only to save memory, are gathered at each read, block by block, in the precision of
the computation. The backward pass scatters the gradient.

On TensorFlow and torch, Keras has no layouts. This hooks into its variables in three
places: where they are made, read and assigned.
"""

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from zoo.distribution.strategy import Strategy
from zoo.engine.layout import Axes, Mesh, Table, stored_axes, used_axes
from zoo.engine.tensors import Function, Tensor, Variables

SEED = "seed_generator_state"


class GathersAtUse(Strategy):
    """What the engines with global arrays on TensorFlow and torch share.

    A backend's engine defines the abstract methods.

    Attributes:
        table: the layout rules for the variables that Keras makes next.
        places_seeds: whether seeds are laid out on the mesh too.
    """

    places_seeds = False

    @abstractmethod
    def place(self, variable: Any, axes: Axes) -> None:
        """Cuts a variable that Keras has just made."""

    @abstractmethod
    def gather(self, value: Any, axes: Axes) -> Any:
        """A stored value in the layout in which it is used; differentiable."""

    @abstractmethod
    def whole(self, value: Any) -> Any:
        """The whole value of a variable or tensor, as a plain tensor."""

    @abstractmethod
    def direct_assign(self, variable: Any, value: Any, original: Function) -> None:
        """Assigns a value, whole or in parts; `original` is Keras's own method."""

    def reads_whole(self) -> bool:
        """Whether code that reads a variable now needs a plain tensor."""
        return False

    def __init__(self, mesh: Mesh) -> None:
        super().__init__(mesh)
        self.table: Table = ()
        self._stored = False

    def adopt(self, table: Table) -> None:
        """Adds rules for the variables that Keras makes next."""
        self.table = (*table, *self.table)

    @contextlib.contextmanager
    def stored(self) -> Iterator[None]:
        """Within, variables read as they are stored, as optimizers need them."""
        before, self._stored = self._stored, True
        try:
            yield
        finally:
            self._stored = before

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Within, variables read as layers use them; the default."""
        before, self._stored = self._stored, False
        try:
            yield
        finally:
            self._stored = before

    @contextlib.contextmanager
    def patched_variables(self) -> Iterator[None]:
        """Within, Keras's variables are made, read and assigned through this engine."""
        kind = keras.Variable
        own = dict(vars(kind))
        names = ("_initialize", "_direct_assign", "_maybe_autocast")
        originals = {name: getattr(kind, name) for name in names}
        engine = self

        def _initialize(variable: Any, value: Any) -> None:
            originals["_initialize"](variable, value)
            if engine.places_seeds or variable.name != SEED:
                engine._place(variable)

        def _direct_assign(variable: Any, value: Any) -> None:
            engine.direct_assign(variable, value, originals["_direct_assign"])

        def _maybe_autocast(variable: Any, value: Any) -> Any:
            if engine.reads_whole() and not engine._stored:
                value = engine.whole(value)
            value = originals["_maybe_autocast"](variable, value)
            if engine.reads_whole():
                return value
            used = getattr(variable, "_used_axes", None)
            if used in (None, variable._layout) or engine._stored:
                return value
            return engine.gather(value, used)

        def __array__(variable: Any, dtype: Any = None, copy: Any = None) -> np.ndarray:
            array = engine.numpy(variable)
            return array if dtype is None else array.astype(dtype)

        hooks = {
            "_initialize": _initialize,
            "_direct_assign": _direct_assign,
            "_maybe_autocast": _maybe_autocast,
            "__array__": __array__,
        }
        for name, hook in hooks.items():
            setattr(kind, name, hook)
        try:
            yield
        finally:
            for name in hooks:
                if name in own:
                    setattr(kind, name, own[name])
                else:  # it was inherited
                    delattr(kind, name)

    def gradients(
        self,
        function: Callable[..., tuple[Tensor, Any]],
        variables: Variables,
        inputs: Sequence[Tensor] = (),
    ) -> tuple[Any, list[Tensor], list[Tensor]]:
        """Differentiates for variables as stored, through a function that uses them."""
        with self.stored():
            return super().gradients(self._using(function), variables, inputs)  # type: ignore[safe-super]

    def linearize(
        self, function: Callable[[], Any], variables: Variables
    ) -> tuple[Any, Callable[[Sequence[Tensor]], list[Tensor]]]:
        """Linearizes in variables as stored, through a function that uses them."""
        with self.stored():
            return super().linearize(self._using(function), variables)  # type: ignore[safe-super]

    def copies(self, variables: Variables) -> list[Tensor]:
        """Copies as stored, never gathered, even inside a loss."""
        with self.stored():
            return super().copies(variables)

    def compile(
        self, function: Function, variables: Callable[[], Variables]
    ) -> Function:
        """Runs on whole weights, as on one device; every process does the same work.

        For generation and scoring, whose loops and caches can't be cut.
        """

        def pure(values: Sequence[Tensor], *args: Any) -> tuple[Any, list[Tensor]]:
            held = list(variables())
            mapping = zip(held, values, strict=True)
            with self.stored(), keras.StatelessScope(mapping) as scope:
                result = function(*args)
                return result, [scope.get_current_value(v) for v in held]

        compiled = super().compile(pure, variables)  # type: ignore[safe-super]

        def call(*args: Any) -> Any:
            held = list(variables())
            values = [self.whole(v) for v in held]
            result, after = compiled(values, *args)
            for variable, new in zip(held, after, strict=True):
                if not variable.trainable:
                    variable.assign(new)
            return result

        return call

    def numpy(self, value: Any) -> np.ndarray:
        """The whole value, gathered."""
        return super().numpy(self.whole(value))

    def _using(self, function: Function) -> Function:
        def using(*inputs: Any) -> Any:
            with self.used():
                return function(*inputs)

        return using

    def _place(self, variable: Any) -> None:
        axes: Axes | None = variable._layout  # a slot has its variable's layout
        if axes is None:
            shape = tuple(variable._value.shape)
            axes = (None,) * len(shape)
            if variable.trainable:
                axes = stored_axes(variable.path, shape, self.table, self.mesh)
                variable._used_axes = used_axes(variable.path, axes, self.table)
            variable._layout = axes
        self.place(variable, axes)
