"""The last checkpoints and the best one: which are kept, and which a run resumes."""

import errno
import json
import os
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest

from tests.training.test_run import Config, train, updates, weights
from zoo.training.runs import kept
from zoo.training.runs.checkpoint import HostState, read_extra
from zoo.training.runs.measure import Measure
from zoo.training.runs.run import Run
from zoo.training.runs.writer import BackgroundWriter


def files(folder):
    names = sorted(file.name for file in folder.glob("*.safetensors"))
    return {name: read_extra(folder / name)["rows"][-1]["update"] for name in names}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 8 updates that keeps three of its four checkpoints; and its weights."""
    config = Config(out=tmp_path_factory.mktemp("whole"), keep_checkpoints=3)
    return config, weights(train(config)[1])


@pytest.fixture
def copied(whole, tmp_path):
    config, expected = whole
    shutil.copytree(config.out, tmp_path / "run")
    return replace(config, out=tmp_path / "run", resume=True), expected


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_last_few_are_kept(whole):
    assert files(whole[0].out) == {
        "checkpoint.safetensors": 8,
        "checkpoint-0000006.safetensors": 6,
        "checkpoint-0000004.safetensors": 4,
    }


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_run_resumes_from_the_newest_whole_one(copied, damaged, capsys):
    """And ends as if nothing had been damaged."""
    config, expected = copied
    names = ["checkpoint.safetensors", "checkpoint-0000006.safetensors"][:damaged]
    for name in names:
        data = (config.out / name).read_bytes()
        (config.out / name).write_bytes(data[: len(data) // 2])
    found = weights(train(config)[1])
    said = capsys.readouterr().out
    for name in names:
        assert f"{name} is not a whole checkpoint" in said
    update = 8 - 2 * damaged
    name = f"checkpoint-{update:07d}.safetensors"
    assert f"Resumed from {config.out / name}, update {update}." in said
    assert_equal(found, expected)
    assert updates(config) == [2, 4, 6, 8]
    left = files(config.out)
    assert left.pop("checkpoint.safetensors") == 8
    assert all(f"{update:07d}" in name for name, update in left.items())


def test_a_missing_newest_one_is_no_obstacle(copied):
    config, expected = copied
    (config.out / "checkpoint.safetensors").unlink()
    assert_equal(weights(train(config)[1]), expected)


def test_where_none_is_whole_the_newest_is_named(copied):
    config, _ = copied
    for file in config.out.glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"/checkpoint.safetensors is not a whole"):
        train(config)


def test_a_new_run_deletes_those_of_the_run_before(copied):
    config, _ = copied
    shutil.copy(config.out / "checkpoint.safetensors", config.out / "best.safetensors")
    train(replace(config, resume=False, steps=4))
    assert files(config.out) == {
        "checkpoint.safetensors": 4,
        "checkpoint-0000002.safetensors": 2,
    }


class Dying:
    """Stands for a kill at the nth file operation."""

    def __init__(self, patch, number):
        self.left = number
        for name in ("replace", "fsync", "open"):
            patch.setattr(os, name, self.counting(getattr(os, name)))

    def counting(self, real):
        def call(*args, **options):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return real(*args, **options)

        return call


@pytest.mark.parametrize("links", [True, False])
def test_a_kill_while_one_is_written_leaves_the_others(
    whole, tmp_path, monkeypatch, links
):
    """At each of the file operations; without links, as on some file systems."""
    config = replace(whole[0], out=tmp_path / "run")
    _, model = train(replace(config, steps=4))
    older = {"checkpoint.safetensors": 4, "checkpoint-0000002.safetensors": 2}
    newer = {"checkpoint.safetensors": 6, "checkpoint-0000004.safetensors": 4}
    state = HostState.of(model, rows=[{"update": 6}])
    if not links:

        def refused(*args):
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", refused)
    seen = []
    for number in range(100):
        out = tmp_path / str(number)
        shutil.copytree(config.out, out)
        keeps = kept.KeptCheckpoints(out, 3)
        keeps.resumed(out / "checkpoint.safetensors", 4)
        try:
            with monkeypatch.context() as patch:
                Dying(patch, number)
                keeps.write(state, 6, best=False)
        except KeyboardInterrupt:
            found = files(out)
            assert older.items() <= found.items() or newer.items() <= found.items()
            seen.append(found["checkpoint.safetensors"])
            continue
        break
    assert files(out) == {**older, **newer}
    assert {*seen} == {4, 6} and len(seen) >= 4


@pytest.mark.parametrize("changes", [{}, {"keep_best": True}, {"patience": 1}])
def test_a_resumed_run_ends_with_the_averages_too(tmp_path, changes):
    """Also where there is no update to go."""
    config = Config(out=tmp_path, ema=0.9, **changes)
    values = [3.0, 1.0, 2.0, 2.0]

    def evaluate(run):
        return {"loss": values[len(run.rows)]}

    _, model = train(config, evaluate=evaluate)
    _, again = train(replace(config, resume=True), evaluate=evaluate)
    assert_equal(weights(again), weights(model))
    with again.averaged_weights():
        assert_equal(weights(again), weights(model))


def test_the_best_is_kept_and_restored_at_the_end(tmp_path):
    measured = iter([3.0, 1.0, 1.0, 2.0])
    run, model = train(
        Config(out=tmp_path, keep_best=True),
        evaluate=lambda: {"loss": next(measured)},
    )
    assert files(tmp_path) == {"checkpoint.safetensors": 8, "best.safetensors": 6}
    summary = run.finish()
    assert (summary["best_update"], summary["val_loss"]) == (6, 1.0)
    assert summary["steps"] == 8
    _, plain = train(Config(out=tmp_path / "plain", steps=6))
    assert_equal(weights(model), weights(plain))
    # Resumed after its end, it is the same.
    _, again = train(Config(out=tmp_path, keep_best=True, resume=True))
    assert_equal(weights(again), weights(model))


def test_early_stopping_counts_on_when_resumed(tmp_path):
    values = [3.0, 1.0, 2.0, 2.0]
    config = Config(out=tmp_path, patience=2, eval_every=1)

    def evaluate(run):
        return {"loss": values[len(run.rows)]}

    def stop(run):
        return len(run.rows) == 3

    train(config, stop=stop, evaluate=evaluate)
    assert updates(config) == [1, 2, 3]
    config = replace(config, resume=True)
    for _ in range(2):  # the second time there is nothing to do
        train(config, evaluate=evaluate)
        assert updates(config) == [1, 2, 3, 4]


def test_a_tie_is_no_reason_to_stop():
    measure = Measure("val_f1", "max")
    scores = [0.2, 0.5, 0.5, 0.4, 0.3]
    rows = [{"val_f1": score} for score in scores]
    stale = [measure.stale(rows[: n + 1], 2) for n in range(len(rows))]
    assert stale == [False, False, False, False, True]
    assert measure.best(rows) == 2 and not measure.stale(rows, 0)


def test_a_measure_that_is_not_measured_is_refused(tmp_path):
    with pytest.raises(ValueError, match="go by val_loss, but the evaluation gives.*x"):
        train(Config(out=tmp_path, patience=1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patience": -1}, "patience must be at least 0"),
        ({"keep_checkpoints": 0}, "keep_checkpoints must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        Run(Config(out=tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_a_failed_write_ends_the_run_by_name(tmp_path, monkeypatch):
    """At the next checkpoint, and at the end after the last one."""

    def full(self, state, update, *, best):
        if update == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, state, update, best=best)

    write = kept.KeptCheckpoints.write
    monkeypatch.setattr(kept.KeptCheckpoints, "write", full)
    for failing, seen in ((4, 6), (8, 8)):
        config = Config(out=tmp_path / str(failing))
        rows = []
        with pytest.raises(
            OSError, match=rf"of update {failing}, could not be written.*No space"
        ):
            train(config, stop=lambda run, rows=rows: rows.append(run.rows[-1]))
        assert rows[-1]["update"] == seen
        page = (config.out / "index.html").read_text()
        assert "failed" in page and "No space left" in page


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    """The writer waits for an evaluation that comes later."""
    later, write = threading.Event(), kept.KeptCheckpoints.write

    def slow(self, state, update, *, best):
        if update == 2:
            assert later.wait(60)
        write(self, state, update, best=best)

    def evaluate(run):
        if len(run.rows) == 1:
            later.set()
        return {"x": 0.0}

    monkeypatch.setattr(kept.KeptCheckpoints, "write", slow)
    config = Config(out=tmp_path)
    train(config, evaluate=evaluate)
    assert files(tmp_path) == {"checkpoint.safetensors": 8}


def test_what_is_written_is_a_copy(regression):
    state = HostState.of(regression)
    before = {name: array.copy() for name, array in state.arrays.items()}
    for variable in regression.variables:
        variable.assign(variable + 1)
    for name, array in before.items():
        np.testing.assert_array_equal(state.arrays[name], array)
        assert state.arrays[name].flags.owndata


def test_an_error_of_the_block_is_not_hidden_by_the_writers():
    with pytest.raises(KeyError) as caught, BackgroundWriter() as writer:
        writer.submit("file", lambda: json.loads("["))
        raise KeyError("first")
    assert "Expecting value" in caught.value.__notes__[0]
