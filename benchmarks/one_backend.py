"""Command line of the benchmarks that measure training speed on one backend.

Keras fixes its backend on import, and the thread pools of several backends interfere,
so each process measures one backend.
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict

from benchmarks.timing import Contender, interleave

BACKENDS = ("tensorflow", "jax", "torch")
HAND_WRITTEN = "hand-written"  # the baseline of every ratio
Figures = dict[str, dict[str, float]]


def timed(
    contenders: Mapping[str, Contender], items_per_step: int, seconds: float
) -> Figures:
    """Measures each contender in as many rounds as fit into `seconds`."""
    trial = interleave(contenders, HAND_WRITTEN, items_per_step, rounds=1, steps=2)
    step_seconds = sum(r.milliseconds_per_step for r in trial.values()) / 1000
    # At least ten steps per round: `fit` takes a while to start each epoch.
    rounds = min(15, max(5, int(seconds / step_seconds / 10)))
    steps = min(100, max(10, int(seconds / step_seconds / rounds)))
    results = interleave(
        contenders, HAND_WRITTEN, items_per_step, rounds=rounds, steps=steps
    )
    return {name: asdict(result) for name, result in results.items()}


def flags_of(cases: Mapping[str, object]) -> argparse.ArgumentParser:
    """Returns a parent parser with the flags that do not depend on the backend."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--case", choices=cases, action="append", help="default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each case")
    return parser


def command_line(
    description: str | None,
    cases: Mapping[str, object],
    measure: Callable[[argparse.Namespace, str], Figures],
) -> None:
    """Measures the cases selected by flags; prints one line of JSON.

    Args:
        description: text for `--help`.
        cases: mapping whose keys are the choices of `--case`.
        measure: returns a case's figures, given the flags and the case's name.
    """
    parser = argparse.ArgumentParser(
        description=description,
        parents=[flags_of(cases)],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--backend", choices=BACKENDS, required=True)
    flags = parser.parse_args()
    os.environ["KERAS_BACKEND"] = flags.backend
    print(json.dumps({case: measure(flags, case) for case in flags.case or cases}))


def all_cores() -> None:
    """Lets torch use every core available to this process."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
