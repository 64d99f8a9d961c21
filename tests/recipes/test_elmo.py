import json

import numpy as np
import pytest

from recipes.elmo import VARIANTS, Config, main
from tests.recipes.runs import assert_same_run, metrics, stopped_at_checkpoint
from zoo.data import load
from zoo.data.small_tasks import word_order
from zoo.models.language.elmo import ELMo
from zoo.training.runs.flags import replace

SMOKE = replace(VARIANTS["demo"], smoke=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing interrupted, and its summary."""
    out = tmp_path_factory.mktemp("whole")
    return out, main(replace(SMOKE, out=out))


def test_a_run_leaves_what_the_contract_names(whole):
    out, summary = whole
    assert summary == json.loads((out / "summary.json").read_text())
    names = (
        "val_loss val_forward val_backward steps seconds sequences_per_second seed "
        "elmo_test_accuracy elmo_test_accuracy_std static_test_accuracy "
        "static_test_accuracy_half_width peak_memory_bytes"
    )
    assert set(names.split()) <= set(summary)
    shares = [summary[f"layer_{index}_share"] for index in range(2)]
    assert sum(shares) == pytest.approx(1)
    assert summary["steps"] == 2
    for name in ("loss.png", "accuracy.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    assert ELMo.from_preset(out / "preset").tokenizer is not None


@pytest.mark.slow
def test_words_as_they_are_spelled(tmp_path):
    config = replace(SMOKE, characters=True, word_length=12, out=tmp_path)
    assert main(config)["steps"] == 2
    model = ELMo.from_preset(tmp_path / "preset")
    assert model.config.character_filters
    # Of whole words, so that one that is not known has no name.
    assert model.tokenizer.encode("the bogus").tolist() == [
        model.tokenizer.token_to_id("the"),
        model.tokenizer.unk_id,
    ]


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted(whole, tmp_path, monkeypatch):
    stopped_at_checkpoint(monkeypatch, main, replace(SMOKE, out=tmp_path))
    assert len(metrics(tmp_path)) == 1
    found = main(replace(SMOKE, out=tmp_path, resume=True))
    assert_same_run(tmp_path, whole[0])
    for name, value in whole[1].items():
        if "accuracy" in name or "share" in name:
            assert found[name] == value, name


@pytest.mark.slow
def test_another_text_and_a_table(tmp_path):
    rows = [f"the {word} sleeps\t{index % 2}" for index, word in enumerate("abcd" * 4)]
    for part in ("train", "dev"):
        (tmp_path / f"{part}.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / "text.txt").write_text("a cat\n\na dog sleeps\n" * 40)
    config = replace(
        Config(),
        dataset="tsv",
        data_dir=tmp_path,
        text="text",
        text_dir=tmp_path / "text.txt",
        out=tmp_path / "run",
        vocab_size=80,
        smoke=True,
    )
    assert "elmo_validation_accuracy" in main(config)


@pytest.mark.host
def test_only_order_tells_the_small_grammars_classes_apart():
    data = word_order(load("animal_sentences"))
    labels = np.array([example.label for example in data.train])
    assert 0.45 < labels.mean() < 0.55
    texts = {example.text: example.label for example in data.train}
    assert any(text.startswith("On Sundays") and label for text, label in texts.items())
    for text, label in texts.items():
        times = ("today.", "now.", "often.", "at night.", "on Sundays.", "the morning.")
        assert label != text.endswith(times), text


@pytest.mark.host
def test_variants_have_steps_that_can_be_evaluated():
    for config in VARIANTS.values():
        assert config.steps % config.eval_every == 0
