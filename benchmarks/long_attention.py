"""Long texts: a layer of sliding-window attention, and one of full attention.

    python -m benchmarks.long_attention --backend torch

Forward and backward, causal, one text, float32, one thread. Where the backend has a
fused kernel, as torch does, full attention needs only linear memory too, except with a
learned bias such as T5's, which materialises all scores. Each case runs in a process of
its own; memory is how much the steps add to its peak.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

from benchmarks.one_backend import BACKENDS

LENGTHS = (1024, 4096, 16384)
HEADS, WIDTH, WINDOW, ROUNDS = 8, 256, 256, 2
# name: (window, whether there is a bias)
KINDS = {
    "sliding": (WINDOW, False),
    "full": (0, False),
    "sliding, T5's bias": (WINDOW, True),
    "full, T5's bias": (0, True),
}
# Cases whose scores would take more bytes than this are skipped.
MOST = 2**31


def measure(kind: str, length: int) -> dict[str, float]:
    """Returns a step's median milliseconds and its peak memory in MiB."""
    import keras
    import numpy as np

    from zoo.layers import MultiHeadAttention, T5Bias

    if keras.config.backend() == "torch":
        import torch

        torch.set_num_threads(1)
    window, biased = KINDS[kind]
    relative = T5Bias(HEADS, causal=True) if biased else None
    layer = MultiHeadAttention(
        HEADS, WIDTH, causal=True, window=window, relative=relative
    )
    inputs = keras.Input((length, WIDTH))
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x = np.random.default_rng(0).normal(size=(1, length, WIDTH)).astype("float32")
    before = _peak()
    seconds = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        model.train_on_batch(x, x)
        seconds.append(time.perf_counter() - start)
    return {
        "milliseconds": 1000 * statistics.median(seconds[1:]),
        "mebibytes": (_peak() - before) / 1024,
    }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measures one backend; prints one line of JSON per case, and a table."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=BACKENDS, required=True)
    backend = parser.parse_args().backend
    environment = {**os.environ, "KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"}
    table = Table(title=f"Causal attention, width {WIDTH}, window {WINDOW}, {backend}")
    for column in ("tokens", "attention", "ms/step", "MiB"):
        table.add_column(column, justify="left" if column == "attention" else "right")
    for length in LENGTHS:
        for kind, (window, biased) in KINDS.items():
            if biased and not window and 4 * HEADS * length**2 > MOST:
                continue
            command = [sys.executable, "-m", "benchmarks.long_attention"]
            done = subprocess.run(
                [*command, "--measure", kind, str(length)],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            r = json.loads(done.stdout.splitlines()[-1])
            print(json.dumps({"tokens": length, "attention": kind, **r}), flush=True)
            table.add_row(
                f"{length:,}",
                kind,
                f"{r['milliseconds']:,.0f}",
                f"{r['mebibytes']:,.0f}",
            )
    Console().print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[3]))))
    else:
        main()
