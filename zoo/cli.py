"""`zoo`, the command line.

Each subcommand is a frozen dataclass, from which tyro makes the flags, and a function
that takes it. A subcommand's own imports wait until it runs.
"""

import sys
from collections.abc import Callable
from typing import Any

import tyro

from zoo.distribution.plan import PlanConfig


def plan(config: PlanConfig) -> None:
    """Prints, and draws if asked, what a run needs."""
    from rich.console import Console

    from zoo.distribution.plan import plan
    from zoo.distribution.plan_picture import draw, show

    planned = plan(config)
    show(planned, Console())
    if config.picture:
        draw(planned, config.picture)
        print(f"Drawn into {config.picture}")


COMMANDS: dict[str, tuple[type, Callable[[Any], None]]] = {"plan": (PlanConfig, plan)}


def main(args: list[str] | None = None) -> None:
    """Runs the subcommand that the arguments name."""
    config = tyro.extras.subcommand_cli_from_dict(
        {name: kind for name, (kind, _) in COMMANDS.items()},
        prog="zoo",
        description="Generative models in Keras 3. `zoo COMMAND --help` says more.",
        args=args,
    )
    run = next(run for kind, run in COMMANDS.values() if isinstance(config, kind))
    try:
        run(config)
    except (ValueError, OSError) as error:
        sys.exit(f"zoo: {error}")


if __name__ == "__main__":
    main()
