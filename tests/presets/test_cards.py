"""Each checkpoint's card: its sections, and a reproducible evaluation."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from zoo.cli import main, parsed
from zoo.commands.evaluate import EvaluateConfig
from zoo.data.datasets import list_datasets
from zoo.store.cards import HEAD
from zoo.store.manifest import Manifest, checkpoints

DATA = Path(os.environ.get("ZOO_DATA", Path(__file__).parents[3] / "shared" / "data"))
# Folders of datasets, where they differ from the dataset's name.
FOLDERS = {"digit_outlines": "mnist"}
SECTIONS = ("Use", "Data and licence", "Recipe", "Evaluation", "Limits")


@pytest.mark.host
@pytest.mark.parametrize("name", checkpoints())
def test_sections_are_there_and_say_something(name):
    card = (checkpoints()[name] / "README.md").read_text("utf-8")
    card = HEAD.sub("", card)  # test_sharing.py checks it
    title, *parts = re.split(r"^## ", card, flags=re.MULTILINE)
    assert title.startswith(f"# {name}\n")
    texts = dict(part.split("\n", 1) for part in parts)
    assert list(texts)[: len(SECTIONS)] == list(SECTIONS)
    for section in SECTIONS:
        assert len(texts[section].strip()) > 40, section
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", card):
        assert (checkpoints()[name] / picture).is_file(), picture


@pytest.mark.host
@pytest.mark.parametrize("name", checkpoints())
def test_the_evaluation_is_a_command(name):
    folder = checkpoints()[name]
    evaluation = Manifest.read(folder).evaluation
    program, *args = shlex.split(evaluation.command)
    config = parsed(args)
    assert program == "zoo" and isinstance(config, EvaluateConfig)
    assert config.name == name and config.dataset in list_datasets()
    card = (folder / "README.md").read_text("utf-8")
    assert f"`{evaluation.command}`" in card
    # The card's figures are the manifest's, to the precision that the card gives.
    told = [float(x) for x in re.findall(r"-?\d+\.?\d*", card.replace(",", ""))]
    for figure, value in evaluation.figures.items():
        near = min(abs(x * scale - value) for x in told for scale in (1, 0.01))
        assert near < 0.006 * max(1, abs(value)), figure


@pytest.mark.data
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the data folder, see ZOO_DATA")
@pytest.mark.parametrize("name", checkpoints())
def test_the_evaluation_gives_its_figures(name, tmp_path):
    evaluation = Manifest.read(checkpoints()[name]).evaluation
    args = shlex.split(evaluation.command)[1:]
    dataset = parsed(args).dataset
    if dataset != "docs":  # which comes with Python
        args += ["--data-dir", str(DATA / FOLDERS.get(dataset, dataset))]
    main([*args, "--out", str(tmp_path)])
    found = json.loads((tmp_path / "summary.json").read_text())
    for figure, value in evaluation.figures.items():
        tolerance = evaluation.tolerances[figure]
        assert abs(found[figure] - value) <= tolerance, (figure, found[figure], value)
