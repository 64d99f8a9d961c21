"""The lectures: each one is a notebook, names only what is public, and runs.

`make docs` runs them on torch; the slow tests here run them on this process's backend.
"""

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "lectures"
LECTURES = sorted(path for path in FOLDER.glob("*.md") if path.name != "index.md")
# Below the models; a student has no business there.
INTERNAL = {"catalog", "cli", "commands", "configs", "engine", "extras", "files"}
INTERNAL |= {"moved", "program", "saved", "store"}

host = pytest.mark.host
each_lecture = pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)


def cells(path, kind="code"):
    """The sources of a lecture's cells of one kind."""
    notebook = jupytext.read(path)
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


def names(code):
    """The dotted names under `zoo` that a lecture imports or reads."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names if _ours(each.name)}
        elif isinstance(node, ast.ImportFrom) and _ours(node.module or ""):
            assert node.level == 0
            found |= {f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            if re.fullmatch(r"zoo(\.\w+)+", dotted):
                found.add(dotted)
    return found


def _ours(module):
    return module == "zoo" or module.startswith("zoo.")


def problem(dotted):
    """What keeps a dotted name from being public, or None."""
    parts = dotted.split(".")
    if any(part.startswith("_") and not part.endswith("__") for part in parts):
        return f"{dotted} is private"
    if len(parts) > 1 and parts[1] in INTERNAL:
        return f"zoo.{parts[1]} is internal"
    here = importlib.import_module("zoo")
    for at, part in enumerate(parts[1:], start=2):
        module = inspect.ismodule(here)
        offered = getattr(here, "__all__", None) if module else None
        if not hasattr(here, part):
            try:
                here = importlib.import_module(".".join(parts[:at]))
                continue
            except ImportError:
                return f"{'.'.join(parts[: at - 1])} has no {part}"
        value = getattr(here, part)
        # A package's `__all__` lists names, not the modules in it.
        if offered is not None and part not in offered and not inspect.ismodule(value):
            return f"{'.'.join(parts[: at - 1])}.__all__ does not list {part}"
        here = value
    return None


@host
def test_there_are_ten_lectures_in_order():
    numbers = [path.stem.split("_")[0] for path in LECTURES]
    assert numbers == [f"{number:02}" for number in range(1, len(LECTURES) + 1)]
    assert len(numbers) >= 10


@host
@each_lecture
def test_is_a_notebook(path):
    assert len(cells(path)) >= 4
    prose = "\n".join(cells(path, "markdown"))
    number = int(path.stem.split("_")[0])
    assert prose.startswith(f"# {number}. ")
    for section in ("## Exercises", "## References"):
        assert prose.count(section) == 1
    exercises = prose.split("## Exercises")[1].split("## References")[0]
    assert len(re.findall(r"^\d\. ", exercises, re.M)) >= 2
    notebook = jupytext.reads(
        jupytext.writes(jupytext.read(path), fmt="ipynb"), fmt="ipynb"
    )
    assert notebook.metadata["kernelspec"]["name"] == "python3"


@host
@each_lecture
def test_names_only_what_is_public(path):
    used = names("\n".join(cells(path)))
    assert used
    assert [found for dotted in sorted(used) if (found := problem(dotted))] == []


@host
@pytest.mark.parametrize(
    "code",
    [
        "from zoo.engine.current import engine",
        "from zoo.models.language.gpt_sizes import _gpt2",
        "import zoo\nzoo.data.no_such_thing",
        "import zoo\nzoo.evaluation.math",
        "from zoo.no_such_module import x",
    ],
)
def test_other_names_are_found(code):
    found = [problem(dotted) for dotted in names(code)]
    assert any(found), found


@host
@each_lecture
def test_imports_no_backend(path):
    for node in ast.walk(ast.parse("\n".join(cells(path)))):
        modules = []
        if isinstance(node, ast.Import):
            modules = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        roots = {module.split(".")[0] for module in modules}
        assert not roots & {"torch", "tensorflow", "jax"}


@host
@each_lecture
def test_is_listed(path):
    index = (FOLDER / "index.md").read_text("utf8")
    assert f"]({path.name})" in index
    assert re.search(rf"^{path.stem}$", index, re.M)  # in the table of contents


@pytest.mark.slow
@pytest.mark.timeout(1800)
@each_lecture
def test_runs(path, tmp_path):
    script = tmp_path / f"{path.stem}.py"
    script.write_text("\n\n".join(cells(path)), "utf8")
    environment = {
        **os.environ,
        "MPLBACKEND": "Agg",
        "PYTHONPATH": str(ROOT),
        "ZOO_OFFLINE": "1",
    }
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
