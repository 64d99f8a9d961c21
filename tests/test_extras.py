"""What an error tells the user to install."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

from zoo import extras

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.host


def unknown(name):
    raise importlib.metadata.PackageNotFoundError(name)


def test_an_installed_zoo_names_the_distribution(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1.0")
    assert extras.installed_by("export") == "pip install 'keras-zoo[export]'"


def test_a_checkout_that_is_not_installed_names_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", unknown)
    monkeypatch.setattr(extras, "CHECKOUT", tmp_path)
    assert extras.installed_by("export") == "pip install 'keras-zoo[export]'"
    (tmp_path / "pyproject.toml").touch()
    assert extras.installed_by("export") == f"pip install -e '{tmp_path}[export]'"


def test_a_missing_module_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1.0")
    message = "ONNX needs no_such_module, .*: pip install 'keras-zoo\\[export\\]'"
    with pytest.raises(ValueError, match=message):
        extras.optional("no_such_module", "ONNX", "export")


def test_extras_that_are_named_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == extras.DISTRIBUTION
    called = r"installed_by\(['\"]([\w-]+)|optional\([^)]*\"([\w-]+)\"\s*\)"
    named = {
        one or other
        for file in ROOT.glob("zoo/**/*.py")
        for one, other in re.findall(called, file.read_text("utf-8"))
    }
    assert {"export", "tensorflow-datasets", "jax"} <= named
    assert named <= {*project["optional-dependencies"]}


def test_the_guide_lists_all_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    guide = (ROOT / "docs" / "guides" / "installing.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.*?) \|", guide.split("## Extras")[1], re.M)
    listed = re.findall(r"`([\w-]+)`", " ".join(rows))
    assert sorted(listed) == sorted(project["optional-dependencies"])
