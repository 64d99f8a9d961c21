"""Layers that Keras would leave out of a file because of an attribute's name."""

from typing import Any

import keras
from keras.src.saving.saving_lib import get_attr_skipset

from zoo.layers.held_layers import held_layers

# The group of a file that holds a layer's own variables, beside its parts' groups.
OWN_VARIABLES = "vars"


def check_saved(model: Any) -> None:
    """Raises where an attribute's name keeps layers out of Keras's files.

    Keras finds a layer's parts by the attributes that hold them, and passes over each
    attribute that a bare `keras.Layer` has too. On torch that is every name of
    `torch.nn.Module`: `double`, `half`, `type`, `train`. What a model itself holds
    under such a name is saved in a second place, where other backends do not look.

    Raises:
        ValueError: an attribute has such a name; the message says which.
    """
    found = {id(model)}
    waiting: list[keras.Layer] = [model]
    passed_over = []
    while waiting:
        layer = waiting.pop()
        skipped = get_attr_skipset(layer._obj_type())
        for name, parts in held_layers(layer):
            if name == OWN_VARIABLES or name in skipped:
                passed_over.append((layer, name, parts))
                continue
            new = [part for part in parts if id(part) not in found]
            found.update(map(id, new))
            waiting += new
    # What is held under another name too is in the file all the same.
    for layer, name, parts in passed_over:
        if name == OWN_VARIABLES or any(id(part) not in found for part in parts):
            raise ValueError(
                f"{type(layer).__name__}.{name} holds layers "
                f"({', '.join(part.name for part in parts)}) whose weights Keras would "
                f"not save under this name, which it uses itself on the "
                f"{keras.config.backend()} backend. Give the attribute another name, "
                f"such as {name + '_layer'!r}."
            )


class SavesAllLayers(keras.Model):
    """Has `check_saved` look at a model whenever Keras writes or reads its weights.

    Reading too: on another backend the file may hold layers under names that this one
    would pass over.
    """

    def save_own_variables(self, store: Any) -> None:
        """Keras's, after the check."""
        check_saved(self)
        super().save_own_variables(store)

    def load_own_variables(self, store: Any) -> None:
        """Keras's, likewise."""
        check_saved(self)
        super().load_own_variables(store)
