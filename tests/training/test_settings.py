"""How a run's settings are compared with those of the run to resume."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from zoo.training.runs.flags import flags
from zoo.training.runs.flags import replace as flat_replace
from zoo.training.runs.run import RunConfig, parse
from zoo.training.runs.settings import check_same, differences, settings_of

pytestmark = pytest.mark.host


@dataclass(frozen=True)
class Config(RunConfig):
    width: int = 8
    rates: tuple[float, ...] = (0.1, 0.2)
    encoder: Path | None = None


OTHERS = {
    "seed": 5,
    "precision": "mixed_bfloat16",
    "dataset": "text",
    "mesh_data": 4,
    "smoke": True,
    "width": 16,
    "rates": (0.1, 0.3),
    "encoder": Path("bert"),
}
FREE = {"variant": "x", "data_dir": Path("x"), "out": Path("x"), "resume": True}


def check(config, saved, had=None, data=None):
    return check_same(config, saved, had or {}, data or {}, Path("a.safetensors"))


@pytest.mark.parametrize("name", OTHERS)
def test_a_difference_is_refused_by_name_unless_it_is_meant(name):
    saved = settings_of(Config())
    other = replace(Config(), **{name: OTHERS[name]})
    was, now = saved[name], settings_of(other)[name]
    with pytest.raises(ValueError) as error:
        check(other, saved)
    assert f"{name} was {was}, is {now}" in str(error.value)
    assert "a.safetensors" in str(error.value)
    assert f"--resume-with {name}" in str(error.value)
    flag = f"--{name.replace('_', '-')}"
    for meant in (name, flag):
        assert check(replace(other, resume_with=(meant,)), saved) == [
            f"{name} was {was}, is {now}"
        ]


def test_where_files_lie_makes_no_difference():
    other = replace(Config(), **FREE)
    assert differences(other, settings_of(Config())) == {}


def test_a_setting_that_is_new_since_counts_as_its_default():
    saved = settings_of(Config())
    del saved["width"]
    assert differences(Config(), saved) == {}
    assert differences(replace(Config(), width=9), saved) == {"width": (8, 9)}


def test_other_data_are_refused():
    saved = settings_of(Config())
    had = {"dataset": "aa", "tokenizer": "bb"}
    assert check(Config(), saved, had, had) == []
    assert check(Config(), saved, had) == []  # not yet known
    with pytest.raises(ValueError, match=r"another dataset \(by SHA-256\).* data$"):
        check(Config(), saved, had, had | {"dataset": "cc"})
    meant = replace(Config(), resume_with=("data",))
    assert len(check(meant, saved, had, had | {"tokenizer": "cc"})) == 1


@dataclass(frozen=True)
class Model:
    """A model.

    Attributes:
        depth: blocks of it.
        kind: which one.
        hidden: no flag.
    """

    depth: int = 2
    kind: str = "a"
    hidden: int = 3


@dataclass(frozen=True)
class Nesting(RunConfig):
    """A run.

    Attributes:
        kind: of the blocks.
    """

    model: Model = flags(Model(depth=4), "depth", kind=("a", "b"))


def test_flags_of_a_nested_configuration_are_flat(capsys):
    saved = settings_of(Nesting())
    assert saved == settings_of(RunConfig()) | {"depth": 4, "kind": "a"}
    changed = flat_replace(Nesting(), depth=5, seed=1)
    assert (changed.model, changed.seed) == (Model(depth=5), 1)
    assert differences(changed, saved) == {"depth": (4, 5), "seed": (0, 1)}
    parsed = parse({"x": Nesting()}, "", ["--depth", "6", "--kind", "b"])
    assert parsed == flat_replace(Nesting(), variant="x", depth=6, kind="b")
    with pytest.raises(SystemExit):
        parse({"x": Nesting()}, "", ["--help"])
    words = capsys.readouterr().out
    assert "blocks of it." in words and "of the blocks." in words
    assert "{a,b}" in words and "hidden" not in words
