"""Two JAX processes with two devices each, fed the same batches, equal one device."""

import json
import os
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.distribution.models import CASES, compiled

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "jax", reason="torch's tests run in processes anyway"
)


def test_two_processes_equal_one_device(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "tests.distribution.processes", str(tmp_path)]
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    }
    started = [
        subprocess.Popen(
            command,
            env={**environment, "KERAS_DISTRIBUTION_PROCESS_ID": str(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    outputs = [process.communicate(timeout=280)[0] for process in started]
    assert not any(process.returncode for process in started), outputs
    seen = json.loads((tmp_path / "seen.json").read_text())

    keras.utils.set_random_seed(0)
    model = compiled(CASES["gpt"][0])
    rng = np.random.default_rng(1)
    data = np.concatenate([CASES["gpt"][1](rng) for _ in range(3)])
    expected = model.fit(data, batch_size=16, epochs=2, verbose=0).history["loss"]
    evaluated = model.evaluate(data[:37], batch_size=16, verbose=0, return_dict=True)
    assert seen["loss"] == pytest.approx(expected, rel=1e-5)
    assert seen["evaluated"] == pytest.approx(evaluated["loss"], rel=1e-5)
    assert len(seen["bytes"]) == 2
    assert max(seen["bytes"]) < 0.3 * sum(v.value.nbytes for v in model.variables)

    again = CASES["gpt"][0]()
    again.load_weights(tmp_path / "model.weights.h5")
    for a, b in zip(again.variables, model.variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
