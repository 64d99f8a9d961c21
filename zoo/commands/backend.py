"""Which backend a command runs on, when nobody has said."""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from zoo.extras import installed_by
from zoo.program import quiet

# Of those that are installed, the first is taken: JAX starts and draws fastest.
PREFERRED = ("jax", "torch", "tensorflow")


def installed() -> list[str]:
    """The backends that can be imported."""
    return [name for name in PREFERRED if importlib.util.find_spec(name) is not None]


def choose(able: Sequence[str] = ()) -> None:
    """Sets KERAS_BACKEND, unless it or Keras's own settings say something.

    Args:
        able: the backends that can do what is asked for; none where all can.

    Raises:
        ValueError: no backend is installed, or not the one that was asked for.
    """
    found = installed()
    asked = os.environ.get("KERAS_BACKEND")
    if asked is not None and asked in PREFERRED and asked not in found:
        raise ValueError(
            f"KERAS_BACKEND is {asked!r}, which is not installed. Installed: "
            f"{', '.join(found) or 'none'}. What installs it: {installed_by(asked)}"
        )
    if not found:
        raise ValueError(
            f"No backend is installed. What installs JAX (or [torch], [tensorflow]): "
            f"{installed_by('jax')}"
        )
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    if asked is None and not (home / "keras.json").is_file():
        os.environ["KERAS_BACKEND"] = next((x for x in able if x in found), found[0])
    quiet()
