"""`zoo`, the command line.

Each subcommand is a frozen dataclass, from which tyro makes the flags, and a function
that takes it. A subcommand imports what it needs only when it runs.
"""

import contextlib
import dataclasses
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import tyro

from zoo.commands import (
    cite,
    completion,
    convert,
    doctor,
    evaluate,
    fill_mask,
    generate,
    info,
    listing,
    plan,
    push,
    runs,
    sample,
    train,
    translate,
)
from zoo.commands.shared import backend
from zoo.commands.shared.printed import unboxed
from zoo.planning.config import PlanConfig
from zoo.program import errors_in_one_line
from zoo.store.names import check_names
from zoo.version import __version__

# The status of a program that wrote to a closed pipe, as shells report it.
BROKEN_PIPE = 128 + 13


def print_completion(config: completion.CompletionConfig) -> None:
    """Prints the script that tyro makes from all flags."""
    with contextlib.suppress(SystemExit):
        tyro.extras.subcommand_cli_from_dict(
            {name: command.config for name, command in COMMANDS.items()},
            prog="zoo",
            args=["--tyro-print-completion", config.shell],
        )


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        config: its configuration, a dataclass.
        run: what it does.
        check: raises for a request that can't be met, before a backend starts.
        backend: whether a backend is started for it.
    """

    config: type
    run: Callable[[Any], object]
    check: Callable[[Any], None] | None = None
    backend: bool = True


COMMANDS = {
    "list": Command(listing.ListConfig, listing.run, backend=False),
    "info": Command(info.InfoConfig, info.run, info.check, backend=False),
    "cite": Command(cite.CiteConfig, cite.run, backend=False),
    "generate": Command(generate.GenerateConfig, generate.run, generate.check),
    "sample": Command(sample.SampleConfig, sample.run, sample.check),
    "translate": Command(translate.TranslateConfig, translate.run, translate.check),
    "fill-mask": Command(fill_mask.FillMaskConfig, fill_mask.run, fill_mask.check),
    "evaluate": Command(evaluate.EvaluateConfig, evaluate.run, evaluate.check),
    "train": Command(train.TrainConfig, train.run, backend=False),
    "runs": Command(runs.RunsConfig, runs.run, backend=False),
    "convert": Command(convert.ConvertConfig, convert.run, convert.check),
    "push": Command(push.PushConfig, push.run, backend=False),
    "plan": Command(PlanConfig, plan.run, plan.check),
    "doctor": Command(doctor.DoctorConfig, doctor.run, backend=False),
    "completion": Command(completion.CompletionConfig, print_completion, backend=False),
}


def parsed(args: list[str]) -> Any:
    """Parses the subcommand's configuration; exits if the arguments are invalid."""
    if args[:1] == ["train"] and args[1:] and not args[1].startswith("-"):
        # The rest are the recipe's flags, not ours.
        return train.TrainConfig(args[1], tuple(args[2:]))
    if args == ["--version"]:
        print(f"zoo {__version__}")
        sys.exit()
    overview = args[:1] in ([], ["-h"], ["--help"])
    commands: dict[str, Callable[..., Any]] = {
        name: _titled(command.config) if overview else command.config
        for name, command in COMMANDS.items()
    }
    with _plain_in_pipes():
        return tyro.extras.subcommand_cli_from_dict(
            commands,
            prog="zoo",
            description="Generative models in Keras 3. Details: `zoo COMMAND --help`. "
            "The version: `zoo --version`.",
            args=args,
        )


def _titled(kind: type) -> type:
    """Stands for a subcommand in the overview, with its docstring's first line."""
    # A dataclass, since tyro imports a type checker for functions.
    titled = dataclasses.make_dataclass(kind.__name__, ())
    titled.__doc__ = (kind.__doc__ or "").partition("\n")[0]
    return titled


@contextlib.contextmanager
def _plain_in_pipes() -> Iterator[None]:
    """Removes the frames of tyro's help and errors, except in a terminal."""

    def held(stream: TextIO) -> io.StringIO | None:
        return None if stream.isatty() else io.StringIO()

    outputs = [(stream, held(stream)) for stream in (sys.stdout, sys.stderr)]
    (_, out), (_, error) = outputs
    try:
        with contextlib.ExitStack() as stack:
            if out is not None:
                stack.enter_context(contextlib.redirect_stdout(out))
            if error is not None:
                stack.enter_context(contextlib.redirect_stderr(error))
            yield
    finally:
        for stream, written in outputs:
            if written is not None and (text := written.getvalue()):
                stream.write(f"{unboxed(text)}\n")


def main(args: list[str] | None = None) -> None:
    """Runs the subcommand that the arguments name.

    Exits with status 0, 1 (an error), 2 (wrong usage), 130 (interrupted) or 141 (the
    reader of a pipe left).
    """
    try:
        config = parsed(sys.argv[1:] if args is None else args)
        command = next(x for x in COMMANDS.values() if isinstance(config, x.config))
        with errors_in_one_line("zoo"):
            check_names(config)
            if command.check is not None:
                command.check(config)
            if command.backend:
                backend.choose(getattr(config, "backends", ()))
            command.run(config)
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, closed the pipe early. Without this, Python
        # would flush, and fail, once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
    except KeyboardInterrupt:
        sys.stderr.write("zoo: stopped\n")
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
