import json

import numpy as np
import pytest

import zoo
from recipes.flow_mnist import VARIANTS, main
from tests.recipes.runs import assert_same_run, metrics, stopped_at_checkpoint
from zoo.training.runs.flags import replace

TINY = replace(
    VARIANTS["digits"],
    steps=(2, 1),
    hidden=(4, 4),
    noise_hidden=4,
    batch_size=700,
    epochs=2,
    eval_every=1,
    nll_samples=2,
    nll_images=6,
    ema=0.9,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing interrupted, and its summary."""
    out = tmp_path_factory.mktemp("whole")
    return out, main(replace(TINY, out=out))


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted(whole, tmp_path, monkeypatch):
    stopped_at_checkpoint(monkeypatch, main, replace(TINY, out=tmp_path))
    assert len(metrics(tmp_path)) == 1
    main(replace(TINY, out=tmp_path, resume=True))
    assert_same_run(tmp_path, whole[0])


def test_a_run_leaves_figures_pictures_and_a_preset(whole):
    out, summary = whole
    assert summary == json.loads((out / "summary.json").read_text())
    names = "val_loss val_bits_per_dim bits_per_dim_2_draws reconstruction_error levels"
    assert set(names.split()) <= set(summary)
    assert (
        summary["levels"] == 17 and summary["reconstruction_error"] < 0.5 / 255 + 1e-6
    )
    pictures = "reconstructions samples temperatures interpolations bits_per_dim"
    for name in pictures.split():
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
    flow = zoo.NormalizingFlow.from_preset(out / "preset")
    data = zoo.data.load("digits")
    rows = zoo.data.fixed_subset(len(data.test_images), 6)
    test = data.test_images[rows] / np.float32(255)
    nats = -flow.log_likelihood(test, num_samples=2, seed=0)
    found = nats.mean() / (64 * np.log(2))
    assert found == pytest.approx(summary["bits_per_dim_2_draws"], abs=1e-4)
