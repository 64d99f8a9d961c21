"""CONTRIBUTING.md is true: the floors, and the modules without tests of their name."""

import fnmatch
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
pytestmark = pytest.mark.host


def rows(section):
    """Returns the first and the second column of a section's table."""
    text = GUIDE.split(f"## {section}")[1].split("\n#")[0]
    return re.findall(r"^\| (`.*?) \| (.*) \|$", text, re.M)


def test_contributing_lists_the_floors_in_their_order():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    floors = [{*re.findall(r"\w+", layer)} for layer in reversed(layers)]
    told = [
        re.findall(r"`(?:zoo/)?(\w+)(?:/|\.py)`", first)
        for first, _ in rows("Where things are")
    ]
    assert told.pop() == ["recipes"]
    listed = iter(told)
    for floor in floors:
        named = {*next(listed)}
        while named < floor:
            named |= {*next(listed)}
        assert named == floor
    assert not [*listed]


def test_modules_without_a_test_of_their_name_are_listed():
    tested = {path.stem[5:] for path in ROOT.glob("tests/**/test_*.py")}
    without = {
        str(path.relative_to(ROOT / "zoo"))
        for path in ROOT.glob("zoo/**/*.py")
        if path.stem != "__init__" and path.stem not in tested
    }
    listed = set()
    for first, second in rows("Modules tested elsewhere"):
        for pattern in re.findall(r"`(.*?)`", first):
            found = {*fnmatch.filter(without, pattern)}
            assert found, f"{pattern} stands for no such module"
            listed |= found
        for test in re.findall(r"`(.*?)`", second):
            assert (ROOT / "tests" / test).exists(), test
    assert listed == without, sorted(without - listed)
