"""Kills recipes, resumes them, and compares with runs that nothing disturbed.

    python -m tests.faults.kills --backend jax --kills 20 --seconds 600
    python -m tests.faults.kills --backend torch --recipes gpt_text cyclegan

A process is killed (SIGKILL) at a random moment, or just before it opens, renames or
removes a file of its run; the next one goes on, and may be killed too. What a run ends
with, its checkpoints, metrics, presets, samples and figures, has to be bit for bit what
the undisturbed run ends with. Prints a table, a row a recipe, and ends with 1 if a run
differed, or was not taken up again.

Works where processes fork: not on Windows.
"""

import argparse
import dataclasses
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.small_runs import RUNS, make_data, small_run

BACKENDS = ("torch", "jax", "tensorflow")
# A chain of runs of which each goes on from where the one before was killed.
LONGEST_CHAIN = 4
# What is of the process rather than of the run.
UNLIKE = ("second", "peak_memory", "resume")
EVENTS = ("open", "os.rename", "os.remove")


@dataclasses.dataclass
class Row:
    """What came of a recipe's kills."""

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
    """What a run left, as digests by file and name."""
    found: dict[str, str] = {}
    for file in sorted(file for file in out.rglob("*") if file.is_file()):
        name = str(file.relative_to(out))
        if file.name == "checkpoint.safetensors":
            found |= {f"{name} {key}": x for key, x in checkpoint_of(file).items()}
        elif file.suffix in (".json", ".jsonl"):
            lines = file.read_text().splitlines()
            texts = lines if file.suffix == ".jsonl" else ["\n".join(lines)]
            found[name] = json.dumps([steady(json.loads(text)) for text in texts])
        # Pictures show times, too; the lock is nobody's.
        elif file.suffix != ".png" and file.name not in ("run.lock", "report.txt"):
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
    """Without times, memory and where files lie."""
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
    """Runs one recipe in forked processes, killed or not."""

    def __init__(self, name: str, folder: Path) -> None:
        self.module, self.config = small_run(name, folder / "data")
        self.folder = folder / name
        self.folder.mkdir()

    def run(
        self, out: Path, *, seconds: float, before: Callable[[Path], None] | None = None
    ) -> int | None:
        """The exit status; None if it was killed after `seconds`."""
        left = (next(out.rglob(name), None) for name in ("*.safetensors", "s*.json"))
        resume = (out / "checkpoint.safetensors").exists() or (
            (out / "config.json").exists() and any(left) and self.staged
        )
        child = os.fork()
        if not child:
            self._child(
                dataclasses.replace(self.config, out=out, resume=resume), before
            )
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return status
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return None

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
        """Here, once: processes that fork from this one start at once."""
        for name in (self.folder / "modules.txt").read_text().splitlines():
            if not name.startswith(("__main__", "tests", "google")):
                try:
                    importlib.import_module(name)
                except Exception:  # a module that another one makes
                    continue


def at_file_events(out: Path, act: Callable[[int], None]) -> None:
    """Calls `act` with the number of each writing event of a file in the folder."""
    count, within = 0, str(out)

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        if event not in EVENTS or not str(arguments[0]).startswith(within):
            return
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        count += 1
        act(count)

    sys.addaudithook(hook)


def dying_at(number: int) -> Callable[[Path], None]:
    def act(count: int) -> None:
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda out: at_file_events(out, act)


def counting(file: Path) -> Callable[[Path], None]:
    return lambda out: at_file_events(out, lambda n: file.write_text(str(n)) and None)


def tried(name: str, folder: Path, kills: int, end: float, rng: random.Random) -> Row:
    """Kills a recipe as often, or until it is time."""
    row, recipe = Row(name), Recipe(name, folder)
    whole, counted = recipe.folder / "whole", recipe.folder / "count"
    if recipe.run(whole, seconds=600, before=counting(counted)) != 0:
        row.refused, row.said = 1, [recipe.words.read_text()[-2000:]]
        return row
    recipe.import_modules()
    started = time.monotonic()
    recipe.run(recipe.folder / "again", seconds=600)
    duration = time.monotonic() - started
    events = int(counted.read_text())
    expected = state_of(whole)
    row.unsteady = differing(expected, state_of(recipe.folder / "again"))
    while row.kills < kills and time.monotonic() < end:
        out = recipe.folder / "killed"
        killed = 0
        while True:
            more = row.kills < kills and killed < LONGEST_CHAIN
            if not more:
                status = recipe.run(out, seconds=600)
            elif rng.random() < 0.5:
                status = recipe.run(out, seconds=rng.uniform(0.05, 1.0) * duration)
            else:
                at = dying_at(rng.randint(1, max(1, events // 2)))
                status = recipe.run(out, seconds=600, before=at)
            if more and status in (None, signal.SIGKILL):
                row.kills, killed = row.kills + 1, killed + 1
                continue
            break
        if status != 0:
            row.refused += 1
            row.said.append(recipe.words.read_text()[-2000:])
        elif found := differing(expected, state_of(out)):
            row.differing += killed
            row.said.append(f"differs in {found[:8]}")
        else:
            row.equal += killed
        shutil.rmtree(out)
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
        "TF_CPP_MIN_LOG_LEVEL": "3",
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
        # Time is shared evenly by those that are left.
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
