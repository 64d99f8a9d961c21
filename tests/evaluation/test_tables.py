import pytest

from zoo.evaluation.tables import print_shares

pytestmark = pytest.mark.host


def test_one_row_per_model_in_percent(capsys):
    rows = {"simple": {"accuracy": 0.5}, "scaled": {"accuracy": 0.625}}
    print_shares(rows, "Two models")
    shown = capsys.readouterr().out
    for words in ("Two models", "step", "accuracy", "50.0%", "62.5%"):
        assert words in shown
