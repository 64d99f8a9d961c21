"""`zoo evaluate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zoo.commands.arguments import Name
from zoo.store.names import PresetName


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure a checkpoint on data, as its recipe does.

        zoo evaluate gpt.shakespeare_char --dataset tinyshakespeare --out runs/eval

    Texts give val_loss, perplexity and bits a byte, or losses and accuracies of BERT's
    masked tokens and sentence pairs; VAEs val_loss (the ELBO) and nll; DCGANs FID and
    more on a judge's features; CycleGANs PSNR and SSIM; models of image tokens the
    share of samples that show what was asked for; classifiers accuracy.

    Attributes:
        name: a checkpoint that `zoo list` names, or a preset's folder.
        dataset: what to measure on, by name.
        data_dir: where a local dataset lies.
        on_bad: of lines of text that can't be used: stop at the first, or skip them.
        out: `summary.json` is written into this folder.
        seed: of samples and noise.
        images: at most so many test images, the same in every run, or samples; 0 for
            all, or 10,000.
        nll_samples: of a VAE's importance-weighted bound; 0 leaves it out.
        binarize: a VAE's pixels, as "none" or as draws, once.
        judge: a classifier of the data's classes, for what draws them.
        temperature: of a model that draws codes one by one.
        length: tokens of a sequence of masked text; 0 for the most that the BERT reads.
        sentences: what a BERT learned of pairs: which is next, or in which order they
            stand (ALBERT; `bert_pretrain --variant order`).
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


def run(config: EvaluateConfig) -> dict[str, Any]:
    """Writes the figures, prints and returns them."""
    import json
    import time

    import keras

    import zoo
    from zoo.configs.checks import check_count
    from zoo.evaluation.measures import measure_of
    from zoo.files.atomic import replacing

    check_count("images", config.images, least=0)
    model = zoo.from_preset(config.name)
    measure = measure_of(model, config.name)
    start = time.perf_counter()
    figures = measure(model, config)
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
    for name, value in summary.items():
        print(
            f"{name}: {value:.6g}" if isinstance(value, float) else f"{name}: {value}"
        )
    return summary
