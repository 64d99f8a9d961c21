"""Several devices, asked for in one way on every backend: `use(data=, model=)`."""

from zoo.engine.layout import Mesh

__all__ = ["Mesh", "use"]


def __getattr__(name: str):
    # Late, since the training core knows the layout's types.
    if name == "use":
        from zoo.distribution.devices import use

        return use
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
