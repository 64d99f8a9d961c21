"""A single lookup serves all flags and functions that take a preset."""

import dataclasses
import importlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import zoo
from zoo import Tokenizer, catalog
from zoo.cli import COMMANDS, main
from zoo.store import hub
from zoo.store.names import PresetName, check_names, look_up

pytestmark = pytest.mark.host
# Fields that take preset names, by recipe and command.
RECIPES = {
    "bert_finetune": ["encoder"],
    "bert_pretrain": ["encoder", "teacher"],
    "cyclegan": ["judge"],
    "cyclegan_digits": ["judge"],
    "dcgan_mnist": ["judge"],
    "flow_mnist": ["init"],
    "image_tokens_mnist": ["classifier"],
    "vae_mnist": ["init"],
}


@dataclass(frozen=True)
class Flags:
    """Flags of which some take preset names."""

    first: PresetName = "gpt2"
    second: PresetName | None = None
    other: str = "gpt3000"


def test_what_names_stand_for(tmp_path):
    assert look_up("gpt2") == look_up("vqvae_28")
    assert look_up("gpt2").folder is look_up("gpt2").address is None
    assert look_up("bert_tiny.docs").folder.name == "bert_tiny.docs"
    assert look_up("hf://someone/something").address == "someone/something"
    assert look_up("gpt2.webtext").address == hub.NAMES["gpt2.webtext"]
    (tmp_path / "config.json").write_text("{}")
    assert look_up(tmp_path).folder == look_up(str(tmp_path)).folder == tmp_path


def test_misspelled_names():
    for name, near in (
        ("bert_tinny.docs", "bert_tiny.docs"),
        ("gpt-2", "gpt2"),
        ("gpt2_medium.webtxt", "gpt2_medium.webtext"),
    ):
        with pytest.raises(ValueError, match=f"{name!r}. Did you mean {near!r}"):
            look_up(name)


def test_only_fields_that_name_presets_are_looked_up():
    check_names(Flags())
    check_names(Flags(second="bert_tiny.docs"))
    for flags in (Flags(first="gpt3000"), Flags(second="gpt3000")):
        with pytest.raises(ValueError, match="Did you mean 'gpt3_"):
            check_names(flags)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_look_all_of_them_up(name):
    recipe = importlib.import_module(f"recipes.{name}")
    config = next(iter(recipe.VARIANTS.values()))
    for field in RECIPES[name]:
        check_names(dataclasses.replace(config, **{field: "classifier.mnist"}))
        with pytest.raises(ValueError, match="Did you mean 'classifier.mnist'"):
            check_names(dataclasses.replace(config, **{field: "classifier_mnist"}))


def test_recipes_say_so_in_one_line():
    from recipes.bert_finetune import VARIANTS
    from zoo.training.runs.run import parse

    assert parse(VARIANTS, "", ["--encoder", "bert_tiny.docs"]).encoder
    with pytest.raises(SystemExit, match="Did you mean 'bert_tiny.docs'"):
        parse(VARIANTS, "", ["--encoder", "bert_tiny.doc"])


@pytest.mark.parametrize(
    "args",
    [
        "info {}",
        "generate {} x",
        "sample {}",
        "translate {} a.png b.png",
        "fill-mask {} x",
        "evaluate {} --dataset digits",
        "evaluate vae.mnist --dataset digits --judge {}",
        "convert {} /tmp/nowhere",
        "plan {}",
    ],
)
def test_commands_look_all_of_them_up(args):
    assert args.split()[0] in COMMANDS
    with pytest.raises(SystemExit, match="Did you mean 'classifier.mnist'"):
        main(args.format("classifier.mnst").split())


def test_no_backend_is_imported_to_say_so():
    code = (
        "import sys; from zoo.cli import main\n"
        "try: main(['generate', 'gpt2_medum', 'x'])\n"
        "except SystemExit as error: print(error)\n"
        "print(sorted({'keras', 'torch', 'jax', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Did you mean 'gpt2_medium'" in done.stdout, done.stderr
    assert done.stdout.endswith("[]\n")


def test_tokenizers_by_the_same_names(tmp_path, monkeypatch):
    tokenizer = Tokenizer.from_preset("bert_tiny.docs")
    monkeypatch.setattr(hub, "fetch", lambda address: look_up("bert_tiny.docs").folder)
    assert Tokenizer.from_preset("hf://someone/something") == tokenizer
    with pytest.raises(ValueError, match="Did you mean 'bert_tiny.docs'"):
        Tokenizer.from_preset("bert_tiny.doc")


# === zoo info ===


def info(name: str, capsys) -> str:
    main(["info", str(name)])
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("architecture", catalog.presets())
def test_info_of_a_configuration(architecture, capsys):
    name = catalog.presets()[architecture][0]
    found = info(name, capsys)
    assert f"model │ {architecture}" in found or f"model {architecture}" in found
    assert "without weights" in found
    assert f"{zoo.presets.count_parameters(name):,}" in found


def test_info_of_one_on_the_hub(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    found = info("gpt2.webtext", capsys)
    assert "hf://openai-community/gpt2" in found and "on first use" in found
    folder = look_up("bert_tiny.docs").folder
    monkeypatch.setattr(hub, "fetched", lambda address: folder)
    assert "BertPretrainer" in info("gpt2.webtext", capsys)


def test_a_cached_download_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    assert hub.fetched("someone/something") is None
    cache = tmp_path / "hub" / "models--someone--something"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("abc")
    (cache / "snapshots" / "abc").mkdir(parents=True)
    (cache / "snapshots" / "abc" / "config.json").write_text("{}")
    assert hub.fetched("someone/something") == cache / "snapshots" / "abc"


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("config.json", '{"model_type": "gpt2", "n_embd": 321}', ("gpt2", "321")),
        (
            "config.json",
            '{"class_name": "BertBackbone", "config": {"num_layers": 321}}',
            ("BertBackbone", "321"),
        ),
        ("bert_config.json", '{"hidden_size": 321}', ("BERT", "321")),
    ],
)
def test_info_of_other_libraries_folders(file, text, expected, tmp_path, capsys):
    (tmp_path / file).write_text(text)
    found = info(tmp_path, capsys)
    assert all(word in found for word in expected)
    Path(tmp_path / file).write_text("[1]")
    with pytest.raises(SystemExit, match="is damaged: expected a JSON object"):
        main(["info", str(tmp_path)])
