"""Recipes as programs: their errors, how they are stopped, and lost readers."""

import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import pytest

from tests.training.toys import Regression, with_weights
from zoo.training.runs.checkpoint import save_checkpoint
from zoo.training.runs.launch import launch
from zoo.training.runs.output import outlive_output
from zoo.training.runs.run import RunConfig

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Config(RunConfig):
    out: Path = Path("runs/none")


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Calls `launch` as a program would; gives what it was given to exit with."""

    def start(main):
        monkeypatch.setattr(sys, "argv", ["zoo train toy", "--out", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            launch(main, {"only": Config()}, "A toy.")
        return ended.value.code

    return start


@pytest.mark.parametrize("kind", [ValueError, OSError, FloatingPointError, ImportError])
def test_an_error_is_one_line(started, kind):
    def main(config):
        raise kind("lower\nthe rate")

    assert started(main) == "zoo train toy: lower the rate"


def test_a_fault_of_ours_says_where_it_lies(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["zoo train toy"])
    with pytest.raises(ZeroDivisionError):
        launch(lambda config: 1 / 0, {"only": Config()}, "A toy.")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_how_to_go_on(started, number, tmp_path, capsys):
    before = signal.getsignal(number)

    def main(config):
        model = with_weights(Regression())
        model.compile("sgd")
        file = config.out / "part" / "checkpoint.safetensors"
        save_checkpoint(file, model, rows=[{"update": 7}])
        os.kill(os.getpid(), number)
        time.sleep(10)

    assert started(main) == 128 + number
    said = capsys.readouterr().err
    assert "part/checkpoint.safetensors is from update 7" in said
    assert f"KERAS_BACKEND={keras.config.backend()} zoo train toy --out" in said
    assert said.rstrip().endswith("--resume") and "Traceback" not in said
    assert signal.getsignal(number) is before


def test_a_signal_that_a_framework_makes_an_error_of_its_own(started, capsys):
    def main(config):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as interrupt:
            raise RuntimeError("in a callback") from interrupt

    assert started(main) == 128 + signal.SIGINT
    assert "before the first checkpoint" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="there is no /dev/full")
@pytest.mark.parametrize("how", ["reader gone", "closed", "closed in Python", "full"])
def test_lost_output_is_no_error(how, monkeypatch):
    read, write = os.pipe()
    if how == "full":
        os.close(write)
        write = os.open("/dev/full", os.O_WRONLY)
    stream = os.fdopen(write, "w")
    os.close(read)
    if how == "closed":
        os.close(write)
    elif how == "closed in Python":
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    outlive_output()
    for number in range(3):
        print("line", number, flush=True)
        sys.stdout.write("more")
    assert not sys.stdout.isatty()
    sys.stdout.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to catch")
def test_a_recipe_that_is_stopped_goes_on_by_the_line_that_it_says(tmp_path):
    """Its readers are gone all the while."""
    out = tmp_path / "run"
    flags = ["--steps", "4000", "--eval-every", "1", "--hidden", "8"]
    command = [sys.executable, "-m", "recipes.gan_1d", *flags, "--out", str(out)]
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen(
        command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True
    ) as stopped:
        while not (out / "checkpoint.safetensors").exists():
            assert stopped.poll() is None, stopped.stderr.read()
            time.sleep(0.05)
        stopped.send_signal(signal.SIGTERM)
        said = stopped.stderr.read()
    os.close(write)
    assert stopped.returncode == 128 + signal.SIGTERM, said
    # TensorFlow's C++ may have a word of its own as the process ends.
    lines = [x for x in said.strip().splitlines() if not x.startswith("W0000")]
    assert lines[-2].startswith("Stopped.") and "Traceback" not in said
    backend, python, *rest = shlex.split(lines[-1])
    assert (backend, python) == (f"KERAS_BACKEND={keras.config.backend()}", "python")
    assert rest == [*command[1:], "--resume"]
