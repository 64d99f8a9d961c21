"""`zoo evaluate`."""

import contextlib
import dataclasses
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zoo.commands.shared.arguments import (
    STANDARD,
    Json,
    Name,
    between,
    whole,
    writable_folder,
)
from zoo.store.names import PresetName


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure a checkpoint on a dataset, in the same way as its recipe.

        zoo evaluate gpt.shakespeare_char --dataset tinyshakespeare --out runs/eval

    Language models: val_loss, perplexity and bits per byte. BERT: losses and accuracies
    of masked tokens and sentence pairs. VAEs: val_loss (the ELBO) and nll. DCGANs: FID
    and other figures on a judge's features. CycleGANs: PSNR and SSIM. Image tokens: the
    share of samples that show the requested class. Classifiers: accuracy.

    Attributes:
        name: a checkpoint from `zoo list`, or a preset's folder.
        dataset: name of the dataset.
        data_dir: folder of a local dataset. With the dataset text, - reads standard
            input; as of a file, its last tenth is measured.
        on_bad: what to do with unusable lines of text: stop at the first, or skip them.
        out: folder for `summary.json`.
        seed: seed of samples and noise.
        images: maximum number of test images, the same ones in every run, or of
            samples; 0 for all images, or 10,000 samples.
        nll_samples: samples of a VAE's importance-weighted bound; 0 skips it.
        binarize: how to binarise a VAE's pixels: "none", or "static" for one draw.
        judge: a classifier of the dataset's classes, to judge samples by.
        temperature: sampling temperature of image tokens.
        length: tokens per sequence of masked text; 0 for the most that BERT reads.
        sentences: the task on sentence pairs that BERT learned: which sentence is next,
            or their order (ALBERT; `bert_pretrain --variant order`).
    """

    name: Name
    dataset: str
    data_dir: Path | None = None
    on_bad: Literal["error", "skip"] = "error"
    out: Path = Path("runs/evaluate")
    seed: int = 0
    images: int = 0
    nll_samples: int = 5000
    binarize: Literal["none", "static"] = "static"
    judge: PresetName = "classifier.mnist"
    temperature: float = 0.8
    length: int = 0
    sentences: Literal["next", "order"] = "next"
    json: Json = False


def check(config: EvaluateConfig) -> None:
    """Checks names, numbers and folders, before a backend starts."""
    from zoo.data.datasets import check_name

    if _is_ours(config.name):
        check_name(config.dataset)
    for name in ("seed", "images", "nll_samples", "length"):
        whole(name, getattr(config, name), 0)
    between("temperature", config.temperature, 0, math.inf)
    writable_folder(config.out)
    if config.data_dir is None:
        return
    if str(config.data_dir) == STANDARD:
        if config.dataset != "text":
            raise ValueError(
                "--data-dir - reads a text from standard input, so it needs --dataset "
                f"text, got {config.dataset!r}."
            )
    elif not config.data_dir.expanduser().exists():
        raise FileNotFoundError(f"There is no file or folder {config.data_dir}.")


def _is_ours(name: str) -> bool:
    """Whether zoo measures a preset; other packages' models may have other datasets."""
    from zoo import catalog
    from zoo.store.names import look_up, saved_settings

    folder = look_up(name).folder
    model = None if folder is None else saved_settings(folder).get("architecture")
    if model is None:  # also other libraries' folders
        return True
    entry = catalog.MODELS.get(model)
    return entry is not None and entry.module.startswith("zoo.")


def run(config: EvaluateConfig) -> dict[str, Any]:
    """Measures, writes the figures, prints and returns them."""
    import json
    import time

    import keras

    import zoo
    from zoo.commands.shared.printed import show_json
    from zoo.evaluation.measures import measure_of
    from zoo.files.atomic import replacing
    from zoo.program import waiting

    with waiting(f"loading {config.name}"):
        model = zoo.from_preset(config.name)
    measure = measure_of(model, config.name)
    start = time.perf_counter()
    with _input_in_a_file(config) as given, waiting(f"measuring on {config.dataset}"):
        figures = measure(model, given)
    summary = {
        "dataset": config.dataset,
        **figures,
        "checkpoint": config.name,
        "seed": config.seed,
        "backend": keras.config.backend(),
        "seconds": round(time.perf_counter() - start, 2),
    }
    with replacing(config.out / "summary.json") as file:
        file.write((json.dumps(summary, indent=2) + "\n").encode())
    if config.json:
        show_json(summary)
        return summary
    for name, value in summary.items():
        print(
            f"{name}: {value:.6g}" if isinstance(value, float) else f"{name}: {value}"
        )
    return summary


@contextlib.contextmanager
def _input_in_a_file(config: EvaluateConfig) -> Iterator[EvaluateConfig]:
    """Yields the configuration, with standard input, if it is read, in a file."""
    if str(config.data_dir) != STANDARD:
        yield config
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "standard_input.txt"
        file.write_bytes(sys.stdin.buffer.read())
        yield dataclasses.replace(config, data_dir=file)
