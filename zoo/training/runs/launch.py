"""A recipe as a program: its flags, and what it says when it is stopped."""

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
from zoo.training.runs.output import outlive_output
from zoo.training.runs.run import CHECKPOINT, RunConfig, parse

C = TypeVar("C", bound=RunConfig)


def launch(
    main: Callable[[C], Any], variants: Mapping[str, C], description: str | None
) -> None:
    """Runs a recipe by the flags on the command line.

    Args:
        main: Takes the configuration.
        variants: Named configurations, which the flags override.
        description: What `--help` begins with.
    """
    outlive_output()
    config = parse(variants, description or "")
    with stoppable() as received:
        try:
            with errors_in_one_line(_program()):
                main(config)
        except KeyboardInterrupt:
            _stopped(config, received[-1])
        except (Exception, SystemExit):
            # A framework may have made an error of its own of the interrupt.
            if not received:
                raise
            _stopped(config, received[-1])


def _stopped(config: RunConfig, number: int) -> NoReturn:
    """Says what there is to go on from, and ends as a program does by a signal."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    found = sorted(
        Path(config.out).rglob(CHECKPOINT), key=lambda file: file.stat().st_mtime
    )
    words = "Stopped before the first checkpoint: there is nothing to resume from."
    if found:
        update = read_extra(found[-1])["rows"][-1]["update"]
        words = (
            f"Stopped. {found[-1]} is of update {update}. To go on from there:\n"
            f"  {_command()}"
        )
    with contextlib.suppress(OSError):  # of a terminal that is closed
        print(f"\n{words}", file=sys.stderr, flush=True)
    sys.exit(128 + number)


def _program() -> str:
    """How this program was named by who started it."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    if module is None or sys.argv[0].startswith("zoo "):
        return sys.argv[0]
    return f"python -m {module.name}"


def _command() -> str:
    """What starts it again, to resume."""
    flags = [flag for flag in sys.argv[1:] if flag != "--resume"]
    backend = os.environ.get("KERAS_BACKEND")
    chosen = f"KERAS_BACKEND={backend} " if backend else ""
    return f"{chosen}{_program()} {shlex.join([*flags, '--resume'])}"
