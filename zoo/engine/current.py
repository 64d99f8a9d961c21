"""Which engine is in use."""

from collections.abc import Callable
from functools import cache

import keras

from zoo.engine.base import Engine, Tensor

_active: list[Engine] = []
_adopters: list[Callable[[Engine], Engine]] = []


def engine() -> Engine:
    """The engine in use: the backend's, or that of `zoo.distribution.use`."""
    if _active:
        return _active[-1]
    found = _local_engine()
    for adopt in _adopters:
        found = adopt(found)
    return found


def adopting(function: Callable[[Engine], Engine]) -> Callable[[Engine], Engine]:
    """Registers a function that finds the engine for a scope that the user opened.

    It is called, with the backend's own engine, when no `use` block is open.
    """
    _adopters.append(function)
    return function


def activate(distributed: Engine) -> None:
    """Makes `distributed` the engine in use, until `deactivate`."""
    _active.append(distributed)


def deactivate(distributed: Engine) -> None:
    """Restores the previous engine; blocks must end inside out.

    Raises:
        RuntimeError: another block was opened since and is still open.
    """
    if not _active or _active[-1] is not distributed:
        raise RuntimeError("Blocks of zoo.distribution.use must end inside out.")
    _active.pop()


@cache
def _local_engine() -> Engine:
    match keras.config.backend():
        case "tensorflow":
            from zoo.engine.tensorflow.engine import TensorFlowEngine

            return TensorFlowEngine()
        case "jax":
            from zoo.engine.jax.engine import JaxEngine

            return JaxEngine()
        case "torch":
            from zoo.engine.torch.engine import TorchEngine

            return TorchEngine()
        case other:
            raise ValueError(
                "The Keras backend must be tensorflow, jax or torch, got "
                f"{other!r}. Set the environment variable KERAS_BACKEND."
            )


def input_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The gradient of `sum(function(x))` with respect to `x`; works inside a loss."""
    return engine().input_gradient(function, x)
