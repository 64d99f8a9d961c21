"""Runs the documentation: every Python block and every command of every page.

By default, on one backend, a page's Python blocks run in order and in one process with
`fit` cut to one update, and its commands are checked against the real command lines.
The slow tests run both as they are written, on each backend.
"""

import dataclasses
import importlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import zoo
from zoo.training import Model

from .blocks import ROOT, blocks, commands, pages
from .command_lines import check, configured, recipe_of

PAGES = {page.relative_to(ROOT).as_posix(): page for page in pages()}


def first(rows):
    if isinstance(rows, list):
        return rows[:8]
    return keras.tree.map_structure(lambda array: array[:8], rows)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty folder with the checkpoints that commands name by their path."""
    monkeypatch.chdir(tmp_path)
    for name in ("pretrained", "recipes"):
        (tmp_path / name).symlink_to(ROOT / name)
    policy = keras.config.dtype_policy()
    yield tmp_path
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def small(monkeypatch):
    """Cuts trainings to one update, and the data sets that are long."""
    fit, compiled, load = Model.fit, Model.compile, zoo.data.load
    importlib.import_module("zoo.evaluation")
    bounds = zoo.evaluation.bidirectional_bounds

    def fit_one_update(self, x=None, y=None, **options):
        options |= {"epochs": options.get("initial_epoch", 0) + 1, "verbose": 0}
        if options.get("steps_per_epoch") is not None:
            options["steps_per_epoch"] = 1
        elif y is not None or hasattr(x, "shape") or isinstance(x, dict | list):
            x = first(x)
            y = None if y is None else first(y)
            if options.get("sample_weight") is not None:
                options["sample_weight"] = first(options["sample_weight"])
        return fit(self, x, y, **options)

    def load_few(name, *args, **options):
        data = load(name, *args, **options)
        if isinstance(name, str) and name == "docs":
            train, validation = data.train[:40_000], data.validation[:15_000]
            return dataclasses.replace(data, train=train, validation=validation)
        return data

    def compiled_to_nothing(self, *args, **options):
        compiled(self, *args, **(options | {"run_eagerly": True}))

    def few_bounds(*args, **options):
        return bounds(*args, **(options | {"num_examples": 2, "num_temperatures": 2}))

    monkeypatch.setattr(Model, "fit", fit_one_update)
    monkeypatch.setattr(Model, "compile", compiled_to_nothing)
    monkeypatch.setattr(zoo.data, "load", load_few)
    monkeypatch.setattr(zoo.evaluation, "bidirectional_bounds", few_bounds)


def run_python(block, page, names):
    code = compile("\n" * block.line + block.text, str(page), "exec")
    exec(code, names)


@pytest.mark.host
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PAGES)
def test_page(name, small, folder, monkeypatch):
    names = {"__name__": "__main__"}
    for block in blocks(PAGES[name].read_text("utf-8")):
        at = f"{name}:{block.line + 1}"
        if block.kind == "python":
            if block.marker in ("slow", "not run"):
                compile(block.text, at, "exec")
            else:
                run_python(block, PAGES[name], names)
            continue
        for command in commands(block.text):
            try:
                wrong = check(command.words, monkeypatch)
            except LookupError:
                if block.marker != "not run":
                    pytest.fail(f"{at}: mark {command.line!r} as not run, with reason")
                continue
            assert not wrong, f"{at}: {command.line}: {wrong}"
            if block.marker == "quick":
                run_quickly(command, monkeypatch)


def run_quickly(command, monkeypatch):
    """Runs a command in this process, a recipe with `--smoke`."""
    recipe = recipe_of(command.words)
    if recipe:
        module, config = configured(*recipe, monkeypatch)
        module.main(dataclasses.replace(config, smoke=True))
    else:
        assert command.words[0] == "zoo", command.line
        zoo.cli.main(list(command.words[1:]))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", PAGES)
def test_page_as_it_is_written(name, folder):
    names = {"__name__": "__main__"}
    for block in blocks(PAGES[name].read_text("utf-8")):
        if block.marker == "not run":
            continue
        if block.kind == "python":
            run_python(block, PAGES[name], names)
            continue
        done = None
        for command in commands(block.text):
            line = command.line
            if line == done:  # one of several commands of a line, which runs once
                continue
            done = line
            if block.marker == "smoke" and recipe_of(command.words):
                assert command.plain, line
                words = shlex.join([*command.words, "--smoke"])
                line = " ".join([*(f"{k}={v}" for k, v in command.variables.items())])
                line = f"{line} {words}"
            run_command(line, folder, f"{name}:{block.line + 1}")


def run_command(line: str, folder: Path, at: str):
    scripts = Path(sys.executable).parent
    variables = os.environ | {
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "KERAS_BACKEND": keras.config.backend(),
    }
    done = subprocess.run(
        ["bash", "-ec", line],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, f"{at}: {line}\n{done.stdout}\n{done.stderr}"
