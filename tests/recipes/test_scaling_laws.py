import json

import numpy as np
import pytest

import zoo
from recipes import scaling_laws
from recipes.scaling_laws import VARIANTS, Laws, family, main, plan
from tests.recipes.runs import assert_same_run, stopped_at_checkpoint
from zoo.evaluation import ChinchillaLaw, Trainings
from zoo.training.runs.flags import replace

CONFIG = VARIANTS["demo"]
LAW = ChinchillaLaw(1.0, 60.0, 0.4, 60.0, 0.3)


def test_the_family_spends_its_budgets():
    plans = family(CONFIG, 65)
    assert len({each.width for each in plans}) >= 6
    budgets = CONFIG.flops * CONFIG.factor ** np.arange(CONFIG.budgets)
    for each in plans:
        spent = 6 * each.parameters * each.tokens
        assert np.abs(spent / budgets - 1).min() < 0.05
    # Long enough for a law, and sizes enough to see the best one of each budget.
    assert min(each.steps for each in plans) >= CONFIG.fewest_steps >= 500
    for budget in Trainings.of(
        [(p.parameters, p.tokens, 1.0) for p in plans]
    ).budgets():
        assert len(budget) >= 4
        # From more tokens a parameter than is best to fewer.
        ratios = budget.tokens / budget.parameters
        assert ratios.min() < 20 < ratios.max()
    few = family(replace(CONFIG, fewest_steps=1), 65)
    assert len(few) > len(plans) and min(each.steps for each in few) < 500
    model = zoo.GPT(scaling_laws.gpt_config(CONFIG, 48, 65))
    own = plan(CONFIG, 48, 65, 1)
    assert own.parameters == model.count_params()
    # No training of the family is as large or as dear as the one that is predicted.
    largest = plan(CONFIG, 112, 65, CONFIG.budgets)
    assert largest.parameters > max(each.parameters for each in plans)


def test_laws_of_a_family_predict_the_next(tmp_path):
    plans = family(CONFIG, 65)
    trainings = Trainings.of(
        [
            (p.parameters, p.tokens, float(LAW.loss(p.parameters, p.tokens)))
            for p in plans
        ]
    )
    laws = Laws(trainings, 5, 0)
    assert {*laws.fits} == {"chinchilla", "kaplan", "compute"}
    largest = plan(CONFIG, 112, 65, CONFIG.budgets)
    expected = float(LAW.loss(largest.parameters, largest.tokens))
    predicted = laws.predictions(largest.parameters, largest.tokens)
    assert predicted["chinchilla_loss"] == pytest.approx(expected, rel=1e-4)
    assert predicted["compute_loss"] == pytest.approx(expected, rel=0.02)
    laws.draw(tmp_path / "laws.png", "", (largest.parameters, largest.tokens, expected))
    assert (tmp_path / "laws.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    config = replace(CONFIG, smoke=True, out=tmp_path_factory.mktemp("whole"))
    return config, main(config)


def test_smoke(whole):
    config, summary = whole
    assert summary == json.loads((config.out / "summary.json").read_text())
    assert summary["trainings"] == 2 and np.isfinite(summary["val_loss"])
    for name in ("prediction.json", "config.json", "metrics.jsonl", "trainings.csv"):
        assert (config.out / name).exists(), name
    assert len(Trainings.read(config.out / "trainings.csv")) == 3
    zoo.GPT.from_preset(config.out / "preset")


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted(whole, tmp_path, monkeypatch):
    config, _ = whole
    stopped = replace(config, out=tmp_path / "stopped")
    stopped_at_checkpoint(monkeypatch, main, stopped)
    main(replace(stopped, resume=True))
    assert_same_run(stopped.out, config.out)


def test_a_table_of_anyones_trainings(tmp_path, capsys):
    sizes, tokens = (g.ravel() for g in np.meshgrid([1e6, 4e6, 2e7], [1e7, 1e8, 1e9]))
    Trainings(sizes, tokens, LAW.loss(sizes, tokens)).write(tmp_path / "table.csv")
    summary = main(
        replace(CONFIG, table=tmp_path / "table.csv", out=tmp_path, resamples=2)
    )
    assert summary["chinchilla_alpha"] == pytest.approx(LAW.alpha, rel=1e-5)
    assert (tmp_path / "scaling_laws.png").exists()
    assert "No law of compute" in capsys.readouterr().out
