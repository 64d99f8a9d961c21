"""`zoo doctor`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DoctorConfig:
    """Check the installation: backends, devices, precisions, versions.

    Trains a small GPT for one step per backend and precision, each backend in a process
    of its own. Takes about a minute.
    """


# Prints one line of JSON.
CHECK = """
import importlib, json, warnings
warnings.simplefilter("ignore")
import keras, numpy as np, zoo
found = {}
for policy in ("float32", "mixed_bfloat16", "mixed_float16"):
    keras.config.set_dtype_policy(policy)
    try:
        gpt = zoo.GPT(zoo.GPTConfig(16, 8, 1, 2, 8))
        gpt.compile("adam")
        ids = np.zeros((2, 9), "int32")
        loss = gpt.fit(ids, batch_size=2, verbose=0).history["loss"][0]
        found[policy] = "works" if np.isfinite(loss) else f"loss {loss}"
    except Exception as error:
        found[policy] = f"{type(error).__name__}: {error}".splitlines()[0][:80]
from zoo.training import engine
version = importlib.import_module(keras.config.backend()).__version__
devices = engine().device_names()
print(json.dumps({"version": version, "devices": devices, "precision": found}))
"""


def run(config: DoctorConfig) -> None:
    """Prints a table; exits with status 1 if no backend works."""
    import importlib.metadata
    import json
    import os
    import platform
    import subprocess
    import sys

    from rich.console import Console
    from rich.table import Table

    import zoo
    from zoo.commands.backend import PREFERRED, installed
    from zoo.extras import installed_by

    console = Console(markup=False)
    console.print(
        f"zoo {zoo.__version__}, Keras {importlib.metadata.version('keras')}, "
        f"Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} CPU cores",
        highlight=False,
    )
    table = Table("backend", "version", "devices", "float32", "bfloat16", "float16")
    works = False
    for backend in PREFERRED:
        if backend not in installed():
            table.add_row(backend, "", "not installed")
            continue
        done = subprocess.run(
            [sys.executable, "-c", CHECK],
            env=os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            said = done.stderr.strip().rpartition("\n")[2] or "no message"
            table.add_row(backend, "", said)
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        works |= found["precision"]["float32"] == "works"
        table.add_row(
            backend,
            found["version"],
            ", ".join(found["devices"]),
            *found["precision"].values(),
        )
    console.print(table)
    for backend in PREFERRED:
        if backend not in installed():
            said = f"To install {backend}: {installed_by(backend)}"
            console.print(said, highlight=False, soft_wrap=True)
    if not works:
        sys.exit("zoo: no backend works here")
