"""Cost of sharding: step time on several devices over one, same global batch.

    python -m benchmarks.scaling [tensorflow|jax|torch ...]

Virtual devices share this machine's cores and cannot speed anything up, so the ratio is
the strategy's overhead, and 1 is ideal. Also reports the bytes of weights and optimizer
state that each device holds.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")
DEVICES, ROUNDS, STEPS = 4, 5, 10
CELLS = {
    "data 4": {"data": 4},
    "model 4": {"data": 1, "model": 4},
    "data 2 x model 2": {"data": 2, "model": 2},
    "data 4, sharded": {"data": 4, "shard_parameters": True},
}
OUT = Path("runs/bench/scaling.json")


def virtual_devices(backend: str) -> None:
    """Sets up virtual devices; call it before the backend starts."""
    if backend == "jax":
        count = f"--xla_force_host_platform_device_count={DEVICES}"
        os.environ["XLA_FLAGS"] = count
    elif backend == "tensorflow":
        import tensorflow as tf

        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * DEVICES,
        )


def make_fit():
    """Returns a compiled GPT (4 layers, width 128) and a function that times steps."""
    import keras
    import numpy as np

    import zoo

    keras.utils.set_random_seed(0)
    model = zoo.GPT(zoo.GPTConfig(64, 64, 4, 4, 128))
    model.compile(keras.optimizers.AdamW(1e-3, global_clipnorm=1.0))
    data = np.random.default_rng(0).integers(64, size=(16 * STEPS, 65), dtype="int32")

    def fit() -> float:
        start = time.perf_counter()
        model.fit(data, batch_size=16, shuffle=False, verbose=0)
        return (time.perf_counter() - start) / STEPS

    return model, fit


def timed(fit) -> float:
    """Returns the median of several rounds, after one that compiles."""
    fit()
    return statistics.median(fit() for _ in range(ROUNDS))


def measure(backend: str) -> dict:
    """Returns milliseconds per step, ratio to one device, and bytes per device."""
    from zoo.distribution import use
    from zoo.engine.current import engine

    cells = dict(CELLS)
    if backend == "tensorflow":
        cells["data 4"] = {"data": 4, "strategy": "dtensor"}
        cells["data 2, mirrored"] = {"data": 2}
        with use(**cells["data 4"]):  # DTensor has to start first
            pass
    alone = os.environ.get("RANK", "0") == "0"
    one = timed(make_fit()[1]) if alone else 0.0
    results = {"one device": {"milliseconds": 1000 * one, "ratio": 1.0}}
    for name, flags in cells.items():
        with use(**flags):
            model, fit = make_fit()
            seconds = timed(fit)
            held = engine().held_bytes([*model.variables, *model.optimizer.variables])
            results[name] = {
                "milliseconds": 1000 * seconds,
                "ratio": seconds / one if alone else 0.0,
                "bytes": held,
            }
    return results


def main() -> None:
    """Measures one backend after another; prints and writes the results."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Step time on virtual devices, relative to one device")
    for column in ("backend", "devices", "ms/step", "of one device", "MB per device"):
        left = column in ("backend", "devices")
        table.add_column(column, justify="left" if left else "right")
    everything = {}
    for backend in sys.argv[1:] or BACKENDS:
        command = [sys.executable, "-m", "benchmarks.scaling", "--measure", backend]
        if backend == "torch":
            launcher = ["-m", "torch.distributed.run", "--standalone"]
            command[1:1] = [*launcher, f"--nproc-per-node={DEVICES}"]
        environment = {**os.environ, "KERAS_BACKEND": backend}
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        everything[backend] = found
        for name, r in found.items():
            held = "  ".join(f"{count / 1e6:.2f}" for count in r.get("bytes", []))
            table.add_row(
                backend, name, f"{r['milliseconds']:.1f}", f"{r['ratio']:.2f}", held
            )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(everything, indent=2) + "\n")
    console = Console()
    console.print(table)
    console.print(f"written to {OUT}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        virtual_devices(sys.argv[2])
        found = measure(sys.argv[2])
        if os.environ.get("RANK", "0") == "0":
            print(json.dumps(found))
    else:
        main()
