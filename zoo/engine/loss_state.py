"""The state that a forward pass changes: moving statistics and seeds."""

from typing import Any


def loss_state(model: Any) -> list[Any]:
    """The variables that the losses may change; excludes frozen weights."""
    layers = model._flatten_layers()
    frozen = {id(v) for layer in layers for v in layer._trainable_variables}
    return [v for v in model.non_trainable_variables if id(v) not in frozen]
