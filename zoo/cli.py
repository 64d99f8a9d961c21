"""`zoo`, the command line.

Each subcommand is a frozen dataclass, from which tyro makes the flags, and a function
that takes it. A subcommand's own imports wait until it runs.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import tyro

from zoo.commands import (
    backend,
    convert,
    doctor,
    evaluate,
    fill_mask,
    generate,
    info,
    listing,
    sample,
    train,
    translate,
)
from zoo.planning.config import PlanConfig
from zoo.program import errors_in_one_line
from zoo.store.names import check_names


def plan(config: PlanConfig) -> None:
    """Prints, and draws if asked, what a run needs."""
    from rich.console import Console

    from zoo.planning.picture import draw, show
    from zoo.planning.plan import plan

    planned = plan(config)
    show(planned, Console(markup=False))
    if config.picture:
        draw(planned, config.picture)
        print(f"Drawn into {config.picture}")


COMMANDS: dict[str, tuple[type, Callable[[Any], object]]] = {
    "list": (listing.ListConfig, listing.run),
    "info": (info.InfoConfig, info.run),
    "generate": (generate.GenerateConfig, generate.run),
    "sample": (sample.SampleConfig, sample.run),
    "translate": (translate.TranslateConfig, translate.run),
    "fill-mask": (fill_mask.FillMaskConfig, fill_mask.run),
    "evaluate": (evaluate.EvaluateConfig, evaluate.run),
    "train": (train.TrainConfig, train.run),
    "convert": (convert.ConvertConfig, convert.run),
    "plan": (PlanConfig, plan),
    "doctor": (doctor.DoctorConfig, doctor.run),
}
# These import no backend, or each in a process of its own.
WITHOUT_BACKEND = ("list", "info", "train", "doctor")


def parsed(args: list[str]) -> Any:
    """The subcommand's configuration; exits where the arguments make none."""
    if args[:1] == ["train"] and args[1:] and not args[1].startswith("-"):
        # What follows are the recipe's flags, not ours.
        return train.TrainConfig(args[1], tuple(args[2:]))
    return tyro.extras.subcommand_cli_from_dict(
        {name: kind for name, (kind, _) in COMMANDS.items()},
        prog="zoo",
        description="Generative models in Keras 3. `zoo COMMAND --help` says more.",
        args=args,
    )


def main(args: list[str] | None = None) -> None:
    """Runs the subcommand that the arguments name."""
    config = parsed(sys.argv[1:] if args is None else args)
    name = next(n for n, (kind, _) in COMMANDS.items() if isinstance(config, kind))
    try:
        with errors_in_one_line("zoo"):
            check_names(config)
            if name not in WITHOUT_BACKEND:
                backend.choose(getattr(config, "backends", ()))
            COMMANDS[name][1](config)
            sys.stdout.flush()
    except BrokenPipeError:
        # Who read has seen enough, as `head` does. Python would flush once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("zoo: stopped\n")
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
