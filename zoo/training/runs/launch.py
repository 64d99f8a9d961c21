"""Runs a recipe as a program: its flags, and its message when stopped."""

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from zoo.program import SIGNALS, errors_in_one_line, stoppable
from zoo.training.runs.checkpoint import read_extra
from zoo.training.runs.config import RunConfig, parse
from zoo.training.runs.kept import CHECKPOINT
from zoo.training.runs.output import outlive_output
from zoo.training.runs.report import ended

C = TypeVar("C", bound=RunConfig)


def launch(
    main: Callable[[C], Any], variants: Mapping[str, C], description: str | None
) -> None:
    """Runs a recipe with the flags on the command line.

    Args:
        main: the recipe's function of the configuration.
        variants: named configurations, which the flags override.
        description: the first lines of `--help`.
    """
    outlive_output()
    config = parse(variants, description or "")
    with stoppable() as received:
        try:
            with errors_in_one_line(_program()):
                try:
                    main(config)
                except BaseException as error:
                    ended(Path(config.out), error)
                    raise
        except KeyboardInterrupt:
            _stopped(config, received[-1])
        except (Exception, SystemExit):
            # A framework may have turned the interrupt into an error of its own.
            if not received:
                raise
            _stopped(config, received[-1])


def _stopped(config: RunConfig, number: int) -> NoReturn:
    """Prints how to resume, and exits with the status of a signal."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    found = sorted(
        Path(config.out).rglob(CHECKPOINT), key=lambda file: file.stat().st_mtime
    )
    words = "Stopped before the first checkpoint: there is nothing to resume from."
    if found:
        update = read_extra(found[-1])["rows"][-1]["update"]
        words = (
            f"Stopped. {found[-1]} is from update {update}. To resume from there:\n"
            f"  {_command()}"
        )
    with contextlib.suppress(OSError):  # the terminal may be closed
        print(f"\n{words}", file=sys.stderr, flush=True)
    sys.exit(128 + number)


def _program() -> str:
    """The name that this program was started by."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    if module is None or sys.argv[0].startswith("zoo "):
        return sys.argv[0]
    return f"python -m {module.name}"


def _command() -> str:
    """The command that resumes this program."""
    flags = [flag for flag in sys.argv[1:] if flag != "--resume"]
    backend = os.environ.get("KERAS_BACKEND")
    chosen = f"KERAS_BACKEND={backend} " if backend else ""
    return f"{chosen}{_program()} {shlex.join([*flags, '--resume'])}"
