"""The API reference has every public name, and an example of every public class."""

import importlib
import inspect
import re

import pytest

import zoo

from .blocks import ROOT, blocks, pages

pytestmark = pytest.mark.host
REFERENCE = "".join(
    page.read_text("utf-8") for page in sorted((ROOT / "docs/reference").glob("*.md"))
)
PACKAGES = ("data", "distribution", "evaluation", "generation", "layers", "presets")
# Made by what an example calls, or by nobody: what a function gives back, the names of
# parts, and classes that others derive from.
WITHOUT_EXAMPLE = {
    "Collocations",
    "ComputeLaw",
    "DynamicLossScale",
    "Engine",
    "Features",
    "FromPreset",
    "Generates",
    "InceptionFeatures",
    "Interval",
    "KaplanLaw",
    "Mesh",
    "NoAnswerThreshold",
    "OptimizerGroup",
    "ParallelText",
    "QuestionWindows",
    "Sequences",
    "SpelledSequences",
    "TaggedSequences",
    "TaskDataset",
    "Trainings",
    "Translates",
    "UnpairedDataset",
}


def public():
    """Every public function and class, by the name that users know it by."""
    found = {}
    for package in (*PACKAGES, "training"):
        module = importlib.import_module(f"zoo.{package}")
        found |= {
            f"zoo.{package}.{name}": getattr(module, name) for name in module.__all__
        }
    for name in zoo.__all__:
        known = getattr(zoo, name)
        if callable(known) and not any(known is each for each in found.values()):
            found[f"zoo.{name}"] = known
    return {name: each for name, each in found.items() if callable(each)}


def test_every_public_name_is_in_the_reference():
    entries = {*re.findall(r"^\.\. auto(?:class|function):: (\S+)$", REFERENCE, re.M)}
    missing = {*public()} - entries
    assert not missing


def test_every_public_class_has_an_example_that_is_run():
    code = "\n".join(
        block.text
        for page in pages()
        for block in blocks(page.read_text("utf-8"))
        if block.kind == "python"
    )
    words = {*re.findall(r"\w+", code)}
    classes = {
        name.rpartition(".")[2]
        for name, each in public().items()
        if inspect.isclass(each)
    } - {"use"}
    assert classes - words == WITHOUT_EXAMPLE
