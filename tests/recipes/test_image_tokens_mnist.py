"""The recipes `classifier_mnist` and `image_tokens_mnist`, one judging the other."""

import json

import numpy as np
import pytest

from recipes import classifier_mnist, image_tokens_mnist
from recipes.image_tokens_mnist import Config, main
from tests.recipes.runs import assert_same_run
from zoo.models.image_classifier import ImageClassifier
from zoo.models.image_tokens import ImageTokens
from zoo.training.runs.flags import replace
from zoo.training.runs.run import Run, parse

TINY = replace(
    Config(),
    dataset="digits",
    num_codes=8,
    code_dim=4,
    channels=4,
    num_residual_blocks=1,
    vqvae_batch_size=16,
    vqvae_steps=4,
    num_layers=1,
    num_heads=2,
    width=8,
    batch_size=16,
    steps=4,
    eval_every=2,
    eval_images=20,
    samples_per_class=10,  # as many as the picture shows: one shape to compile
)
NAMES = "val_loss steps seconds images_per_second peak_memory_bytes backend seed"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    out = tmp_path_factory.mktemp("classifier")
    config = replace(
        classifier_mnist.Config(), smoke=True, hidden=(4,), num_features=4, out=out
    )
    return out, classifier_mnist.main(config)


@pytest.fixture(scope="module")
def whole(classifier, tmp_path_factory):
    """The folder of a run that nothing interrupted, and its summary."""
    out = tmp_path_factory.mktemp("whole")
    return out, main(replace(TINY, classifier=classifier[0] / "preset", out=out))


def test_the_classifiers_run(classifier):
    out, summary = classifier
    assert summary == json.loads((out / "summary.json").read_text())
    assert {*NAMES.split(), "val_accuracy", "dataset_sha256"} <= set(summary)
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    again = ImageClassifier.from_preset(out / "preset")
    assert again.class_names == tuple("0123456789")
    assert again.features(np.zeros((2, 8, 8, 1), "float32")).shape == (2, 4)


def test_a_run_leaves_what_the_contract_names(whole):
    out, summary = whole
    assert summary == json.loads((out / "summary.json").read_text())
    names = "class_accuracy samples val_reconstruction code_perplexity codes_used"
    assert {*NAMES.split(), *names.split()} <= set(summary)
    assert (summary["steps"], summary["vqvae_steps"], summary["samples"]) == (4, 4, 100)
    assert all(not isinstance(value, dict | list) for value in summary.values())
    assert (out / "config.json").exists() and (out / "metrics.jsonl").exists()
    for name in ("reconstructions", "samples", "code_usage", "loss", "vqvae_loss"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
    assert ImageTokens.from_preset(out / "preset").prefix.vocab_size == 10


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted(whole, tmp_path, monkeypatch):
    """Once in each stage."""
    monkeypatch.setattr(image_tokens_mnist, "draw", lambda *args: None)
    save, saved = Run.save, []

    def save_then_stop(self, model):
        save(self, model)
        saved.append(self.out.name)
        if len(saved) in (1, 3):
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", save_then_stop)
    config = replace(TINY, out=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        main(config)
    with pytest.raises(KeyboardInterrupt):
        main(replace(config, resume=True))
    main(replace(config, resume=True))
    assert saved == ["stage1", "stage1", "run", "run"]

    for stage in (".", "stage1"):
        assert_same_run(config.out / stage, whole[0] / stage)


@pytest.mark.slow
def test_text_prompts(tmp_path):
    config = replace(TINY, conditioning="text", smoke=True, out=tmp_path)
    summary = main(config)
    assert summary["conditioning"] == "text" and summary["steps"] == 2
    prefix = ImageTokens.from_preset(tmp_path / "preset").prefix
    assert prefix.encode(["draw a seven"]).shape == (1, len("the digit seven"))


def test_flags_and_bad_requests(tmp_path, capsys):
    for recipe in (classifier_mnist, image_tokens_mnist):
        with pytest.raises(SystemExit):
            parse(recipe.VARIANTS, recipe.__doc__, ["--help"])
        shown = capsys.readouterr().out
        for word in [*recipe.VARIANTS, "--mesh-data", "--data-dir", "--resume"]:
            assert word in shown
    with pytest.raises(FileNotFoundError, match="no checkpoint to resume"):
        main(replace(TINY, out=tmp_path, resume=True))
    with pytest.raises(ValueError, match="no preset|neither a preset"):
        main(replace(TINY, out=tmp_path / "new", classifier=tmp_path / "none"))
