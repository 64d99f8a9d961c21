"""What a run refuses, before it starts and when it is resumed."""

import functools
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from keras.optimizers import Adam

from tests.recipes.runs import metrics
from tests.training.toys import Regression, regression_batches, with_weights
from zoo.engine.current import engine
from zoo.engine.layout import Mesh
from zoo.training.runs.run import Run, RunConfig


@dataclass(frozen=True)
class Config(RunConfig):
    steps: int = 8
    eval_every: int = 2
    learning_rate: float = 0.01
    ema: float = 0.0


def train(
    config, data="aa", stop=lambda run: False, evaluate=None, samples=dict, **options
):
    """A run of the toy regression; returns it and its model."""
    run = Run(config, **options)
    run.start({"dataset": data})
    model = with_weights(Regression())
    model.compile(Adam(config.learning_rate, use_ema=config.ema > 0))
    drawn = regression_batches(config.steps + 1)  # Keras looks at one
    run.fit(
        model,
        lambda start: iter(drawn[start:]),
        updates=config.steps,
        evaluate_every=config.eval_every,
        evaluate=evaluation(evaluate, run),
        batch_tokens=8,
        stop=lambda: stop(run),
        samples=samples,
    )
    return run, model


def evaluation(evaluate, run):
    """The function that `fit` takes; it may ask for the run."""
    if evaluate is None:
        return lambda: {"x": 0.0}
    return functools.partial(evaluate, *[run][: evaluate.__code__.co_argcount])


def at_update_4(run):
    return run.rows[-1]["update"] == 4


def updates(config):
    return [row["update"] for row in metrics(config.out)]


