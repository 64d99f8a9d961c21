"""Presets uploaded to a local hub server, and loaded again from there."""

import json
import shutil

import numpy as np
import pytest
from huggingface_hub import ModelCard

import zoo
from tests.presets.hub_server import Handler, serving
from zoo.cli import main
from zoo.files.atomic import replacing
from zoo.presets.weights import arrays_of
from zoo.store import cards, sharing
from zoo.store.manifest import Manifest, checkpoints

pytestmark = pytest.mark.host
CONFIG = zoo.GPTConfig(17, 12, 1, 2, 8)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(Handler, "files", {})
    monkeypatch.setattr(Handler, "commits", [])
    monkeypatch.setattr(Handler, "private", False)
    monkeypatch.setenv("HF_TOKEN", "write")
    with serving(monkeypatch, tmp_path / "home"):
        yield Handler


def gpt():
    model = zoo.GPT(CONFIG)
    model.tokenizer = zoo.Tokenizer.characters("abcdefghijklmnop")
    return model


def test_a_pushed_model_loads_again(hub):
    model = gpt()
    address = model.push_to_hub("own/gpt", license="mit", message="First")
    assert address == "hf://own/gpt" and hub.commits == ["First"]
    names = {"config.json", "model.safetensors", "tokenizer.json", "README.md"}
    assert set(hub.files) == names and not hub.private
    again = zoo.from_preset(address)
    assert again.config == CONFIG and list(again.tokenizer.encode("ab")) == [0, 1]
    for name, array in arrays_of(model).items():
        np.testing.assert_array_equal(arrays_of(again)[name], array)
    card = ModelCard(hub.files["README.md"].decode())
    assert card.data.license == "mit" and card.data.library_name == "keras"
    assert card.data.pipeline_tag == "text-generation"
    assert 'from_preset("hf://own/gpt")' in card.text


def test_a_model_of_parts_loads_again(hub):
    model = zoo.from_preset("vqvae.mnist")
    address = model.push_to_hub("own/gpt")
    again = zoo.from_preset(address)
    for part in ("vqvae", "gpt"):
        ours, theirs = (arrays_of(getattr(x, part)) for x in (model, again))
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            np.testing.assert_array_equal(theirs[name], array)
    assert again.prompt_classes == 10
    assert "551,041 parameters" in hub.files["README.md"].decode()


def test_a_push_replaces_what_was_there(hub):
    gpt().push_to_hub("own/gpt")
    hub.files |= {"notes.txt": b"kept", "manifest.toml": b"of the former weights"}
    zoo.GPT(CONFIG).push_to_hub("own/gpt")
    assert "tokenizer.json" not in hub.files and "manifest.toml" not in hub.files
    assert hub.files["notes.txt"] == b"kept"


def test_a_private_repository_is_private(hub):
    gpt().push_to_hub("own/gpt", private=True)
    assert hub.private
    gpt().push_to_hub("own/gpt")  # as it is
    before = dict(hub.files)
    with pytest.raises(ValueError, match="is private, not public as asked"):
        gpt().push_to_hub("own/gpt", private=False)
    assert hub.files == before


