from types import SimpleNamespace

import pytest

from zoo.presets.best import BestPreset

pytestmark = pytest.mark.host


@pytest.mark.parametrize(
    ("scores", "expected", "best_one"),
    [
        ((0.2, 0.5, 0.5, 0.4, 0.3), [1, 2, 3], 3),  # of equal ones, the last
        ((float("nan"), 0.1, float("nan")), [1, 2], 2),  # a preset is there to load
    ],
)
def test_saves_at_every_best(scores, expected, best_one, tmp_path):
    saved = []
    run = SimpleNamespace(out=tmp_path, rows=[])
    model = SimpleNamespace(save_to_preset=lambda path: saved.append(len(run.rows) + 1))
    best = BestPreset(run, model, "f1")
    for score in scores:
        best.keep({"f1": score, "loss": 1.0})
        run.rows.append({"val_f1": score})
    assert saved == expected
    assert (best.number, best.score) == (best_one, scores[best_one - 1])
