import json
from dataclasses import replace

import numpy as np
import pytest

from recipes.dcgan_mnist import VARIANTS, Config, main
from tests.recipes.runs import assert_same_run, stopped_at_checkpoint
from zoo.models.dcgan import DCGAN
from zoo.training.run import parse

TINY = Config(smoke=True, batch_size=8, ema=0.9, latent_dim=4, conditional=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing interrupted, and its summary."""
    out = tmp_path_factory.mktemp("whole")
    return out, main(replace(TINY, out=out))


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
    model = DCGAN.from_preset(out / "preset")
    seven = model.generate(np.zeros((1, 4)), np.array([7]))
    assert seven.shape == (1, 8, 8, 1)


def test_interrupted_and_resumed_equals_uninterrupted(whole, tmp_path, monkeypatch):
    stopped_at_checkpoint(monkeypatch, main, replace(TINY, out=tmp_path))
    main(replace(TINY, out=tmp_path, resume=True))
    assert_same_run(tmp_path, whole[0])


def test_flags():
    config = parse(VARIANTS, "images", ["--variant", "wgan_gp", "--epochs", "3"])
    assert (config.loss, config.discriminator_steps, config.epochs) == ("wgan_gp", 5, 3)
