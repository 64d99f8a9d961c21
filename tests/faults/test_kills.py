"""Killed runs resume as if nothing had happened."""

import subprocess
import sys
from pathlib import Path

import keras
import pytest

from tests.faults.small_runs import RUNS

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the tool forks its processes"
)


def kills(recipe, count, seconds):
    backend = keras.config.backend()
    command = [sys.executable, "-m", "tests.faults.kills", "--backend", backend]
    flags = ["--recipes", recipe, "--kills", str(count), "--seconds", str(seconds)]
    done = subprocess.run(
        [*command, *flags],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_kills_of_a_gan_on_a_line():
    assert "gan_1d" in kills("gan_1d", 2, 60)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("recipe", RUNS)
def test_kills(recipe):
    kills(recipe, 4, 300)
