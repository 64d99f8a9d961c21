"""Which parts of a layer are frozen, in its configuration.

Keras keeps the flag `trainable` of whole layers alone: a block whose parts are layers
comes back from a file with all of them trainable, and its model's optimizer then has
state for other variables than the file.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import keras

from zoo.layers.held_layers import held_layers

# Of a configuration.
FLAGS = "trainable_parts"


def flags(layer: keras.Layer) -> dict[str, dict[str, bool]]:
    """For `get_config`: what differs from a new layer, by path; nothing if nothing."""
    # Setting a layer's flag sets those of all its parts.
    changed = {
        path: part.trainable
        for path, (part, holder) in _parts(layer).items()
        if part.trainable != (holder is None or holder.trainable)
    }
    return {FLAGS: changed} if changed else {}


def restored(layer: Any, config: Mapping[str, Any]) -> Any:
    """For `from_config`: the layer made, its parts frozen as the configuration says."""
    changed, parts = config.get(FLAGS, {}), _parts(layer)
    for path in changed:
        if path not in parts:
            raise ValueError(
                f"{type(layer).__name__} has no part {path!r}, of which its file says "
                "whether it is frozen: the file is from another version. Its parts: "
                f"{', '.join(parts)}"
            )
    flag: dict[int, bool] = {}
    for path, (part, holder) in parts.items() if changed else ():
        inherited = holder is None or flag[id(holder)]
        flag[id(part)] = part._trainable = changed.get(path, inherited)
        # One by one: the setter changes all that is held, and on TensorFlow nothing
        # where the flag itself stays.
        for variable in part._trainable_variables:
            variable.trainable = part._trainable
    return layer


def _parts(layer: Any) -> dict[str, tuple[Any, Any]]:
    """The layer and all in it by path, each with what holds it; holders come first."""
    parts = {"": (layer, None)}
    waiting = [("", layer)]
    seen = {id(layer)}
    for path, holder in waiting:
        # Sorted, since backends keep attributes in different orders.
        for name, held in sorted(held_layers(holder), key=itemgetter(0)):
            for index, part in enumerate(held):
                if id(part) not in seen:
                    seen.add(id(part))
                    key = f"{path}/{name}.{index}".lstrip("/")
                    parts[key] = (part, holder)
                    waiting.append((key, part))
    return parts
