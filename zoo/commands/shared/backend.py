"""Chooses a command's backend if the user has not."""

import importlib
import importlib.util
import os
from collections.abc import Sequence

from zoo.extras import installed_by
from zoo.program import asked_backend, quiet, saved_backend, waiting

# The first that is installed is used: JAX starts and samples fastest.
PREFERRED = ("jax", "torch", "tensorflow")
TITLES = {"jax": "JAX", "torch": "PyTorch", "tensorflow": "TensorFlow"}


def installed() -> list[str]:
    """The installed backends, in order of preference."""
    return [name for name in PREFERRED if importlib.util.find_spec(name) is not None]


def choose(able: Sequence[str] = ()) -> None:
    """Selects a backend, as `select` does, and starts it."""
    select(able)
    start()


def select(able: Sequence[str] = ()) -> None:
    """Selects a backend: that in KERAS_BACKEND or `keras.json`, or else the best.

    What `keras.json` names counts if it is installed.

    Args:
        able: the backends that support the command; empty if all do.

    Raises:
        ValueError: no backend is installed, or KERAS_BACKEND names one that is not.
    """
    found = installed()
    asked = os.environ.get("KERAS_BACKEND")
    if asked is not None and asked in PREFERRED and asked not in found:
        raise ValueError(
            f"KERAS_BACKEND must name an installed backend "
            f"({', '.join(found) or 'there is none'}), got {asked!r}. To install it: "
            f"{installed_by(asked)}"
        )
    if not found:
        raise ValueError(
            f"No backend is installed. To install JAX (or [torch], [tensorflow]): "
            f"{installed_by('jax')}"
        )
    # Keras writes TensorFlow there by itself, installed or not.
    if asked is None and saved_backend() not in found:
        os.environ["KERAS_BACKEND"] = next((x for x in able if x in found), found[0])


def start() -> None:
    """Imports Keras with its backend; a terminal shows that this is waited for."""
    name = asked_backend()
    with waiting(f"starting {TITLES.get(name, name)}"):
        quiet()
        importlib.import_module("keras")
