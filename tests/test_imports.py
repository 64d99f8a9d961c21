"""Backends are imported in two places, and models don't ask which one it is."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BACKENDS = {"tensorflow", "tf_keras", "jax", "jaxlib", "flax", "torch"}
NEUTRAL = sorted(
    path
    for path in (ROOT / "zoo").rglob("*.py")
    if not path.match("zoo/training/engine_*.py")
    and path.parent != ROOT / "zoo" / "distribution"
)
BLIND = [path for path in NEUTRAL if path.parent.name in ("models", "layers")]


def name(path):
    return str(path.relative_to(ROOT))


def imported(tree):
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def attributes(tree):
    """All dotted names in use, such as `keras.config.backend`."""
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
    assert not {n for n in asked if n.startswith(("keras.backend", "keras.src"))}
    assert "keras.config.backend" not in asked


def test_the_lint_sees_what_it_bans():
    tree = ast.parse(
        "def f():\n  from torch.nn import Linear\n  keras.backend.backend()"
    )
    assert "torch.nn" in set(imported(tree))
    assert "keras.backend.backend" in set(attributes(tree))
    assert len(NEUTRAL) > 20 and len(BLIND) > 4


def test_importing_zoo_is_light():
    heavy = sorted(BACKENDS | {"keras"})
    code = f"import sys, zoo; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
