"""The extras of zoo's package: what installs those that not everybody needs."""

import shlex
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


def installed_by(extra: str) -> str:
    """The command that installs an extra.

    By the checkout's path, since the package index has another project named zoo.
    """
    if (CHECKOUT / "pyproject.toml").is_file():
        return f"pip install -e {shlex.quote(f'{CHECKOUT}[{extra}]')}"
    return f"in a checkout of zoo, pip install -e '.[{extra}]'"
