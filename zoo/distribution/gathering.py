"""Stored in parts, used whole: weights are gathered where a layer reads them.

Kernels that can't take a part of a weight (convolutions), and weights cut along the
data axis just to save memory, are put together at each read, block by block, in the
precision of the computation. Differentiating the gathering scatters the gradient.

Keras on TensorFlow and torch knows no layouts. This hooks into three places of its
variables: where they are made, read and assigned.
"""

import contextlib
from abc import abstractmethod
from typing import Any

import keras

from zoo.distribution.strategy import Strategy
from zoo.engine.layout import Axes, Mesh, stored_axes, used_axes

SEED = "seed_generator_state"


class GathersAtUse(Strategy):
    """What engines with global arrays on TensorFlow and torch have in common.

    An engine for a backend gives the four methods that come first.
    """

    @abstractmethod
    def place(self, variable: Any, axes: Axes) -> None:
        """Cuts a variable that Keras has just made."""

    @abstractmethod
    def gather(self, value: Any, axes: Axes) -> Any:
        """A stored value as it is used; differentiable."""

    @abstractmethod
    def whole(self, value: Any) -> Any:
        """A variable's or tensor's whole value as a plain tensor."""

    @abstractmethod
    def direct_assign(self, variable: Any, value: Any, original: Any) -> None:
        """Assigns a value, whole or in parts; `original` is Keras's way."""

    places_seeds = False

    def reads_whole(self) -> bool:
        """Whether what reads a variable now can take nothing but plain tensors."""
        return False

    def __init__(self, mesh: Mesh) -> None:
        super().__init__(mesh)
        self.table: tuple = ()
        self._stored = False

    def adopt(self, table) -> None:
        """The rules for the variables that Keras makes next."""
        self.table = (*table, *self.table)

    @contextlib.contextmanager
    def stored(self):
        """Within, reads give variables as they are stored: optimizers want them so."""
        before, self._stored = self._stored, True
        try:
            yield
        finally:
            self._stored = before

    @contextlib.contextmanager
    def used(self):
        """Within, reads give variables as layers use them; the default."""
        before, self._stored = self._stored, False
        try:
            yield
        finally:
            self._stored = before

    @contextlib.contextmanager
    def patched_variables(self):
        """Hooks into Keras's variables."""
        kind = keras.Variable
        own = dict(vars(kind))
        names = ("_initialize", "_direct_assign", "_maybe_autocast")
        originals = {name: getattr(kind, name) for name in names}
        engine = self

        def _initialize(variable, value):
            originals["_initialize"](variable, value)
            if engine.places_seeds or variable.name != SEED:
                engine._place(variable)

        def _direct_assign(variable, value):
            engine.direct_assign(variable, value, originals["_direct_assign"])

        def _maybe_autocast(variable, value):
            if engine.reads_whole() and not engine._stored:
                value = engine.whole(value)
            value = originals["_maybe_autocast"](variable, value)
            if engine.reads_whole():
                return value
            used = getattr(variable, "_used_axes", None)
            if used in (None, variable._layout) or engine._stored:
                return value
            return engine.gather(value, used)

        def __array__(variable, dtype=None, copy=None):
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

    def gradients(self, function, variables, inputs=()):
        """Of the variables as they are stored, through a function that uses them."""
        with self.stored():
            return super().gradients(self._using(function), variables, inputs)  # type: ignore[safe-super]

    def linearize(self, function, variables):
        """Likewise."""
        with self.stored():
            return super().linearize(self._using(function), variables)  # type: ignore[safe-super]

    def copies(self, variables):
        """Never gathered, even where a loss asks."""
        with self.stored():
            return super().copies(variables)

    def compile(self, function, variables):
        """On whole weights, as on one device; every process does the same.

        For generation and scoring, whose loops and caches know no parts.
        """

        def pure(values, *args):
            held = list(variables())
            mapping = zip(held, values, strict=True)
            with self.stored(), keras.StatelessScope(mapping) as scope:
                result = function(*args)
                return result, [scope.get_current_value(v) for v in held]

        compiled = super().compile(pure, variables)  # type: ignore[safe-super]

        def call(*args):
            held = list(variables())
            values = [self.whole(v) for v in held]
            result, after = compiled(values, *args)
            for variable, new in zip(held, after, strict=True):
                if not variable.trainable:
                    variable.assign(new)
            return result

        return call

    def numpy(self, value):
        """The whole of it."""
        return super().numpy(self.whole(value))

    def _using(self, function):
        def using(*inputs):
            with self.used():
                return function(*inputs)

        return using

    def _place(self, variable: Any) -> None:
        axes: Axes | None = variable._layout  # an optimizer's slot has its variable's
        if axes is None:
            shape = tuple(variable._value.shape)
            axes = (None,) * len(shape)
            if variable.trainable:
                axes = stored_axes(variable.path, shape, self.table, self.mesh)
                variable._used_axes = used_axes(variable.path, axes, self.table)
            variable._layout = axes
        self.place(variable, axes)
