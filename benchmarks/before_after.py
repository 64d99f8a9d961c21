"""Compares the step times of two checkouts, taking turns in one run.

    KERAS_BACKEND=torch python -m benchmarks.before_after OLD_CHECKOUT . --model vae

Each checkout trains in a process of its own, pinned to the same core with one thread.
They take turns, so that a drift of the machine hits both; the ratio new / old of each
round's CPU time is reported with its spread.
"""

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

Model = Literal["gpt", "vae", "classifier"]
STEPS = {"gpt": 20, "vae": 150, "classifier": 20}


@dataclass(frozen=True)
class Config:
    """Two checkouts and what they train.

    Attributes:
        old: the checkout to compare with.
        new: the other one.
        model: a GPT (0.8 M), an MLP VAE or a small convolutional classifier.
        rounds: turns of each.
    """

    old: Annotated[Path, tyro.conf.Positional]
    new: Annotated[Path, tyro.conf.Positional]
    model: Model = "gpt"
    rounds: int = 20


def main(config: Config) -> None:
    """Prints the medians and the ratio."""
    processes = [start(path, config.model) for path in (config.old, config.new)]
    times: list[list[float]] = [[], []]
    for turn in range(config.rounds):
        for which in ((0, 1), (1, 0))[turn % 2]:
            times[which].append(ask(processes[which]))
    for process in processes:
        process.communicate()
    ratios = sorted(new / old for old, new in zip(*times, strict=True))
    error = statistics.stdev(ratios) / len(ratios) ** 0.5
    quarter = len(ratios) // 4
    old, new = (1e3 * statistics.median(each) for each in times)
    print(
        f"{config.model}, {os.environ['KERAS_BACKEND']}: {old:.2f} ms, {new:.2f} ms a "
        f"step; new / old: median {statistics.median(ratios):.3f}, quartiles "
        f"{ratios[quarter]:.3f} and {ratios[-1 - quarter]:.3f}, mean "
        f"{statistics.mean(ratios):.3f} ± {error:.3f}"
    )


def start(checkout: Path, model: Model) -> subprocess.Popen:
    """A process that trains with a checkout's code when it is asked to."""
    command = [sys.executable, str(Path(__file__).resolve()), "worker", model]
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    threads |= {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    process = subprocess.Popen(
        command,
        cwd=checkout,
        env={**os.environ, **threads, "PYTHONPATH": str(checkout.resolve())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
    ask(process)  # which compiles
    return process


def ask(process: subprocess.Popen) -> float:
    """Has it train; returns CPU seconds per step."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("seconds "):
            return float(line.split()[1])
    raise RuntimeError("The worker died: run it by hand to see why.")


def worker(model: Model) -> None:
    """Trains some steps for each line of standard input."""
    import keras
    import numpy as np

    import zoo

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    images = rng.random((100, 28, 28, 1), "float32")
    match model:
        case "gpt":
            made = zoo.GPT(zoo.GPTConfig(65, 64, 4, 4, 128))
            ids = rng.integers(0, 65, (12, 65)).astype("int32")
            batch = (ids[:, :-1], ids[:, 1:])
        case "vae":
            made, batch = zoo.VAE(zoo.VAEConfig((28, 28, 1))), (images,)
        case "classifier":
            made = zoo.ImageClassifier(zoo.ImageClassifierConfig())
            batch = (images, rng.integers(0, 10, 100).astype("int32"))
    made.compile("adam")

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return STEPS[model]

        def __getitem__(self, index):
            return batch

    for _ in sys.stdin:
        began = time.process_time()
        made.fit(Batches(), verbose=0, shuffle=False)
        print("seconds", (time.process_time() - began) / STEPS[model], flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(sys.argv[2])  # type: ignore[arg-type]
    else:
        main(tyro.cli(Config))
