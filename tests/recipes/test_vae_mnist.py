import json

import pytest

import zoo
from recipes.vae_mnist import VARIANTS, Config, main
from tests.recipes.runs import assert_same_run, metrics, stopped_at_checkpoint
from zoo.training.runs.flags import replace
from zoo.training.runs.run import parse

TINY = replace(
    Config(),
    dataset="digits",
    hidden=(8,),
    latent_dim=2,
    batch_size=700,
    epochs=2,
    eval_every=1,
    nll_samples=3,
    nll_images=5,
    kl_warmup=3,
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
    names = "val_loss nll nll_samples binarization images_per_second steps seconds seed"
    assert set(names.split()) <= set(summary)
    assert all(not isinstance(value, dict | list) for value in summary.values())
    pictures = "reconstructions samples interpolations latent_plane codes loss"
    for name in pictures.split():
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
    vae = zoo.VAE.from_preset(out / "preset")
    data = zoo.data.load("digits")
    test = zoo.data.binarized(data.test_images, seed=0)
    test = test[zoo.data.fixed_subset(len(test), 5)]
    found = -vae.log_likelihood(test, num_samples=3, progress=False).mean()
    assert found == pytest.approx(summary["nll"], abs=1e-5)


def test_flags_override_the_variant(capsys):
    config = parse(VARIANTS, "vae", ["--variant", "iwae_50", "--hidden", "5", "6"])
    model = config.model
    assert (model.objective, model.num_samples, model.hidden) == ("iwae", 50, (5, 6))
    with pytest.raises(SystemExit):
        parse(VARIANTS, "vae", ["--help"])
    shown = capsys.readouterr().out
    for word in [*VARIANTS, "--binarize", "--observation", "--mesh-data", "--smoke"]:
        assert word in shown
