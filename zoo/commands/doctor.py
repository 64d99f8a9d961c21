"""`zoo doctor`."""

from dataclasses import dataclass
from typing import Any

from zoo.commands.shared.arguments import Json


@dataclass(frozen=True)
class DoctorConfig:
    """Check the installation: backends, devices, precisions, versions.

    Trains a small GPT for one step per backend and precision, each backend in a process
    of its own. Takes about a minute.
    """

    json: Json = False


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
    import sys

    from zoo.commands.shared.backend import PREFERRED
    from zoo.commands.shared.printed import show_json, show_table
    from zoo.extras import installed_by

    machine = _machine()
    if not config.json:
        print(
            f"zoo {machine['zoo']}, Keras {machine['keras']}, Python "
            f"{machine['python']}, {machine['system']}, {machine['cpu_cores']} CPU "
            "cores",
            flush=True,
        )
    backends = {name: _examined(name) for name in PREFERRED}
    works = any(
        each.get("precision", {}).get("float32") == "works"
        for each in backends.values()
    )
    if config.json:
        show_json(machine | {"backends": backends, "works": works})
    else:
        rows = []
        for name, each in backends.items():
            devices = ", ".join(each.get("devices", [])) or each.get("error", "")
            precision = each.get("precision", {}).values() or ("", "", "")
            devices = devices if each["installed"] else "not installed"
            rows.append((name, each.get("version", ""), devices, *precision))
        columns = ("backend", "version", "devices", "float32", "bfloat16", "float16")
        show_table(columns, rows)
        for name, each in backends.items():
            if not each["installed"]:
                print(f"To install {name}: {installed_by(name)}")
    if not works:
        sys.exit("zoo: no backend works here")


def _machine() -> dict[str, Any]:
    import importlib.metadata
    import os
    import platform

    import zoo

    return {
        "zoo": zoo.__version__,
        "keras": importlib.metadata.version("keras"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu_cores": os.cpu_count(),
    }


def _examined(backend: str) -> dict[str, Any]:
    """What CHECK finds out about a backend, in a process of its own."""
    import json
    import os
    import subprocess
    import sys

    from zoo.commands.shared.backend import TITLES, installed
    from zoo.program import waiting

    if backend not in installed():
        return {"installed": False}
    with waiting(f"trying {TITLES[backend]} in each precision"):
        done = subprocess.run(
            [sys.executable, "-c", CHECK],
            env=os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2] or "no message"
        return {"installed": True, "error": said}
    return {"installed": True} | json.loads(done.stdout.splitlines()[-1])
