"""The command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.cli import main

ROOT = Path(__file__).parents[1]


def test_plan_prints_and_draws(capsys, tmp_path):
    picture = tmp_path / "plan.png"
    main(
        f"plan gpt2 --mesh-data 8 --batch-size 64 --precision mixed_bfloat16 --remat "
        f"--device rtx_4090 --tokens 1e9 --picture {picture}".split()
    )
    out = capsys.readouterr().out
    for expected in (
        "124,439,808 parameters",
        "It fits into 24.0 GB with rematerialisation",
        "all-reduce (data)",
        "1.00 billion tokens",
        "days",
    ):
        assert expected in out
    assert picture.stat().st_size > 10_000


def test_plan_as_json(capsys):
    main("plan gpt2 --mesh-data 8 --batch-size 64 --json".split())
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == 124_439_808 and found["devices"] == 8
    kept = found["memory_bytes"]["kept"]
    assert kept.pop("total") == sum(kept.values())
    assert found["fits"] is True and found["days"] > 0


def test_what_does_not_fit_gets_advice(capsys):
    main("plan gpt3_1_3b --batch-size 8 --device h100".split())
    out = " ".join(capsys.readouterr().out.split())
    assert "It does not fit into 80.0 GB" in out
    assert "--remat" in out


def test_bad_input_is_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["plan", "gpt7"])
    assert "gpt7" in stopped.value.code and "gpt3_175b" in stopped.value.code
    with pytest.raises(SystemExit):
        main(["plan", "gpt2", "--precision", "int8"])
    assert "mixed_bfloat16" in capsys.readouterr().err


@pytest.mark.parametrize("args", [["--help"], ["plan", "--help"]])
def test_help(args, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(args)
    assert not stopped.value.code
    assert "plan" in capsys.readouterr().out


def test_the_overview_has_a_line_for_each_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert "Continue a text with a language model." in out
    assert "zoo generate" not in out  # whose examples are in its own help


def test_importing_it_is_light():
    heavy = ["keras", "tensorflow", "jax", "torch", "matplotlib", "numpy"]
    code = f"import sys, zoo.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
