"""`python -m benchmarks`: training speed on every backend, as a table and as JSON.

Runs `benchmarks.training` once per backend, each in its own process.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.one_backend import BACKENDS, flags_of
from benchmarks.shapes import SHAPES

OUT = Path("runs/bench/training.json")


def measured(backend: str, flags: list[str]) -> dict:
    """Returns one backend's results, measured in a separate process."""
    command = [sys.executable, "-m", "benchmarks.training", "--backend", backend]
    done = subprocess.run([*command, *flags], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)  # the process has printed the reason
    return json.loads(done.stdout.splitlines()[-1])


def table(results: dict) -> Table:
    """Tabulates speeds, and their ratios to the same backend's hand-written loop."""
    made = Table(title="GPT training, float32")
    for column in ("shape", "backend", "contender"):
        made.add_column(column)
    for column in ("tokens/s", "ms/step", "of hand-written", "min–max"):
        made.add_column(column, justify="right")
    for backend, shapes in results.items():
        for shape, contenders in shapes.items():
            for name, r in contenders.items():
                made.add_row(
                    shape,
                    backend,
                    name,
                    f"{r['tokens_per_second']:,.0f}",
                    f"{r['milliseconds_per_step']:.1f}",
                    f"{r['ratio']:.3f}",
                    f"{r['ratio_min']:.2f}–{r['ratio_max']:.2f}",
                )
    return made


def main() -> None:
    """Measures one backend after another; prints and writes the results."""
    argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        parents=[flags_of(SHAPES)],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    console = Console()
    results = {}
    for backend in BACKENDS:
        with console.status(f"{backend} …"):
            results[backend] = measured(backend, sys.argv[1:])
        OUT.parent.mkdir(parents=True, exist_ok=True)
        OUT.write_text(json.dumps(results, indent=2) + "\n")
    console.print(table(results))
    console.print(f"written to {OUT}")


if __name__ == "__main__":
    main()
