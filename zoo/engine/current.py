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
    """Decorates what finds the engine for a scope that the user has opened.

    It is asked where no block of `use` is open, and given the backend's own engine.
    """
    _adopters.append(function)
    return function


def activate(distributed: Engine) -> None:
    """Makes it the engine in use, until `deactivate`."""
    _active.append(distributed)


def deactivate(distributed: Engine) -> None:
    """Puts back the engine before it; blocks end inside out."""
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
                "zoo runs on Keras's tensorflow, jax and torch backends. "
                f"Received: {other!r}. Set the environment variable KERAS_BACKEND."
            )


def input_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The gradient of `sum(function(x))` for `x`; usable inside a loss."""
    return engine().input_gradient(function, x)
