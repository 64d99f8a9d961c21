"""`zoo cite`: every family has papers, and every paper is complete."""

import re

import pytest

from zoo import catalog
from zoo.cli import main
from zoo.store.manifest import Manifest, checkpoints
from zoo.store.papers import cited, papers
from zoo.version import __version__

pytestmark = pytest.mark.host
# Other tests register models of their own.
OURS = {k: x for k, x in catalog.MODELS.items() if x.module.startswith("zoo.models.")}
# Where a paper of each kind appeared.
VENUES = {
    "article": {"journal", "volume", "number", "pages"},
    "inproceedings": {"booktitle"},
    "misc": {"eprint", "howpublished"},
}


def test_every_family_has_papers():
    for name, entry in OURS.items():
        assert entry.papers, f"{name} needs papers in zoo/catalog.py"
        assert set(entry.papers) <= set(papers()), name
        assert entry.task, f"{name} needs a task in zoo/catalog.py"


def test_every_paper_is_complete_and_used():
    used = {key for entry in OURS.values() for key in entry.papers}
    assert set(papers()) == used
    for key, paper in papers().items():
        assert {"title", "author", "year"} <= paper.fields.keys(), key
        where = paper.fields.keys() & VENUES[paper.kind]
        assert where and (paper.kind == "misc" or where == VENUES[paper.kind]), key
        year = paper.fields["year"]
        assert re.fullmatch(r"(19|20)\d\d", year) and year in key
        # One `Last, First` per author; the first one is in the key. Hundreds of authors
        # are cut short, as BibTeX has it.
        authors = paper.fields["author"].removesuffix(" and others").split(" and ")
        assert all(author.count(", ") == 1 for author in authors), key
        name = re.sub(r"[^a-z]", "", authors[0].split(", ")[0].split()[-1].lower())
        assert key.startswith(name), key
        text = str(paper)
        assert text.count("{") == text.count("}")
        assert "presets" not in paper.fields


def test_a_file_without_a_mistake_is_read_whole():
    from zoo.store.papers import FILE

    assert FILE.read_text("utf-8").count("\n@") == len(papers())


@pytest.mark.parametrize("name", checkpoints())
def test_every_checkpoint_is_cited(name, capsys):
    main(["cite", name])
    out = capsys.readouterr().out
    model = Manifest.read(checkpoints()[name]).architecture
    assert out == "\n\n".join([*cited(model, name), ""]) + out[out.index("@software") :]
    assert f"version = {{{__version__}}}" in out


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("gpt2_xl.webtext", ["radford2019language"]),
        ("gpt3_13b", ["brown2020language"]),
        ("roberta_base", ["liu2019roberta"]),
        ("bert_mini", ["devlin2019bert", "turc2019well"]),
        ("iwae.mnist", ["kingma2014auto", "burda2016importance"]),
        ("CycleGANGenerator", ["zhu2017unpaired"]),
    ],
)
def test_a_preset_has_its_own_papers(name, keys, capsys):
    main(["cite", name])
    out = capsys.readouterr().out
    assert re.findall(r"^@\w+\{(\w+),", out, re.MULTILINE) == [*keys, "zoo"]


def test_a_folder_of_another_library(tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"model_type": "albert"}')
    main(["cite", str(tmp_path)])
    assert "@inproceedings{lan2020albert" in capsys.readouterr().out


def test_what_is_not_downloaded_is_not_guessed(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    with pytest.raises(SystemExit, match="has to be downloaded"):
        main(["cite", "hf://own/gpt"])


def test_a_model_of_ones_own_cites_its_papers(monkeypatch):
    from zoo.presets.registration import register, registration_of

    monkeypatch.setattr("zoo.catalog.MODELS", dict(catalog.MODELS))
    monkeypatch.setattr("zoo.presets.registration._registered", {})
    entry = "@misc{own, title = {Own}}"
    kind = register(type("OwnVAE", (), {}), papers=(entry,), task="feature-extraction")
    assert cited("OwnVAE") == [entry]
    assert registration_of(kind).task == catalog.MODELS["OwnVAE"].task
