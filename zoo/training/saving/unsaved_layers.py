"""Rejects attribute names whose layers Keras would not save."""

from typing import Any

import keras
from keras.src.saving.saving_lib import get_attr_skipset

from zoo.layers.held_layers import held_layers

# The file group of a layer's own variables, beside the groups of its parts.
OWN_VARIABLES = "vars"


def check_saved(model: Any) -> None:
    """Raises if an attribute's name keeps layers out of Keras's files.

    Keras finds a layer's parts by their attributes, and skips every attribute that a
    bare `keras.Layer` also has. On torch that includes every name of
    `torch.nn.Module`: `double`, `half`, `type`, `train`. A model's own parts under such
    a name are saved in another place, where other backends do not look.

    Raises:
        ValueError: an attribute has such a name; the message gives it.
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
    # Layers that another attribute holds too are in the file anyway.
    for layer, name, parts in passed_over:
        if name == OWN_VARIABLES or any(id(part) not in found for part in parts):
            raise ValueError(
                f"{type(layer).__name__}.{name} holds layers "
                f"({', '.join(part.name for part in parts)}) whose weights Keras would "
                "not save, since it uses this name itself on the "
                f"{keras.config.backend()} backend. Rename the attribute, for example "
                f"to {name + '_layer'!r}."
            )


class SavesAllLayers(keras.Model):
    """Runs `check_saved` whenever Keras writes or reads a model's weights.

    Reading too, since a file from another backend may hold layers under names that this
    backend would skip.
    """

    def save_own_variables(self, store: Any) -> None:
        """Writes the model's own variables, after the check."""
        check_saved(self)
        super().save_own_variables(store)

    def load_own_variables(self, store: Any) -> None:
        """Reads the model's own variables, after the check."""
        check_saved(self)
        super().load_own_variables(store)
