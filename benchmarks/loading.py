"""Loading a Hugging Face folder: time and memory, in zoo, transformers and Keras Hub.

    python -m benchmarks.loading --backend torch

GPT-2 medium's size (1.4 GB) with random weights, in a temporary folder. Contenders take
turns, each load in a process of its own. The clock starts once everything is imported
and stops once every page of all weights has been touched. Memory is the process's peak
minus what it held before. The file is in the system's cache.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.one_backend import BACKENDS

PAGE = 1024  # floats


def touched(weights: Any) -> float:
    """Reads one float of every page, and copies nothing else."""
    return sum(float(weight.reshape(-1)[::PAGE].sum()) for weight in weights)


def touched_in_keras(model: Any) -> float:
    from keras import ops

    flat = (ops.reshape(weight, (-1,)) for weight in model.trainable_weights)
    return sum(float(ops.sum(weight[::PAGE])) for weight in flat)


def zoo_loads() -> Callable[[str], float]:
    import zoo

    zoo.GPT(zoo.GPTConfig(5, 4, 1, 1, 4))  # imports what loads lazily

    def load(folder: str) -> float:
        model = zoo.GPT.from_preset(folder)
        return touched_in_keras(model)

    return load


def transformers_loads() -> Callable[[str], float]:
    from transformers import GPT2LMHeadModel

    def load(folder: str) -> float:
        model = GPT2LMHeadModel.from_pretrained(folder)
        return touched(w.detach() for w in model.parameters())

    return load


def keras_hub_loads() -> Callable[[str], float]:
    from keras_hub.models import GPT2Backbone

    def load(folder: str) -> float:
        model = GPT2Backbone.from_preset(folder)
        return touched_in_keras(model)

    return load


CONTENDERS = {
    "zoo": zoo_loads,
    "transformers": transformers_loads,
    "keras_hub": keras_hub_loads,
}


def held(field: str) -> int:
    """Returns a memory field of this process from Linux's status file, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])


def measure(name: str, folder: str) -> dict[str, float]:
    """Measures one contender in this process."""
    load = CONTENDERS[name]()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, start = held("VmRSS"), time.perf_counter()
    checksum = load(folder)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "peak_bytes": held("VmHWM") - before,
        "checksum": checksum,
    }


def in_a_process(name: str, folder: str) -> dict[str, float]:
    """Measures one contender in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.loading", "--measure", name, folder],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def write_folder(folder: str, preset: str) -> None:
    """Writes a GPT-2 of the preset's size as transformers would save it."""
    import zoo
    from zoo.models.language.gpt_sizes import PRESETS

    config = dataclasses.replace(PRESETS[preset], dropout=0.0)
    zoo.presets.export_gpt2(zoo.GPT(config), folder)


def main() -> None:
    """Measures the contenders that are installed; prints a line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=BACKENDS, default="torch")
    parser.add_argument("--preset", default="gpt2_medium")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", flags.backend)
    if flags.write:
        write_folder(flags.write, flags.preset)
        return
    if flags.measure:
        print(json.dumps(measure(*flags.measure)))
        return
    os.environ["KERAS_BACKEND"] = flags.backend
    names = [name for name in CONTENDERS if importlib.util.find_spec(name)]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        # In a child, since the children measured later inherit this process's page
        # table.
        command = [sys.executable, "-m", "benchmarks.loading", "--write", folder]
        subprocess.run([*command, "--preset", flags.preset], check=True)
        for turn in range(flags.rounds):
            for name in names if turn % 2 == 0 else reversed(names):
                run = in_a_process(name, folder)
                print(name, json.dumps(run), file=sys.stderr, flush=True)
                runs[name].append(run)
    results: dict[str, Any] = {"backend": flags.backend, "preset": flags.preset}
    for name, own in runs.items():
        entry = {
            key: statistics.median(run[key] for run in own)
            for key in ("seconds", "peak_bytes")
        }
        for key in ("seconds", "peak_bytes"):
            ratios = [a[key] / b[key] for a, b in zip(own, runs["zoo"], strict=True)]
            entry[f"{key}_over_zoo"] = statistics.median(ratios)
            entry[f"{key}_over_zoo_min_max"] = [min(ratios), max(ratios)]
        results[name] = entry
    print(json.dumps(results))


if __name__ == "__main__":
    main()
