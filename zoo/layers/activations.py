"""Activations by name."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    # Hendrycks & Gimpel 2016: exact, and the approximation of GPT-2 and ALBERT.
    "gelu": lambda x: ops.gelu(x, approximate=False),
    "gelu_tanh": lambda x: ops.gelu(x, approximate=True),
    "relu": ops.relu,
    # Elfwing et al. 2018; gated, it is the SwiGLU of Shazeer 2020.
    "silu": ops.silu,
}


def activation(name: str | Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The activation called `name`, ours or Keras's; functions are returned as is."""
    if isinstance(name, str) and name not in ACTIVATIONS:
        return keras.activations.get(name)
    return ACTIVATIONS[name] if isinstance(name, str) else name
