"""Optional dependencies: the package's extras, and how to install them."""

import importlib
import importlib.metadata
import shlex
from pathlib import Path
from typing import Any

# On the package index; its `zoo` is another project.
DISTRIBUTION = "keras-zoo"
CHECKOUT = Path(__file__).parents[1]


def installed_by(extra: str) -> str:
    """The command that installs an extra.

    It names the distribution, or the checkout that this package is run from without
    being installed.
    """
    try:
        importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        if (CHECKOUT / "pyproject.toml").is_file():
            return f"pip install -e {shlex.quote(f'{CHECKOUT}[{extra}]')}"
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def optional(module: str, purpose: str, extra: str) -> Any:
    """Imports an optional module.

    Args:
        module: its name.
        purpose: what it is needed for, as the subject of a sentence.
        extra: the extra of zoo that installs it.

    Raises:
        ValueError: the module is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{purpose} needs {error.name}, which is not installed: "
            f"{installed_by(extra)}"
        ) from error
