"""`zoo runs`: the table, JSON and the page; no backend."""

import json
import subprocess
import sys

import pytest

from tests.reports.test_pages import made
from zoo.cli import main

pytestmark = pytest.mark.host


@pytest.fixture
def folder(tmp_path):
    made(tmp_path / "runs" / "first", learning_rate=0.1)
    name = "second_with_a_long_name_that_a_narrow_table_would_have_to_cut"
    made(tmp_path / "runs" / name, learning_rate=0.2)
    return tmp_path / "runs"


def test_the_table_says_all_and_cuts_nothing(folder, capsys):
    main(["runs", str(folder)])
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if "first" in line]
    for words in ("toy", "demo", "jax", "30/40", "val_loss 2.5", "1:15", "running"):
        assert words in lines[0]
    assert "narrow_table_would_have_to_cut" in out
    (line,) = [line for line in out.splitlines() if "learning_rate" in line]
    assert "0.1" in line and "0.2" in line and "seed" not in out


def test_json_and_page(folder, tmp_path, capsys):
    page = tmp_path / "page.html"
    main(["runs", str(folder), "--json", "--page", str(page)])
    first, second = json.loads(capsys.readouterr().out)
    assert first["best"] == 2.5 and first["best_update"] == 20
    assert first["update"] == 30 and first["updates"] == 40
    assert second["settings"]["learning_rate"] == 0.2
    assert "<polyline" in page.read_text()


def test_no_runs_and_damaged_ones_are_said(folder, tmp_path, capsys):
    (folder / "first" / "metrics.jsonl").write_text("{")
    main(["runs", str(folder)])
    said = capsys.readouterr()
    assert "first/metrics.jsonl is damaged" in said.err and "second" in said.out
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="no runs in"):
        main(["runs", str(tmp_path / "empty")])
    with pytest.raises(SystemExit, match="There is no folder"):
        main(["runs", str(tmp_path / "nowhere")])


def test_no_backend_is_imported(folder):
    code = (
        "import sys; from zoo.cli import main; main(['runs', sys.argv[1]]); "
        "sys.exit(bool({'keras', 'numpy', 'jax', 'torch', 'tensorflow'} & "
        "{*sys.modules}))"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
