"""Old names of modules and classes still work, with a warning."""

import importlib
import importlib.machinery
import importlib.util
import sys
from pathlib import Path

import pytest

import zoo
from zoo.moved import MOVED, RENAMED

# Other backends' are imported by their tests alone.
ANYWHERE = [
    old
    for old, new in MOVED.items()
    if not new.startswith(
        ("zoo.engine.jax", "zoo.engine.tensorflow", "zoo.engine.torch")
    )
]


@pytest.mark.host
@pytest.mark.parametrize("old", MOVED)
def test_every_old_name_stands_for_a_module(old):
    assert importlib.util.find_spec(MOVED[old]) is not None
    folder, name = old.rsplit(".", 1)
    package = importlib.util.find_spec(folder)
    if package is not None and package.submodule_search_locations:
        # A new module of that name would hide the old one.
        finder = importlib.machinery.PathFinder
        assert finder.find_spec(name, package.submodule_search_locations) is None


@pytest.mark.host
@pytest.mark.parametrize("old", ANYWHERE)
def test_an_old_module_is_the_new_one(old):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {MOVED[old]}"):
        found = importlib.import_module(old)
    assert found is importlib.import_module(MOVED[old])
    assert found.__name__ == MOVED[old]
    assert found.__spec__.name == MOVED[old]


@pytest.mark.host
def test_an_old_module_as_an_attribute_of_its_package():

    from zoo.data import squad
    from zoo.presets import torch_files

    assert squad.__name__ == "zoo.data.tasks.squad"
    assert torch_files.__name__ == "zoo.files.torch_files"
    with pytest.raises(ModuleNotFoundError, match="is now zoo.engine"):
        importlib.import_module("zoo.training.engine")
    assert zoo.training.engine is importlib.import_module("zoo.engine").engine


@pytest.mark.host
@pytest.mark.parametrize("old", RENAMED)
def test_an_old_class_is_the_new_one(old):
    module, new = RENAMED[old]
    for place in (zoo, importlib.import_module(module)):
        with pytest.warns(DeprecationWarning, match=f"{old} is now .*{new}"):
            assert getattr(place, old) is getattr(zoo, new)
    with pytest.raises(AttributeError):
        getattr(zoo, old + "s")


@pytest.mark.host
def test_no_folder_is_a_drawer():
    """About fifteen modules side by side are the most that a reader takes in."""
    folders = {p.parent for p in Path(zoo.__file__).parent.rglob("*.py")}
    assert not {f for f in folders if len([*f.glob("*.py")]) > 16}
