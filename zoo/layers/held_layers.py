"""The parts of a layer."""

from collections.abc import Iterator

import keras
from keras.src.saving.saving_lib import get_attr_skipset


def held_layers(layer: keras.Layer) -> Iterator[tuple[str, list[keras.Layer]]]:
    """The names of a layer's attributes that hold layers, and the layers."""
    if layer._obj_type() in ("Functional", "Sequential"):
        # Saved by their order.
        yield "layers_in_order", layer.layers
    own, keras_own = vars(layer), get_attr_skipset(layer._obj_type())
    # torch keeps layers apart from other attributes.
    for name, value in [*own.items(), *own.get("_modules", {}).items()]:
        parts = [x for x in _leaves(value) if isinstance(x, keras.Layer)]
        # Not Keras's lists of all that it tracks.
        if parts and not (name.startswith("_") and name in keras_own):
            yield name, parts


def _leaves(value: object) -> Iterator[object]:
    """What Keras's saving finds in lists, tuples and dicts, however deep."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
