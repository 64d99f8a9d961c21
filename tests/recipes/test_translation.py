import json

import pytest

from recipes.translation import VARIANTS, Config, main
from tests.recipes.runs import assert_same_run, metrics, stopped_at_checkpoint
from zoo.models.language.transformer import Transformer
from zoo.training.runs.flags import replace

TINY = replace(
    Config(),
    vocab_size=280,
    num_layers=1,
    num_heads=2,
    width=16,
    feed_forward_width=16,
    context_length=32,
    batch_tokens=256,
    steps=4,
    eval_every=2,
    warmup_steps=1,
    ema=0.9,
    num_beams=2,
    test_sentences=2,
)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for part, count in (("train", 60), ("val", 4), ("test_2016_flickr", 4)):
        lines = [f"{i} dogs and {i + 1} cats" for i in range(count)]
        (folder / f"{part}.en").write_text("\n".join(lines))
        german = "\n".join(lines).replace("dogs and", "Hunde und")
        (folder / f"{part}.de").write_text(german.replace("cats", "Katzen"))
    return replace(TINY, data_dir=folder)


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """The folder of a run that nothing interrupted, and its summary."""
    out = tmp_path_factory.mktemp("whole")
    return out, main(replace(config, out=out))


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted(
    config, whole, tmp_path, monkeypatch
):
    stopped_at_checkpoint(monkeypatch, main, replace(config, out=tmp_path))
    assert len(metrics(tmp_path)) == 1
    main(replace(config, out=tmp_path, resume=True))
    assert_same_run(tmp_path, whole[0])


def test_a_run_leaves_what_the_contract_names(whole):
    out, summary = whole
    assert summary == json.loads((out / "summary.json").read_text())
    names = (
        "val_nats steps seconds tokens_per_second bleu greedy_bleu chrf bleu_signature "
        "translation_seconds peak_memory_bytes"
    )
    assert set(names.split()) <= set(summary)
    assert all(not isinstance(value, dict | list) for value in summary.values())
    for name in ("loss.png", "attention.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    rows = json.loads((out / "translations.json").read_text())
    assert [set(row) for row in rows] == [{"source", "reference", "greedy", "beam"}] * 2
    model = Transformer.from_preset(out / "preset")
    sources = [row["source"] for row in rows]
    assert model.generate(sources) == [row["greedy"] for row in rows]


def test_variants_have_steps_that_can_be_evaluated():
    for config in VARIANTS.values():
        assert config.steps % config.eval_every == 0
