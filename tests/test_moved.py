"""Old names of modules: they import what has moved, with a warning."""

import importlib
import importlib.machinery
import importlib.util
import sys

import pytest

from zoo.moved import MOVED

pytestmark = pytest.mark.host


@pytest.mark.parametrize("old", MOVED)
def test_every_old_name_stands_for_a_module(old):
    assert importlib.util.find_spec(MOVED[old]) is not None
    folder, name = old.rsplit(".", 1)
    package = importlib.util.find_spec(folder)
    if package is not None and package.submodule_search_locations:
        # A new module of that name would hide the old one.
        finder = importlib.machinery.PathFinder
        assert finder.find_spec(name, package.submodule_search_locations) is None


@pytest.mark.parametrize("old", ["zoo.data.limits", "zoo.training.schedules"])
def test_an_old_name_is_the_module_with_a_warning(old):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {MOVED[old]}"):
        module = importlib.import_module(old)
    assert module is importlib.import_module(MOVED[old])
    assert module.__spec__.name == MOVED[old]
