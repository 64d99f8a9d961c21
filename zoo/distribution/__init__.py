"""Several devices, requested the same way on every backend: `use(data=, model=)`."""

from typing import Any

from zoo.engine.layout import Mesh

__all__ = ["Mesh", "use"]


def __getattr__(name: str) -> Any:
    # Late: `use` imports Keras.
    if name == "use":
        from zoo.distribution.devices import use

        return use
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
