"""`--on-bad` of every recipe that reads text reaches what reads it."""

import importlib

import pytest

import zoo.data
from zoo.training.runs.run import parse

RECIPES = {
    "bert_finetune": ["--dataset", "tsv"],
    "bert_pretrain": [],
    "elmo": [],
    "gpt_text": [],
    "lm_ladder": [],
    "scaling_laws": [],
    "self_attention_tour": ["--dataset", "sst2"],
    "translation": [],
}


@pytest.mark.host
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("on_bad", ["error", "skip"])
def test_recipes_pass_the_policy_on(tmp_path, monkeypatch, name, on_bad):
    class LoadedError(Exception):
        """Ends a recipe at its data."""

    def load(*args, **options):
        assert options["on_bad"] == on_bad
        raise LoadedError

    monkeypatch.setattr(zoo.data, "load", load)
    recipe = importlib.import_module(f"recipes.{name}")
    flags = [*RECIPES[name], "--data-dir", str(tmp_path), "--out", str(tmp_path)]
    with pytest.raises(LoadedError):
        recipe.main(parse(recipe.VARIANTS, "", [*flags, "--on-bad", on_bad]))