def test_a_card_of_ones_own(hub, tmp_path):
    (tmp_path / "card.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    gpt().push_to_hub("own/gpt", card=tmp_path / "card.md")
    assert hub.files["README.md"].endswith(b"# Mine\n")
    with pytest.raises(ValueError, match="Leave it out"):
        gpt().push_to_hub("own/gpt", card=tmp_path / "card.md", license="mit")


class Unsaved(zoo.GPT):
    def save_to_preset(self, directory):
        pytest.fail("work that the error makes useless")


@pytest.mark.parametrize(
    ("name", "token", "error", "message"),
    [
        ("gpt", "write", ValueError, "must be owner/name"),
        ("own/g pt", "write", ValueError, "must be owner/name"),
        ("own/gpt@main", "write", ValueError, "must be owner/name"),
        ("own/gpt", "", ValueError, "needs a token .* HF_TOKEN"),
    ],
)
def test_what_is_refused_at_once(name, token, error, message, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token or None)
    with pytest.raises(error, match=message):
        Unsaved(CONFIG).push_to_hub(name)


def test_offline(hub, monkeypatch):
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(OSError, match="ZOO_OFFLINE or HF_HUB_OFFLINE is set"):
        Unsaved(CONFIG).push_to_hub("own/gpt")


def test_a_token_without_access(hub):
    with pytest.raises(PermissionError, match=r"status 403.* write access to 'own'"):
        gpt().push_to_hub("own/gpt", token="read")
    assert not hub.files


def test_a_hub_that_cannot_be_reached(hub, monkeypatch):
    for module in ("constants", "hf_api"):
        name = f"huggingface_hub.{module}.ENDPOINT"
        monkeypatch.setattr(name, "http://127.0.0.1:9", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OSError, match="could not be reached"):
        gpt().push_to_hub("own/gpt")


# === The command ===


@pytest.fixture
def run(tmp_path):
    """A run's folder as a recipe leaves it."""
    folder = tmp_path / "run" / "preset"
    gpt().save_to_preset(folder)
    records = {
        "config.json": {
            "variant": "demo",
            "data_dir": "/home/me",
            "init": "/home/me/x",
        },
        "summary.json": {
            "val_loss": 3.25,
            "val_bits_per_byte": float("nan"),
            "loss": 2.0,
            "dataset": "tinyshakespeare",
            "steps": 7,
        },
    }
    for name, value in records.items():
        with replacing(folder.parent / name) as file:
            file.write(json.dumps(value).encode())
    return folder


def test_a_dry_run_prints_the_card_and_the_files(run, monkeypatch, capsys):
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    main(["push", str(run), "own/gpt", "--license", "mit", "--dry-run"])
    out = capsys.readouterr().out
    assert "README.md\n  config.json\n  model.safetensors\n  tokenizer.json\n" in out
    main(["push", str(run), "own/gpt", "--dry-run", "--json"])
    found = json.loads(capsys.readouterr().out)
    card = ModelCard(found["card"])
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("loss", 3.25)
    assert card.data.datasets == ["karpathy/tiny_shakespeare"]
    # Nothing of the machine that it was trained on.
    assert "/home/me" not in found["card"] and '"variant": "demo"' in found["card"]
    assert "| val_loss | 3.25 |" in found["card"] and "nan" not in found["card"]


def test_push_and_load(run, hub, capsys):
    (run / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    (run / ".secret.json").write_text("{}")
    (run / "optimizer.npz").write_text("")
    main(["push", str(run), "own/gpt", "--private"])
    assert "from_preset('hf://own/gpt')" in capsys.readouterr().out
    names = {"config.json", "model.safetensors", "tokenizer.json", "README.md"}
    assert set(hub.files) == names and hub.private
    assert (run / "README.md").read_text().endswith("# Mine\n")
    assert zoo.GPT.from_preset("hf://own/gpt").config == CONFIG


def test_a_checkpoint_is_pushed_with_its_manifest(hub, capsys):
    main(["push", "vae.mnist", "own/gpt", "--json"])
    assert json.loads(capsys.readouterr().out)["address"] == "hf://own/gpt"
    folder = sharing.hub.fetch("own/gpt")
    assert Manifest.read(folder).parameters == 425285
    # The manifest is checked as in any folder.
    hub.files["config.json"] += b"\n"
    shutil.rmtree(sharing.hub.home())
    with pytest.raises(ValueError, match="manifest.toml lists"):
        zoo.from_preset("hf://own/gpt")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gpt2", "a folder with weights"),
        ("{tmp}/theirs", "another library's"),
        ("{tmp}/bare", "must hold weights"),
        ("{tmp}/changed", "is not the file that manifest.toml lists"),
    ],
)
def test_what_is_no_preset_of_zoo(source, message, hub, tmp_path):
    for name, said in (("theirs", {"model_type": "gpt2"}), ("bare", CONFIG_OF_A_GPT)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(said))
    shutil.copytree(checkpoints()["vae.mnist"], tmp_path / "changed")
    with open(tmp_path / "changed" / "config.json", "a") as file:
        file.write(" ")
    with pytest.raises(SystemExit, match=message):
        main(["push", source.format(tmp=tmp_path), "own/gpt"])
    assert not hub.files


CONFIG_OF_A_GPT = {"architecture": "GPT", "config": {}, "dtype": "float32"}


# === The shipped cards ===


@pytest.mark.parametrize("name", checkpoints())
def test_a_shipped_card_has_the_hubs_metadata(name):
    folder = checkpoints()[name]
    text = (folder / cards.CARD).read_text("utf-8")
    manifest = Manifest.read(folder)
    assert text.startswith(cards.head_of(manifest)), (
        f"python -m zoo.store.cards {folder} writes it anew"
    )
    data = ModelCard(text).data
    assert data.license == "apache-2.0" and data.library_name == "keras"
    found = {each.metric_name: each.metric_value for each in data.eval_results}
    assert found == manifest.evaluation.figures


# https://huggingface.co/tasks
TASKS = """
any-to-any audio-classification audio-text-to-text audio-to-audio
automatic-speech-recognition depth-estimation document-question-answering
feature-extraction fill-mask graph-ml image-classification image-feature-extraction
image-segmentation image-text-to-text image-to-3d image-to-image image-to-text
image-to-video keypoint-detection mask-generation object-detection question-answering
reinforcement-learning robotics sentence-similarity summarization
table-question-answering tabular-classification tabular-regression
text-classification text-generation text-ranking text-to-3d text-to-audio text-to-image
text-to-speech text-to-video time-series-forecasting token-classification translation
unconditional-image-generation video-classification video-text-to-text
visual-document-retrieval visual-question-answering voice-activity-detection
zero-shot-classification zero-shot-image-classification zero-shot-object-detection
"""


def test_every_task_is_one_of_the_hubs():
    for name, entry in zoo.catalog.MODELS.items():
        assert entry.task in TASKS.split() or not entry.module.startswith("zoo."), name
