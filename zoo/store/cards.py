"""Model cards: `README.md` with the Hugging Face hub's metadata at its head.

The head of a shipped checkpoint's card is made from its manifest:

    python -m zoo.store.cards pretrained/NAME ...
"""

import json
import math
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from zoo import catalog
from zoo.files.json_files import read_json
from zoo.store.manifest import Manifest
from zoo.store.names import saved_settings
from zoo.store.papers import PROJECT, cited

CARD = "README.md"
# Ends the head of a shipped card, where other pages include the rest.
BODY = "<!-- card -->"
HEAD = re.compile(rf"\A---\n.*?^---\n+(?:{BODY}\n+)?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Dataset:
    """A dataset as the hub knows it.

    Attributes:
        title: its name for people.
        split: the part that models are measured on.
        address: `owner/name` on the hub; empty if it is not there.
    """

    title: str
    split: str = "validation"
    address: str = ""


DATASETS = {
    "mnist": Dataset("MNIST", "test", "ylecun/mnist"),
    "digit_outlines": Dataset("MNIST's digits and outlines", "test", "ylecun/mnist"),
    "tinyshakespeare": Dataset("tinyshakespeare", address="karpathy/tiny_shakespeare"),
    "docs": Dataset("Python's manual"),
}
# The hub's names of metrics, by the end of ours.
METRICS = {
    "accuracy": "accuracy",
    "perplexity": "perplexity",
    "precision": "precision",
    "recall": "recall",
    "fid": "fid",
    "psnr_a_to_b": "psnr",
    "psnr_b_to_a": "psnr",
    "ssim_a_to_b": "ssim",
    "ssim_b_to_a": "ssim",
    "bits_per_byte": "bits_per_byte",
    "nll": "nll",
    "loss": "loss",
    "bleu": "bleu",
    "f1": "f1",
}
# The numbers of a run's summary that say nothing about the model's quality.
OF_THE_RUN = ("loss", "learning_rate", "peak_memory_bytes", "seconds", "steps")
# The settings of a run that a card leaves out.
OF_THE_MACHINE = ("data_dir", "out", "resume", "resume_with", "smoke", "on_bad")


def metric_type(figure: str) -> str:
    """The hub's name of a metric; empty if it has none."""
    ends = [end for end in METRICS if figure == end or figure.endswith(f"_{end}")]
    return METRICS[max(ends, key=len)] if ends else ""


def head(
    name: str,
    architecture: str,
    *,
    license: str = "",
    dataset: str = "",
    figures: Mapping[str, float] = {},
) -> str:
    """The YAML metadata at a card's head, between its lines of dashes.

    Args:
        name: the checkpoint's.
        architecture: the model's class.
        license: as the hub writes it, such as `apache-2.0`; empty if unknown.
        dataset: zoo's name of the data that it was trained and measured on.
        figures: metrics by name.
    """
    from huggingface_hub import EvalResult, ModelCardData

    entry = catalog.MODELS.get(architecture)
    task = entry.task if entry is not None else ""
    known = DATASETS.get(dataset, Dataset(dataset))
    results = [
        EvalResult(
            task_type=task or "other",
            dataset_type=known.address or dataset,
            dataset_name=known.title,
            dataset_split=known.split,
            metric_type=kind,
            metric_name=figure,
            metric_value=value,
        )
        for figure, value in figures.items()
        if (kind := metric_type(figure)) and dataset
    ]
    data = ModelCardData(
        license=license or None,
        library_name="keras",
        pipeline_tag=task or None,
        tags=["keras-zoo", architecture.lower()],
        datasets=[known.address] if known.address else None,
        metrics=list(dict.fromkeys(each.metric_type for each in results)) or None,
        model_name=name,
        eval_results=results or None,
    )
    if not results:
        del data.model_name  # needed for results only
    return f"---\n{data.to_yaml()}\n---\n\n"


def head_of(manifest: Manifest) -> str:
    """The head of a checkpoint that has a manifest."""
    found, dataset = manifest.evaluation, ""
    if found is not None:
        words = shlex.split(found.command)
        dataset = words[words.index("--dataset") + 1] if "--dataset" in words else ""
    is_apache = manifest.license.startswith("Weights Apache-2.0")
    made = head(
        manifest.folder.name,
        manifest.architecture,
        license="apache-2.0" if is_apache else "other",
        dataset=dataset,
        figures=found.figures if found is not None else {},
    )
    return f"{made}{BODY}\n\n"


def generated(folder: Path, name: str, *, license: str = "") -> str:
    """A card for a preset, from its files and, if it has any, from its run's.

    Args:
        folder: the preset's; a run of a recipe has its records in the folder above.
        name: `owner/name` on the hub.
        license: as the hub writes it, such as `mit`; empty if unknown.
    """
    settings, summary = saved_settings(folder), _record(folder, "summary.json")
    architecture = str(settings.get("subclass_of", settings["architecture"]))
    dataset = str(summary.get("dataset", ""))
    figures = {
        figure: value
        for figure, value in summary.items()
        if figure not in OF_THE_RUN
        and metric_type(figure)
        and isinstance(value, (int, float))
        and math.isfinite(value)
    }
    top = head(name, architecture, license=license, dataset=dataset, figures=figures)
    parts = [
        f"# {name.rpartition('/')[2]}\n\nA `{architecture}` with "
        f"{_parameters(folder):,} parameters, made with zoo.",
        "## Use\n\n```\npip install keras-zoo\n```\n\n```python\nimport zoo\n\n"
        f'model = zoo.from_preset("hf://{name}")\n```',
    ]
    if summary:
        parts.append(f"## Training\n\n{_training(folder, summary)}")
    if figures:
        rows = "\n".join(f"| {k} | {value:.6g} |" for k, value in figures.items())
        parts.append(
            f"## Evaluation\n\nAt the end of the run, on the held-out part of "
            f"{DATASETS.get(dataset, Dataset(dataset)).title}:\n\n| metric | value |\n"
            f"|---|---|\n{rows}"
        )
    papers = "\n\n".join([*cited(architecture), PROJECT])
    parts.append(f"## Citation\n\n```bibtex\n{papers}\n```")
    return top + "\n\n".join(parts) + "\n"


def _training(folder: Path, summary: Mapping[str, Any]) -> str:
    """What a run's records say about it, in Markdown."""
    told = {
        "dataset": "Dataset",
        "dataset_sha256": "Its sha256",
        "steps": "Updates",
        "seconds": "Seconds",
        "backend": "Backend",
        "precision": "Precision",
        "seed": "Seed",
    }
    rows = [
        f"| {label} | {summary[name]} |"
        for name, label in told.items()
        if name in summary
    ]
    settings = json.dumps(_public(_record(folder, "config.json")), indent=2)
    return "\n".join(
        ["| | |", "|---|---|", *rows, "", f"Settings:\n\n```json\n{settings}\n```"]
    )


def _public(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings without what concerns one machine only, such as its folders."""

    def is_path(value: Any) -> bool:
        absolute = ("/", "~", "\\")
        return isinstance(value, str) and (
            value.startswith(absolute) or PureWindowsPath(value).is_absolute()
        )

    return {
        name: value
        for name, value in settings.items()
        if name not in OF_THE_MACHINE and not is_path(value)
    }


def _record(folder: Path, file: str) -> dict[str, Any]:
    """A JSON file of the run that a preset belongs to; empty if there is none."""
    path = folder.absolute().parent / file
    is_run = folder.absolute().name == "preset" and path.is_file()
    return read_json(path) if is_run else {}


def _parameters(folder: Path) -> int:
    """Counts the numbers in the folder's weights, without reading them."""
    from safetensors import safe_open

    count = 0
    for file in folder.rglob("*.safetensors"):
        with safe_open(file, framework="numpy") as opened:
            for name in opened.keys():  # noqa: SIM118
                count += math.prod(opened.get_slice(name).get_shape())
    return count


if __name__ == "__main__":
    for each in sys.argv[1:]:
        card = Path(each) / CARD
        new = HEAD.sub("", card.read_text("utf-8"))
        card.write_text(head_of(Manifest.read(Path(each).absolute())) + new, "utf-8")
