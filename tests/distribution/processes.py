"""One of two JAX processes, each with two virtual devices; see `test_processes.py`.

    python -m tests.distribution.processes FOLDER

KERAS_DISTRIBUTION_… in the environment give this process's number and their count.
"""

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
flags = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=2"

import keras  # noqa: E402
import numpy as np  # noqa: E402

from tests.distribution.models import CASES, compiled  # noqa: E402
from zoo.distribution import use  # noqa: E402
from zoo.engine.current import engine  # noqa: E402


def train(folder: Path, **mesh) -> dict:
    """Trains two shuffled epochs, evaluates ragged batches, and saves a file."""
    with use(**mesh):
        keras.utils.set_random_seed(0)
        model = compiled(CASES["gpt"][0])
        rng = np.random.default_rng(1)
        data = np.concatenate([CASES["gpt"][1](rng) for _ in range(3)])
        history = model.fit(data, batch_size=16, epochs=2, verbose=0).history
        model.save_weights(folder / "model.weights.h5")
        held = engine().held_bytes(model.variables)
        loss = model.evaluate(data[:37], batch_size=16, verbose=0, return_dict=True)
        return {"loss": history["loss"], "evaluated": loss["loss"], "bytes": held}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    found = train(folder, data=2, model=2, shard_parameters=True)
    if os.environ["KERAS_DISTRIBUTION_PROCESS_ID"] == "0":
        (folder / "seen.json").write_text(json.dumps(found))
