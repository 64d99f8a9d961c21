"""Stores in a layer's configuration which of its parts are frozen.

Keras only stores the flag `trainable` of whole layers: a block whose parts are layers
is loaded with all of them trainable, and the model's optimizer then has state for other
variables than the file.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import keras

from zoo.layers.held_layers import held_layers

# The configuration's key.
FLAGS = "trainable_parts"


def flags(layer: keras.Layer) -> dict[str, dict[str, bool]]:
    """For `get_config`: the flags that differ from a new layer's, by path, if any."""
    # Setting a layer's flag sets those of all its parts.
    changed = {
        path: part.trainable
        for path, (part, holder) in _parts(layer).items()
        if part.trainable != (holder is None or holder.trainable)
    }
    return {FLAGS: changed} if changed else {}


def restored(layer: Any, config: Mapping[str, Any]) -> Any:
    """For `from_config`: freezes the parts of a layer that the configuration names.

    Raises:
        ValueError: the layer has no such part.
    """
    changed, parts = config.get(FLAGS, {}), _parts(layer)
    for path in changed:
        if path not in parts:
            raise ValueError(
                f"{type(layer).__name__} has no part {path!r}, which its file lists as "
                "frozen or not: the file is from another version. Its parts: "
                f"{', '.join(parts)}."
            )
    flag: dict[int, bool] = {}
    for path, (part, holder) in parts.items() if changed else ():
        inherited = holder is None or flag[id(holder)]
        flag[id(part)] = part._trainable = changed.get(path, inherited)
        # One by one: the layer's setter changes all nested variables, and on TensorFlow
        # none if the flag itself is unchanged.
        for variable in part._trainable_variables:
            variable.trainable = part._trainable
    return layer


def _parts(layer: Any) -> dict[str, tuple[Any, Any]]:
    """The layer and all nested ones by path, each with its holder; holders first."""
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
