import json

import numpy as np
import pytest

from recipes import cyclegan_digits
from recipes.cyclegan import VARIANTS, Config, main
from tests.recipes.runs import assert_same_run, stopped_at_checkpoint
from zoo.models.gan.cyclegan import CycleGAN
from zoo.models.image_classifier import ImageClassifier, ImageClassifierConfig
from zoo.training.runs.flags import replace
from zoo.training.runs.run import parse

JUDGE = ImageClassifierConfig((20, 20, 1), 2, hidden=(4,), num_features=6)
TINY = replace(Config(), smoke=True, batch_size=2, ema=0.9, history=3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The configuration of a run that nothing interrupted, and its summary."""
    out, judge = (tmp_path_factory.mktemp(name) for name in ("whole", "judge"))
    ImageClassifier(JUDGE).save_to_preset(judge)
    config = replace(TINY, out=out, judge=judge)
    return config, main(config)


def test_a_run_leaves_what_the_contract_names(whole):
    config, summary = whole
    out = config.out
    assert summary == json.loads((out / "summary.json").read_text())
    for name in ("psnr", "ssim", "passes"):
        for way in ("a_to_b", "b_to_a"):
            assert np.isfinite(summary[f"{name}_{way}"])
    # What is left as it is passes for the other domain where the judge is wrong.
    shares = [summary[f"untranslated_passes_{way}"] for way in ("a_to_b", "b_to_a")]
    assert all(0 <= share <= 1 for share in shares)
    assert summary["steps"] == 2 and "images_per_second" in summary
    pictures = ["translations", "loss", "scores", "samples/0000001"]
    for name in pictures:
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
    model = CycleGAN.from_preset(out / "preset")
    images = np.zeros((1, 20, 20, 1), "float32")
    assert model.translate(images, "a_to_b").shape == images.shape


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted(whole, tmp_path, monkeypatch):
    config = replace(whole[0], out=tmp_path)
    stopped_at_checkpoint(monkeypatch, main, config)
    main(replace(config, resume=True))
    assert_same_run(tmp_path, whole[0].out)


def test_a_judge_that_does_not_fit_is_refused_before_training(tmp_path):
    ImageClassifier(replace(JUDGE, image_shape=(8, 8, 1))).save_to_preset(tmp_path)
    with pytest.raises(ValueError, match=r"A judge must be .* \(20, 20, 1\), got"):
        main(replace(TINY, out=tmp_path / "run", judge=tmp_path))
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_dataset_of_one_domain_is_refused(tmp_path):
    with pytest.raises(ValueError, match="of UnpairedDataset, got 'digits' of Image"):
        main(Config(dataset="digits", out=tmp_path))


def test_variants():
    config = parse(VARIANTS, "pictures", ["--variant", "paper_128", "--epochs", "4"])
    blocks = config.model.residual_blocks
    assert (config.crop_size, blocks, config.epochs) == (128, 6, 4)
    config = parse(cyclegan_digits.VARIANTS, "digits", ["--variant", "small"])
    assert config.dataset == "small_digit_outlines"
    assert config.model.identity_weight == 0.0
