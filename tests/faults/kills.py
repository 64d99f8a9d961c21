"""Kills recipes, resumes them, and compares the results with undisturbed runs.

    python -m tests.faults.kills --backend jax --kills 20 --seconds 600
    python -m tests.faults.kills --backend torch --recipes gpt_text cyclegan

A process is killed (SIGKILL) just before it opens, renames or removes one of its run's
files, or up to half a second later. The next process resumes, and may be killed too.
The run's checkpoints, metrics, presets, samples and figures must equal those of an
undisturbed run bit for bit. Prints a table with one row per recipe, and exits with 1 if
a run differed or could not be resumed.

Needs processes that fork, so it does not run on Windows.
"""

import argparse
import dataclasses
import functools
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.small_runs import RUNS, make_data, small_run

BACKENDS = ("torch", "jax", "tensorflow")
# The most kills in a row, each process resuming the one before.
LONGEST_CHAIN = 8
# Fields that belong to the process, not to the run.
UNLIKE = ("second", "peak_memory", "resume")
OTHERS = ("run.lock", "report.txt")
EVENTS = ("open", "os.rename", "os.remove")
# Seconds after which a process counts as hung.
HUNG = 600


@dataclasses.dataclass
class Row:
    """The outcomes of one recipe's kills."""

    recipe: str
    kills: int = 0
    equal: int = 0
    differing: int = 0
    refused: int = 0
    unsteady: list[str] = dataclasses.field(default_factory=list)
    said: list[str] = dataclasses.field(default_factory=list)

    @property
    def right(self) -> bool:
        return not (self.differing or self.refused or self.unsteady)


