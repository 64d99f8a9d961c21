"""`zoo`, the command line.

Each subcommand is a frozen dataclass, from which tyro makes the flags, and a function
that takes it. A subcommand imports what it needs only when it runs.
"""

import dataclasses
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
    """Prints what a training run needs, and draws it if asked."""
    from rich.console import Console

    from zoo.planning.picture import draw, show
    from zoo.planning.plan import plan

    planned = plan(config)
    show(planned, Console(markup=False))
    if config.picture:
        draw(planned, config.picture)
        print(f"Drew {config.picture}")


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
# These need no backend, or choose one themselves.
WITHOUT_BACKEND = ("list", "info", "train", "doctor")


def parsed(args: list[str]) -> Any:
    """Parses the subcommand's configuration; exits if the arguments are invalid."""
    if args[:1] == ["train"] and args[1:] and not args[1].startswith("-"):
        # The rest are the recipe's flags, not ours.
        return train.TrainConfig(args[1], tuple(args[2:]))
    overview = args[:1] in ([], ["-h"], ["--help"])
    commands: dict[str, Callable[..., Any]] = {
        name: _titled(kind) if overview else kind
        for name, (kind, _) in COMMANDS.items()
    }
    return tyro.extras.subcommand_cli_from_dict(
        commands,
        prog="zoo",
        description="Generative models in Keras 3. Details: `zoo COMMAND --help`.",
        args=args,
    )


def _titled(kind: type) -> type:
    """Stands for a subcommand in the overview, with its docstring's first line."""
    # A dataclass, since tyro imports a type checker for functions.
    titled = dataclasses.make_dataclass(kind.__name__, ())
    titled.__doc__ = (kind.__doc__ or "").partition("\n")[0]
    return titled


def main(args: list[str] | None = None) -> None:
    """Runs the subcommand that the arguments name."""
    try:
        config = parsed(sys.argv[1:] if args is None else args)
        name = next(n for n, (kind, _) in COMMANDS.items() if isinstance(config, kind))
        with errors_in_one_line("zoo"):
            check_names(config)
            if name not in WITHOUT_BACKEND:
                backend.choose(getattr(config, "backends", ()))
            COMMANDS[name][1](config)
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, closed the pipe early. Without this, Python
        # would flush, and fail, once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("zoo: stopped\n")
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
