"""Only engines and distribution import a backend; models never ask which one it is."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BACKENDS = {"tensorflow", "tf_keras", "jax", "jaxlib", "flax", "torch"}
ZOO = ROOT / "zoo"
FREE = [ZOO / "distribution"]
FREE += [ZOO / "engine" / backend for backend in ("jax", "tensorflow", "torch")]
NEUTRAL = sorted(
    path
    for path in ZOO.rglob("*.py")
    if not any(folder in path.parents for folder in FREE)
)
BLIND = [path for path in NEUTRAL if {ZOO / "models", ZOO / "layers"} & {*path.parents}]
# Keras's saving code is the same on every backend.
PRIVATE, SAVING = ("keras.backend", "keras.src"), "keras.src.saving"


def name(path):
    return str(path.relative_to(ROOT))


def imported(tree):
    """Yields every module that a file imports, at any depth."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def attributes(tree):
    """Yields every dotted name in use, such as `keras.config.backend`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node)


@pytest.mark.parametrize("path", NEUTRAL, ids=name)
def test_only_engines_and_distribution_import_a_backend(path):
    modules = {module.split(".")[0] for module in imported(ast.parse(path.read_text()))}
    assert not modules & BACKENDS


@pytest.mark.parametrize("path", BLIND, ids=name)
def test_models_and_layers_do_not_ask_for_the_backend(path):
    tree = ast.parse(path.read_text())
    asked = {*imported(tree), *attributes(tree)}
    asked = {n for n in asked if not n.startswith(SAVING)}
    assert not {n for n in asked if n.startswith(PRIVATE)}
    assert "keras.config.backend" not in asked


def test_the_lint_sees_what_it_bans():
    tree = ast.parse(
        "def f():\n  from torch.nn import Linear\n  keras.backend.backend()"
    )
    assert "torch.nn" in set(imported(tree))
    assert "keras.backend.backend" in set(attributes(tree))
    assert len(NEUTRAL) > 200 and len(BLIND) > 40


def test_importing_zoo_is_light():
    heavy = sorted(BACKENDS | {"keras"})
    code = f"import sys, zoo; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
