"""Finds the layers that a layer's attributes hold."""

from collections.abc import Iterator

import keras
from keras.src.saving.saving_lib import get_attr_skipset


def held_layers(layer: keras.Layer) -> Iterator[tuple[str, list[keras.Layer]]]:
    """Yields the names of a layer's attributes that hold layers, with the layers."""
    if layer._obj_type() in ("Functional", "Sequential"):
        # Keras saves these by their order.
        yield "layers_in_order", layer.layers
    own, keras_own = vars(layer), get_attr_skipset(layer._obj_type())
    # torch stores layers separately from other attributes.
    for name, value in [*own.items(), *own.get("_modules", {}).items()]:
        parts = [x for x in _leaves(value) if isinstance(x, keras.Layer)]
        # Skips Keras's own lists of all tracked layers.
        if parts and not (name.startswith("_") and name in keras_own):
            yield name, parts


def _leaves(value: object) -> Iterator[object]:
    """The values nested in lists, tuples and dicts, as Keras's saving finds them."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
