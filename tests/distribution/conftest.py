"""Starts `cells.py` at once, beside the other tests, and checks its results last.

Its processes compile for minutes on a core that the other tests leave idle.
"""

import json
import os
import subprocess
import sys

import keras
import pytest

QUICK = (
    "matrix",
    "noise",
    "executions",
    "slices",
    "dropout",
    "attention_dropout",
    "float16",
    "errors",
    "others",
    "ways",
)
SLOW = (
    "trainer_ways",
    "models",
    "checkpoints",
    "ragged",
    "precision",
    "generation",
    "recipe",
)
started = pytest.StashKey[dict]()


def needs(items, fixture):
    return any(fixture in getattr(item, "fixturenames", ()) for item in items)


def sees(items):
    return needs(items, "seen") or needs(items, "matrix")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: sees([item]) or needs([item], "seen_slowly"))


def pytest_collection_finish(session):
    if sees(session.items) and not session.config.option.collectonly:
        factory = session.config._tmp_path_factory
        session.config.stash[started] = start(factory.mktemp("cells"), QUICK)


def pytest_sessionfinish(session):
    running = session.config.stash.get(started, None)
    if running and running["process"].poll() is None:
        running["process"].terminate()


def start(folder, parts):
    backend = keras.config.backend()
    command = [sys.executable, "-m", "tests.distribution.cells", str(folder), *parts]
    if backend == "torch":
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command = [*launcher, "--nproc-per-node=4", *command[1:]]
    log = folder / "output.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, "KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return {"process": process, "folder": folder, "log": log}


def finished(running):
    """Returns the results by part, once all are there."""
    assert running["process"].wait(timeout=900) == 0, running["log"].read_text()[-8000:]
    return {
        path.stem: json.loads(path.read_text())
        for path in running["folder"].glob("*.json")
    }


@pytest.fixture(scope="session")
def seen(request):
    """Returns the results that every run of the tests checks."""
    return finished(request.config.stash[started])


@pytest.fixture(scope="session")
def seen_slowly(tmp_path_factory):
    """Returns the other results, each of which takes a minute."""
    return finished(start(tmp_path_factory.mktemp("cells"), SLOW))
