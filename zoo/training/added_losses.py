"""Losses that layers add to a phase: `add_loss`, activity and weight regularizers."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

# The term's name in the logs; its coefficient in the objective is 1.
ADDED = "added_loss"


def all_layers(layers: Sequence[keras.Layer]) -> list[keras.Layer]:
    """The layers and the layers nested in them, each once."""
    found = {id(x): x for layer in layers for x in layer._flatten_layers()}
    return list(found.values())


@contextlib.contextmanager
def collected(layers: Sequence[keras.Layer]) -> Iterator[list[Any]]:
    """Within the block, collects the losses that layers add, over all their calls.

    Keras itself keeps only the losses of a layer's last call, but a phase may call a
    network several times: a GAN's discriminator sees real and fake data.
    """
    added: list[Any] = []
    thread = threading.get_ident()
    for layer in layers:
        vars(layer).setdefault("add_loss", _Collector())[thread] = added
    try:
        yield added
    finally:
        for layer in layers:
            collector = vars(layer)["add_loss"]
            del collector[thread]
            if not collector:
                del vars(layer)["add_loss"]


class _Collector(dict):
    """Replaces a layer's `add_loss`; keeps one list per thread.

    Under MirroredStrategy each replica has its own thread, and they alternate within a
    call.
    """

    def __call__(self, loss: Any) -> None:
        self[threading.get_ident()].extend(keras.tree.flatten(loss))


def penalties(variables: Sequence[keras.Variable]) -> list[Any]:
    """The values of the variables' regularizers."""
    return [v.regularizer(v) for v in variables if v.regularizer is not None]


def with_sum(terms: dict, added: Sequence[Any]) -> dict:
    """The terms, with the sum of the added losses, if any, as one more."""
    if not added:
        return terms
    return {**terms, ADDED: sum(ops.cast(x, "float32") for x in added)}
