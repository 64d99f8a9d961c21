import json

import numpy as np
import pytest

import zoo
from recipes import self_attention_tour
from recipes.self_attention_tour import (
    TOUR,
    VARIANTS,
    Config,
    figures,
    main,
)
from tests.recipes.runs import assert_same_run
from zoo.data.small_tasks import rest_and_order
from zoo.data.translation.animal_sentences import PATTERNS
from zoo.models.language.self_attention import SelfAttentionClassifier
from zoo.training.runs.flags import replace
from zoo.training.runs.run import Run, parse

TINY = replace(Config(), width=8, steps=2, eval_every=1, warmup_steps=0, length=16)
FOLDERS = ["simple", "."]


@pytest.fixture(scope="module", autouse=True)
def short_tour():
    """Its two ends: each step has to be compiled."""
    fullest = {name: value for step in TOUR.values() for name, value in step.items()}
    with pytest.MonkeyPatch.context() as patch:
        tour = {"simple": TOUR["simple"], "positions": fullest}
        patch.setattr(self_attention_tour, "TOUR", tour)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing interrupted, and its summary."""
    out = tmp_path_factory.mktemp("whole")
    return out, main(replace(TINY, smoke=True, out=out))


def test_a_run_leaves_what_the_contract_names(whole):
    out, summary = whole
    assert summary == json.loads((out / "summary.json").read_text())
    names = (
        "val_loss val_accuracy test_accuracy test_words test_order steps seconds "
        "sequences_per_second peak_memory_bytes backend seed dataset_sha256"
    )
    assert {*names.split(), "simple_accuracy"} <= set(summary)
    assert summary["positions_accuracy"] == summary["test_accuracy"]
    assert summary["steps"] == 2
    assert all(not isinstance(value, dict | list) for value in summary.values())
    for name in ("accuracy", "attention"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for folder in FOLDERS:
        names = ("config.json", "metrics.jsonl", "summary.json", "preset/config.json")
        assert all((out / folder / name).is_file() for name in names), folder
    model = SelfAttentionClassifier.from_preset(out / "preset")
    assert (model.config.num_heads, model.config.positions) == (4, "learned")
    assert model.predict_probabilities("Two old dogs sleep.").shape == (1, 4)
    simple = SelfAttentionClassifier.from_preset(out / "simple" / "preset")
    assert simple.config.attention == "simple"


def test_words_say_one_half_of_the_class_and_their_order_the_other():
    data = rest_and_order(zoo.data.load("animal_sentences"))
    parts = (data.train, data.validation, data.test)
    assert [len(part) for part in parts] == [4000, 200, 200]
    shares = np.bincount([example.label for example in data.train]) / 4000
    assert shares.shape == (4,) and shares.min() > 0.2
    times = {"today", "now", "often", "night", "sundays", "morning"}
    for example in data.train:
        words = example.text.lower().removesuffix(".").split()
        busy, first = divmod(example.label, 2)
        assert busy != bool({"sleep", "sit", "wait"} & {*words})
        assert first != (words[-1] in times)
    slots = {name: name for name in "when number looks animals verb where".split()}
    first, last = (
        pattern[0].format(**slots).removesuffix(".").split() for pattern in PATTERNS
    )
    assert first != last and sorted(first) == sorted(last)


def test_figures_count_either_half():
    class Certain:
        def predict(self, ids, **kwargs):
            return np.eye(4)[ids[:, 0]]

    ids, classes = np.array([[0], [1], [2], [3]]), np.array([0, 0, 1, 3])
    found = figures(Config(), Certain(), ids, classes)
    assert found == {"test_accuracy": 0.5, "test_words": 0.75, "test_order": 0.5}
    found = figures(Config(dataset="sst2"), Certain(), ids, classes)
    assert found == {"test_accuracy": 0.5}


def test_classes_of_single_texts_alone(tmp_path):
    config = replace(TINY, data_dir=tmp_path, out=tmp_path / "run")
    with pytest.raises(ValueError, match="got 'docs' of TextDataset"):
        main(replace(config, dataset="docs"))
    (tmp_path / "msr_paraphrase_train.txt").write_text(
        "Quality\t#1 String\t#2 String\n" + "1\ta\tb\n" * 20
    )
    (tmp_path / "msr_paraphrase_test.txt").write_text(
        "Quality\t#1 String\t#2 String\n1\ta\tb\n"
    )
    with pytest.raises(ValueError, match="single texts, got 'mrpc'"):
        main(replace(config, dataset="mrpc"))


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted(whole, tmp_path, monkeypatch):
    """In either step of the tour."""
    save, saved = Run.save, []

    def save_then_stop(self, model):
        save(self, model)
        saved.append(self.out.name)
        if len(saved) in (1, 3):
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", save_then_stop)
    config = replace(TINY, smoke=True, out=tmp_path / "run")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            main(replace(config, resume=bool(saved)))
    main(replace(config, resume=True))
    assert saved == ["simple"] * 2 + ["run"] * 2
    for folder in FOLDERS:
        assert_same_run(config.out / folder, whole[0] / folder)


def test_flags_and_bad_requests(tmp_path, capsys):
    for config in VARIANTS.values():
        assert config.steps % config.eval_every == 0
    with pytest.raises(SystemExit):
        parse(VARIANTS, "", ["--help"])
    shown = capsys.readouterr().out
    assert all(word in shown for word in [*VARIANTS, "--data-dir", "--resume"])
    with pytest.raises(FileNotFoundError, match="no checkpoint to resume"):
        main(replace(TINY, out=tmp_path, resume=True))
