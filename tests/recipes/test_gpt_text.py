import json

import pytest

from recipes.gpt_text import VARIANTS, Config, main
from tests.recipes.runs import assert_same_run, metrics, stopped_at_checkpoint
from zoo.training.runs.flags import replace
from zoo.training.runs.run import parse

TINY = replace(
    Config(),
    num_layers=1,
    num_heads=2,
    width=16,
    context_length=16,
    batch_size=4,
    steps=4,
    eval_every=2,
    warmup_steps=1,
    dropout=0.1,
    ema=0.9,
    num_samples=1,
    sample_tokens=4,
)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text("".join(f"{i} times {i} is {i * i}.\n" for i in range(120)))
    return replace(TINY, dataset="text", data_dir=path)


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """The folder of a run that nothing interrupted, and its summary."""
    out = tmp_path_factory.mktemp("whole")
    return out, main(replace(config, out=out))


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
    names = "val_loss steps seconds tokens_per_second peak_memory_bytes backend seed"
    assert set(names.split()) <= set(summary)
    assert summary["steps"] == 4
    assert all(not isinstance(value, dict | list) for value in summary.values())
    for name in ("config.json", "metrics.jsonl", "loss.png", "samples.txt", "preset"):
        assert (out / name).exists(), name
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_flags_override_the_variant_and_help_lists_variants(capsys):
    config = parse(VARIANTS, "text", ["--variant", "nanogpt_cpu", "--steps", "7"])
    assert (config.variant, config.steps, config.warmup_steps) == (
        "nanogpt_cpu",
        7,
        100,
    )
    with pytest.raises(SystemExit):
        parse(VARIANTS, "text", ["--help"])
    shown = capsys.readouterr().out
    for word in [*VARIANTS, "--mesh-data", "--precision", "--resume", "--smoke"]:
        assert word in shown
    with pytest.raises(SystemExit, match="nanogpt_cpu"):
        parse(VARIANTS, "text", ["--variant", "nanogpt"])


def test_bad_requests_say_what_to_do(config, tmp_path):
    config = replace(config, out=tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="no checkpoint to resume"):
        main(replace(config, resume=True))
    with pytest.raises(ValueError, match="multiple of eval_every=3"):
        main(replace(config, eval_every=3))
    with pytest.raises(ValueError, match="needs 2 devices"):
        main(replace(config, mesh_data=2))
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ValueError, match="empty"):
        main(replace(config, data_dir=tmp_path / "empty.txt"))


def test_a_damaged_checkpoint_is_named(config, whole, tmp_path):
    data = (whole[0] / "checkpoint.safetensors").read_bytes()
    (tmp_path / "checkpoint.safetensors").write_bytes(data[:-10])
    with pytest.raises(ValueError, match="checkpoint.safetensors is not a whole"):
        main(replace(config, out=tmp_path, resume=True))


def test_samples_leave_no_trace_in_the_training(config, whole, tmp_path):
    assert "<pre>" in (whole[0] / "index.html").read_text()
    main(replace(config, out=tmp_path, samples=False))
    assert_same_run(tmp_path, whole[0])
    assert "<pre>" not in (tmp_path / "index.html").read_text()
