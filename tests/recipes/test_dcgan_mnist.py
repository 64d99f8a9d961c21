import json

import numpy as np
import pytest

from recipes.dcgan_mnist import VARIANTS, Config, main
from tests.recipes.runs import assert_same_run, stopped_at_checkpoint
from zoo.models.gan.dcgan import DCGAN
from zoo.models.image_classifier import ImageClassifier, ImageClassifierConfig
from zoo.training.runs.flags import replace
from zoo.training.runs.run import parse

JUDGE = ImageClassifierConfig(image_shape=(8, 8, 1), hidden=(4,), num_features=6)
TINY = replace(
    Config(), smoke=True, batch_size=8, ema=0.9, latent_dim=4, conditional=True
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing interrupted, and its summary."""
    out, judge = (tmp_path_factory.mktemp(name) for name in ("whole", "judge"))
    ImageClassifier(JUDGE).save_to_preset(judge)
    return out, main(replace(TINY, out=out, judge=judge))


def test_a_run_leaves_what_the_contract_names(whole):
    out, summary = whole
    assert summary == json.loads((out / "summary.json").read_text())
    names = "steps seconds images_per_second peak_memory_bytes backend seed"
    terms = "val_discriminator/real val_generator/loss val_diversity"
    assert {*names.split(), *terms.split()} <= set(summary)
    assert summary["steps"] == 2
    assert all(not isinstance(value, dict | list) for value in summary.values())
    assert (out / "config.json").exists() and (out / "metrics.jsonl").exists()
    pictures = ["samples", "interpolations", "loss", "scores"]
    for name in (*pictures, "samples/000001", "samples/000002"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
    judged = {k[6:]: v for k, v in summary.items() if k.startswith("judge_")}
    figures = "kid floor_kid precision recall density coverage modes_kl"
    assert {*figures.split(), "protocol_features"} <= set(judged)
    assert judged["protocol_num_fake"] == judged["protocol_num_test"] == 100
    assert 0 < judged["floor_fid"] < judged["fid"]
    assert 1 <= judged["modes_covered"] <= 10
    assert summary["precision"] == "float32"
    model = DCGAN.from_preset(out / "preset")
    seven = model.generate(np.zeros((1, 4)), np.array([7]))
    assert seven.shape == (1, 8, 8, 1)


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted(whole, tmp_path, monkeypatch):
    stopped_at_checkpoint(monkeypatch, main, replace(TINY, out=tmp_path))
    main(replace(TINY, out=tmp_path, resume=True))
    assert_same_run(tmp_path, whole[0])


def test_a_judge_that_does_not_fit_is_refused_before_training(tmp_path):
    ImageClassifier(replace(JUDGE, image_shape=(4, 4, 1))).save_to_preset(tmp_path)
    for judge in (tmp_path, "classifier_8"):  # the latter has no weights
        with pytest.raises(ValueError, match=r"A judge must be .* \(8, 8, 1\), got"):
            main(replace(TINY, out=tmp_path / "run", judge=judge))
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_flags():
    config = parse(VARIANTS, "images", ["--variant", "wgan_gp", "--epochs", "3"])
    game = config.model
    assert (game.loss, game.discriminator_steps, config.epochs) == ("wgan_gp", 5, 3)
