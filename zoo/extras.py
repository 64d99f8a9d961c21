"""The extras of zoo's package: what installs those that not everybody needs."""

import importlib
import shlex
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]


def installed_by(extra: str) -> str:
    """The command that installs an extra.

    By the checkout's path, since the package index has another project named zoo.
    """
    if (CHECKOUT / "pyproject.toml").is_file():
        return f"pip install -e {shlex.quote(f'{CHECKOUT}[{extra}]')}"
    return f"in a checkout of zoo, pip install -e '.[{extra}]'"


def optional(module: str, purpose: str, extra: str) -> Any:
    """The module.

    Args:
        module: its name.
        purpose: what it is for, as a sentence's subject.
        extra: of zoo, that installs it.

    Raises:
        ValueError: it is not installed; the message says what installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{purpose} needs {error.name}, which is not installed: "
            f"{installed_by(extra)}"
        ) from error