def state_of(out: Path) -> dict[str, str]:
    """Returns digests of a run's results, by file and name."""
    found: dict[str, str] = {}
    for file in sorted(file for file in out.rglob("*") if file.is_file()):
        name = str(file.relative_to(out))
        if file.name.startswith(("checkpoint", "best")):
            found |= {f"{name} {key}": x for key, x in checkpoint_of(file).items()}
        elif file.suffix in (".json", ".jsonl"):
            lines = file.read_text().splitlines()
            texts = lines if file.suffix == ".jsonl" else ["\n".join(lines)]
            found[name] = json.dumps([steady(json.loads(text)) for text in texts])
        # Plots and pages show times; the lock is not a result.
        elif file.suffix not in (".png", ".html") and file.name not in OTHERS:
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def checkpoint_of(file: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(str(file), "numpy") as saved:
        arrays = {name: saved.get_tensor(name).tobytes() for name in saved.keys()}
        words = saved.metadata()
    found = {name: hashlib.sha256(data).hexdigest() for name, data in arrays.items()}
    random_states = ("python_random", "numpy_random")
    found |= {name: words[name] for name in random_states}
    return found | {"extra": json.dumps(steady(json.loads(words["extra"])))}


def steady(value: Any) -> Any:
    """Removes times, memory and file locations."""
    if isinstance(value, list):
        return [steady(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: steady(item)
        for key, item in value.items()
        if key != "out" and not any(part in key for part in UNLIKE)
    }


class Recipe:
    """Runs one recipe in forked processes, with or without kills."""

    def __init__(self, name: str, folder: Path) -> None:
        self.module, self.config = small_run(name, folder / "data")
        self.folder = folder / name
        self.folder.mkdir()

    def run(self, out: Path, before: Callable[[Path], None] | None = None) -> int:
        """Starts or resumes the run in a process; returns its exit status."""
        left = (
            next(out.rglob(name), None)
            for name in ("checkpoint.safetensors", "summary.json")
        )
        resume = (out / "checkpoint.safetensors").exists() or (
            self.staged and (out / "config.json").exists() and any(left)
        )
        config = dataclasses.replace(self.config, out=out, resume=resume)
        child = os.fork()
        if not child:
            self._child(config, before)
        end = time.monotonic() + HUNG
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return status
            time.sleep(0.01)
        os.kill(child, signal.SIGABRT)
        return os.waitpid(child, 0)[1]

    @property
    def staged(self) -> bool:
        return any(self.folder.glob("*/*/config.json"))

    def _child(self, config: Any, before: Callable[[Path], None] | None) -> None:
        status = 1
        try:
            words = os.open(self.words, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(words, 1)
            os.dup2(words, 2)
            if before:
                before(config.out)
            self.module.main(config)
            (self.folder / "modules.txt").write_text("\n".join(sys.modules))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    @property
    def words(self) -> Path:
        return self.folder / "words.txt"

    def import_modules(self) -> None:
        """Imports modules once, so that forked processes start quickly."""
        for name in (self.folder / "modules.txt").read_text().splitlines():
            if not name.startswith(("__main__", "tests", "google")):
                try:
                    importlib.import_module(name)
                except Exception:  # a module created by another one
                    continue


def at_file_events(act: Callable[[int], None]) -> Callable[[Path], None]:
    """Calls `act` with the index of each event that writes a file of the run."""

    def start(out: Path) -> None:
        count, within = 0, str(out)

        def hook(event: str, arguments: tuple) -> None:
            nonlocal count
            if event not in EVENTS or not str(arguments[0]).startswith(within):
                return
            writing = os.O_WRONLY | os.O_RDWR
            if event == "open" and not (arguments[2] or 0) & writing:
                return
            count += 1
            act(count)

        sys.addaudithook(hook)

    return start


def dying(number: int, delay: float) -> Callable[[Path], None]:
    """Kills the process at an event, or some seconds after it."""

    def act(count: int) -> None:
        if count != number:
            return
        kill = functools.partial(os.kill, os.getpid(), signal.SIGKILL)
        if delay:
            threading.Timer(delay, kill).start()
        else:
            kill()

    return at_file_events(act)


def tried(name: str, folder: Path, kills: int, end: float, rng: random.Random) -> Row:
    """Kills a recipe the given number of times, or until time is up."""
    row, recipe = Row(name), Recipe(name, folder)
    whole, counted = recipe.folder / "whole", recipe.folder / "events"
    count = at_file_events(lambda number: counted.write_text(str(number)) and None)
    if recipe.run(whole, before=count) != 0:
        row.refused, row.said = 1, [recipe.words.read_text()[-2000:]]
        return row
    recipe.import_modules()
    events = int(counted.read_text())
    expected = state_of(whole)
    while row.kills < kills and (time.monotonic() < end or not row.kills):
        out, killed = recipe.folder / "killed", 0
        status = int(signal.SIGKILL)
        while status == signal.SIGKILL:
            more = row.kills < kills and killed < LONGEST_CHAIN
            if more and (time.monotonic() < end or not killed):
                number = rng.randint(1, max(1, events * 2 // 3))
                delay = rng.choice([0.0, rng.uniform(0.0, 0.5)])
                status = recipe.run(out, before=dying(number, delay))
            else:
                status = recipe.run(out)
            if status == signal.SIGKILL:
                row.kills, killed = row.kills + 1, killed + 1
        if status != 0:
            row.refused += 1
            row.said.append(recipe.words.read_text()[-2000:])
        elif found := differing(expected, state_of(out)):
            row.differing += killed
            row.said.append(f"differs in {found[:8]}")
        else:
            row.equal += killed
        shutil.rmtree(out)
    if row.differing:
        # Do two undisturbed runs differ there as well?
        again = recipe.folder / "again"
        recipe.run(again)
        row.unsteady = differing(expected, state_of(again))
    return row


def differing(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    names = expected.keys() | found.keys()
    return sorted(name for name in names if expected.get(name) != found.get(name))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=BACKENDS, default="torch")
    parser.add_argument("--recipes", nargs="*", choices=RUNS, default=list(RUNS))
    parser.add_argument("--kills", type=int, default=4, help="of each recipe")
    parser.add_argument("--seconds", type=float, default=600, help="for all of it")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kills_"))
    os.environ |= {
        "KERAS_BACKEND": asked.backend,
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "MPLBACKEND": "Agg",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "jax_cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    make_data(folder / "data")
    rows, started = [], time.monotonic()
    print(f"{'recipe':20} backend     kills  equal  differing  refused", flush=True)
    for index, name in enumerate(asked.recipes):
        # The remaining recipes share the time evenly.
        now = time.monotonic()
        share = (started + asked.seconds - now) / (len(asked.recipes) - index)
        if share <= 0:
            print(f"no time was left for {', '.join(asked.recipes[index:])}")
            break
        rng = random.Random(f"{asked.seed} {name}")
        row = tried(name, folder, asked.kills, now + share, rng)
        rows.append(row)
        print(
            f"{name:20} {asked.backend:10} {row.kills:6} {row.equal:6} "
            f"{row.differing:10} {row.refused:8}",
            flush=True,
        )
        if row.unsteady:
            print(f"  two undisturbed runs differ in {row.unsteady[:6]}")
        for words in row.said:
            print(f"  {words}")
    shutil.rmtree(folder)
    totals = (sum(getattr(r, n) for r in rows) for n in ("kills", "equal"))
    print("{} kills, {} of them equal to the undisturbed run".format(*totals))
    sys.exit(not (rows and all(row.right for row in rows)))


if __name__ == "__main__":
    main()
