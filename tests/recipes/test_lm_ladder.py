import json
import shutil

import pytest

from recipes.lm_ladder import COLUMNS, NETWORKS, VARIANTS, Config, main, network
from tests.recipes.runs import assert_same_run, metrics, stopped_at_checkpoint
from zoo import LinearLM, NgramLM
from zoo.training.runs.flags import replace
from zoo.training.runs.run import Run

TINY = replace(
    Config(),
    max_order=2,
    rungs=("linear",),
    num_layers=1,
    num_heads=2,
    width=16,
    context_length=16,
    dropout=0.1,
    batch_size=4,
    steps=4,
    eval_every=2,
    warmup_steps=1,
    sample_tokens=8,
)
NAMES = "val_loss steps seconds tokens_per_second peak_memory_bytes backend seed"
RUNGS = {"ngram_1": NgramLM, "ngram_2": NgramLM, "linear": LinearLM}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text("".join(f"{i} × {i} is {i * i}.\n" for i in range(120)))
    return replace(TINY, dataset="text", data_dir=path)


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """The folder of a run that nothing interrupted, and its summary."""
    out = tmp_path_factory.mktemp("whole")
    return out, main(replace(config, out=out))


def test_a_run_leaves_what_the_contract_names(whole):
    out, summary = whole
    assert summary == json.loads((out / "summary.json").read_text())
    assert set(NAMES.split()) <= set(summary)
    assert all(not isinstance(value, dict | list) for value in summary.values())
    assert (out / "ladder.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "config.json").exists()
    samples = (out / "samples.txt").read_text()
    for name, kind in RUNGS.items():
        own = json.loads((out / name / "summary.json").read_text())
        for figure in set(COLUMNS) & set(own):
            assert summary[f"{name}_{figure}"] == own[figure]
        # Two bytes a cross.
        assert own["val_bits_per_character"] > 1.04 * own["val_bits_per_byte"]
        assert f"=== {name} ===\n{own['sample']}\n" in samples
        kind.from_preset(out / name / "preset")
    assert [row["rung"] for row in metrics(out)] == list(RUNGS)
    assert summary["val_loss"] == summary["linear_val_loss"]
    assert summary["ngram_2_val_loss"] < summary["ngram_1_val_loss"]
    assert LinearLM.from_preset(out / "preset").config.width == 16


def test_finished_rungs_are_not_trained_again(config, whole, tmp_path, monkeypatch):
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(Run, "fit", None)
    monkeypatch.setattr(NgramLM, "fit", None)
    summary = main(replace(config, out=tmp_path, resume=True))
    times = ("seconds", "peak_memory_bytes")
    same = {k: v for k, v in summary.items() if k not in times}
    assert same == {k: v for k, v in whole[1].items() if k not in times}


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted(
    config, whole, tmp_path, monkeypatch
):
    config = replace(config, out=tmp_path)
    stopped_at_checkpoint(monkeypatch, main, config)
    assert not (tmp_path / "linear" / "summary.json").exists()
    main(replace(config, resume=True))
    assert_same_run(tmp_path / "linear", whole[0] / "linear")


@pytest.mark.slow
def test_all_rungs(config, tmp_path):
    summary = main(replace(config, rungs=NETWORKS, smoke=True, out=tmp_path))
    assert summary["val_loss"] == summary["gpt_val_loss"]
    for name in NETWORKS:
        assert summary[f"{name}_val_loss"] == pytest.approx(2.8, abs=0.5)
    shakespeare = VARIANTS["shakespeare"]
    sizes = {name: network(name, shakespeare, 65).count_params() for name in NETWORKS}
    assert sizes["linear"] < sizes["gpt"]
    for name in NETWORKS[1:]:
        assert 1 <= sizes[name] / sizes["gpt"] < 1.1


def test_bad_requests(config, whole, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"must be among linear, .*got \['bert'\]"):
        main(replace(config, rungs=("gpt", "bert")))
    with pytest.raises(FileNotFoundError, match="no checkpoint to resume"):
        main(replace(config, out=tmp_path / "none", resume=True))
    # A new run in an old folder forgets what was finished there.
    shutil.copytree(whole[0], tmp_path / "old")
    monkeypatch.setattr(Run, "finish", None)
    with pytest.raises(TypeError):
        main(replace(config, out=tmp_path / "old"))
    for name in RUNGS:
        assert not (tmp_path / "old" / name / "summary.json").exists()


def test_variants_have_steps_that_can_be_evaluated():
    for config in VARIANTS.values():
        assert config.steps % config.eval_every == 0
        assert set(config.rungs) == set(NETWORKS)
