from types import SimpleNamespace

import pytest

from zoo.presets.best import BestPreset, best_of

pytestmark = pytest.mark.host


def test_the_last_of_equal_scores_is_the_best():
    assert best_of([0.1, 0.3, 0.3, 0.2]) == 3
    assert best_of([0.4]) == 1


def test_saves_at_every_best(tmp_path):
    saved = []
    run = SimpleNamespace(out=tmp_path, rows=[])
    model = SimpleNamespace(save_to_preset=lambda path: saved.append(len(run.rows) + 1))
    best = BestPreset(run, model, "f1")
    for score in (0.2, 0.5, 0.5, 0.4, 0.3):
        best.keep({"f1": score, "loss": 1.0})
        run.rows.append({"val_f1": score})
    assert saved == [1, 2, 3]
    assert (best.number, best.score) == (3, 0.5)