def weights(model):
    return [engine().numpy(variable) for variable in model.variables]


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A run that ended after 4 of 8 updates."""
    config = Config(out=tmp_path_factory.mktemp("half"))
    train(config, stop=at_update_4)
    return config


@pytest.fixture
def resumed(half, tmp_path):
    """A copy of it, to go on with."""
    shutil.copytree(half.out, tmp_path / "run")
    return replace(half, out=tmp_path / "run", resume=True)


def test_a_run_shares_the_devices_in_use(tmp_path, monkeypatch):
    monkeypatch.setattr(engine(), "mesh", Mesh(data=2, model=2))
    for number, asked in enumerate(((2, 2), (-1, 2), (1, 1))):  # the last asks nothing
        Run(
            RunConfig(
                out=tmp_path / str(number), mesh_data=asked[0], mesh_model=asked[1]
            )
        )
    with pytest.raises(ValueError, match=r"mesh_data=4 and mesh_model=1 .* in use"):
        Run(RunConfig(out=tmp_path / "other", mesh_data=4))
    assert not (tmp_path / "other").exists()


def contents(folder):
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.name: file.read_bytes() for file in files}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rate": 1.0}, "learning_rate was 0.01, is 1.0"),
        ({"seed": 3}, "seed was 0, is 3"),
        ({"precision": "mixed_bfloat16"}, "precision was float32"),
        ({"steps": 4}, "steps was 8, is 4"),
        ({"resume_with": ("steps",), "seed": 3}, "seed was 0, is 3"),
        ({"resume_with": ("step",)}, "'step'.*not settings"),
        ({"resume_with": ("seed",), "resume": False}, "resume_with=.*Add --resume"),
        ({"eval_every": 8}, "remaining 4 updates must be a multiple of eval_every=8"),
        ({"steps": 2, "resume_with": ("steps",)}, "update 4, but the run ends at 2"),
    ],
)
def test_another_run_is_refused_and_left_as_it_is(resumed, changes, words):
    before = contents(resumed.out)
    with pytest.raises(ValueError, match=words):
        train(replace(resumed, **changes))
    assert contents(resumed.out) == before


def test_other_data_are_refused(resumed):
    before = contents(resumed.out)
    with pytest.raises(ValueError, match="another dataset"):
        train(resumed, data="bb")
    assert contents(resumed.out) == before
    train(replace(resumed, resume_with=("data",)), data="bb")


def test_what_is_changed_on_purpose_counts(resumed, capsys):
    """A constant rate too, which is a variable that the checkpoint has."""
    changes = {"learning_rate": 0.02, "resume_with": ("learning-rate",)}
    _, model = train(replace(resumed, **changes))
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)
    assert "learning_rate was 0.01, is 0.02" in capsys.readouterr().out
    assert updates(resumed) == [2, 4, 6, 8]


@pytest.mark.parametrize(
    ("every", "seen"), [(1, [2, 4, 5, 6, 7, 8]), (2, [2, 4, 6, 8]), (4, [2, 4, 8])]
)
def test_evaluations_may_change_and_the_end_stays(resumed, every, seen):
    whole = replace(resumed, out=resumed.out.parent / "whole", resume=False)
    expected = weights(train(whole)[1])
    found = weights(train(replace(resumed, eval_every=every))[1])
    assert updates(resumed) == seen
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_last_line_is_not_lost_by_a_kill_before_it(resumed):
    """The checkpoint is written first, and has it."""
    train(resumed)
    lines = (resumed.out / "metrics.jsonl").read_text().splitlines(keepends=True)
    (resumed.out / "metrics.jsonl").write_text("".join(lines[:-1]))
    train(resumed)
    assert (resumed.out / "metrics.jsonl").read_text() == "".join(lines)


def test_a_checkpoint_without_settings_is_taken_with_a_warning(resumed):
    """As earlier versions wrote them."""
    from zoo.training.runs.checkpoint import Resume, save_checkpoint

    file = resumed.out / "checkpoint.safetensors"
    model = with_weights(Regression())
    model.compile(Adam(0.01))
    extra = Resume(file, model).extra
    save_checkpoint(file, model, rows=extra["rows"], seconds=1.0)
    with pytest.warns(UserWarning, match="earlier version.*can't be told"):
        train(resumed)
    assert updates(resumed) == [2, 4, 6, 8]


def test_a_run_that_starts_anew_has_no_old_figures(half, tmp_path):
    shutil.copytree(half.out, tmp_path / "run")
    (tmp_path / "run" / "summary.json").write_text("{}")
    Run(replace(half, out=tmp_path / "run")).start({})
    assert not (tmp_path / "run" / "summary.json").exists()
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    # Which is not lost before there is a newer one.
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_a_folder_that_is_deleted_is_said(half, tmp_path):
    def delete(run):
        shutil.rmtree(run.out)
        return False

    config = replace(half, out=tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="run was deleted or replaced"):
        train(config, stop=delete)
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


HOLDER = """
import sys, time
from pathlib import Path
from zoo.training.runs.hold import Hold
hold = Hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_two_runs_in_a_folder_are_refused_until_the_first_is_gone(half, tmp_path):
    """Also where it was killed, and could clear nothing up."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as holder:
        assert holder.stdout.readline() == b"held\n"
        config = replace(half, out=tmp_path)
        with pytest.raises(OSError, match="Another run is active in"):
            Run(config)
        assert not (tmp_path / "config.json").exists()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    Run(config).start({})
    Run(config).start({})  # one after another in a process


def test_parts_go_on_each_from_where_it_was(tmp_path):
    config = Config(out=tmp_path / "run")
    whole = Run(config, staged=True)
    whole.start({"dataset": "aa"}, parts=["one", "two"])
    part = whole.part("one", seed=7)
    assert part.finished() is None
    train(replace(part.config), whole=whole)
    part.rows = [{"update": 8}]
    part.finish(found=1)
    del whole, part

    again = replace(config, resume=True)
    whole = Run(again, staged=True)
    whole.start({"dataset": "aa"}, parts=["one", "two"])
    assert whole.part("one", seed=7).finished()["found"] == 1
    assert whole.part("one", seed=8).finished() is None
    with pytest.raises(ValueError, match="another dataset"):
        Run(again, staged=True).start({"dataset": "bb"})
    with pytest.raises(ValueError, match="learning_rate was 0.01, is 0.5"):
        Run(replace(again, learning_rate=0.5), staged=True)

    (config.out / "one" / "summary.json").write_text("[")
    with pytest.raises(ValueError, match="one/summary.json is damaged.*JSON"):
        whole.part("one", seed=7).finished()
    whole = Run(config, staged=True)
    whole.start({"dataset": "aa"}, parts=["one", "two"])
    left = {file.name for file in (config.out / "one").iterdir()}
    assert not left & {"summary.json", "checkpoint.safetensors"}
    with pytest.raises(FileNotFoundError, match="no checkpoint to resume"):
        Run(again, staged=True)
    assert json.loads((config.out / "config.json").read_text())["data"]
