"""`zoo evaluate`."""

from collections.abc import Callable
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
    from zoo.files.atomic import replacing

    check_count("images", config.images, least=0)
    model = zoo.from_preset(config.name)
    kind = type(model).__name__
    if kind not in MEASURES:
        raise ValueError(
            f"{config.name!r} is a {kind}. What can be measured: {', '.join(MEASURES)}."
        )
    start = time.perf_counter()
    figures = MEASURES[kind](model, config)
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


def language_model(model: Any, config: EvaluateConfig) -> dict[str, Any]:
    """On the text's validation part."""
    from zoo.evaluation import text_metrics

    text = _validation_text(model, config)
    model.compile("sgd")
    found = text_metrics(model, model.tokenizer.encode(text), text)
    return {f"val_{name}": value for name, value in found.items()}


def masked_language_model(model: Any, config: EvaluateConfig) -> dict[str, Any]:
    """On the text's validation part, masked once, and cut into pairs."""
    from zoo.data.pretraining.sentence_pairs import NEGATIVES
    from zoo.evaluation import masked_text_metrics

    text = _validation_text(model, config)
    model.compile("sgd")
    if not 0 <= config.length <= model.config.context_length:
        raise ValueError(
            f"length must be from 0 to {model.config.context_length}, got "
            f"{config.length}"
        )
    found = masked_text_metrics(
        model,
        text,
        negatives=NEGATIVES[config.sentences],
        length=config.length or None,
        seed=config.seed,
    )
    return {f"val_{name}": value for name, value in found.items()}


def vae(model: Any, config: EvaluateConfig) -> dict[str, Any]:
    """On the test images, binarised once."""
    from zoo.data import binarized
    from zoo.evaluation import likelihood_metrics

    data = _images(model, config)
    test = data.test_images
    if config.binarize == "static":
        # All are drawn: an image's pixels do not depend on how many are measured.
        test = binarized(test, seed=config.seed)
    (test,) = _measured(config, test)
    if config.binarize == "none":
        test = test / 255.0
    model.compile("sgd")
    found = model.evaluate(test, batch_size=500, verbose=0, return_dict=True)
    figures = {f"val_{name}": value for name, value in found.items()}
    if config.nll_samples:
        figures |= likelihood_metrics(model, test, config.nll_samples, config.seed)
    return figures | _about(data)


def gan(model: Any, config: EvaluateConfig) -> dict[str, Any]:
    """Samples by a judge's features."""
    from zoo.evaluation import judged_samples

    data = _images(model, config)
    figures = judged_samples(
        lambda count: model.sample(count, seed=config.seed),
        _judge(config),
        data,
        config.images or 10_000,
        config.seed,
    )
    return figures | _about(data)


def image_tokens(model: Any, config: EvaluateConfig) -> dict[str, Any]:
    """Whether samples show what was asked for, by class number."""
    from zoo.evaluation import judged_requests

    if model.config.prompts != "classes":
        raise ValueError(
            f"{config.name!r} takes texts, whose classes are not known here: "
            "recipes.image_tokens_mnist measures it."
        )
    judge = _judge(config)
    names = [str(number) for number in range(judge.config.num_classes)]
    count = max(1, (config.images or 1000) // len(names))

    def drawn(labels):
        return model.sample(
            prompts=labels, seed=config.seed, temperature=config.temperature
        )

    return judged_requests(drawn, judge, names, count)


def cyclegan(model: Any, config: EvaluateConfig) -> dict[str, Any]:
    """Translations of the test pictures, both ways."""
    import numpy as np

    from zoo.data import UnpairedDataset, load
    from zoo.evaluation import judged_translations

    data = load(
        config.dataset, config.data_dir, expect=UnpairedDataset, on_bad=config.on_bad
    )
    a, b = _measured(config, data.test_a, data.test_b)
    a, b = (x / np.float32(255) for x in (a, b))
    return judged_translations(model, a, b, paired=data.paired_test) | _about(data)


def classifier(model: Any, config: EvaluateConfig) -> dict[str, Any]:
    """On the test images."""
    import numpy as np

    data = _images(model, config)
    # Of a model without names, the classes of the data are taken for its own.
    names = list(model.class_names)
    known = set(names or data.class_names)
    if (
        not data.class_names
        or not known.issuperset(data.class_names)
        or (len(known) != model.config.num_classes)
    ):
        raise ValueError(
            f"{config.name!r} tells {names or model.config.num_classes} classes apart; "
            f"{config.dataset!r} ({data.origin}) has {list(data.class_names) or 'none'}"
            ". Pictures get their classes from the folders that they lie in."
        )
    model.compile("sgd")
    images, labels = _measured(config, data.test_images, data.test_labels)
    images = images / np.float32(255)
    if names:
        labels = np.array([names.index(name) for name in data.class_names])[labels]
    found = model.evaluate(images, labels, batch_size=500, verbose=0, return_dict=True)
    return {f"val_{name}": value for name, value in found.items()} | _about(data)


def _validation_text(model: Any, config: EvaluateConfig) -> str:
    from zoo.data import TextDataset, load

    text = load(
        config.dataset, config.data_dir, expect=TextDataset, on_bad=config.on_bad
    )
    if model.tokenizer is None:
        raise ValueError(f"{config.name!r} has no tokenizer, and cannot read text.")
    return text.validation


def _images(model: Any, config: EvaluateConfig):
    """Images, and pictures of any size brought to the model's as recipes do."""
    from zoo.data import ImageDataset, load

    options = {}
    if config.dataset == "images":
        height, width, channels = model.config.image_shape
        options = {"size": height if height == width else None, "channels": channels}
    return load(
        config.dataset,
        config.data_dir,
        expect=ImageDataset,
        on_bad=config.on_bad,
        **options,
    )


def _about(data: Any) -> dict[str, str]:
    """What the images are, whatever name they were asked for by."""
    return {"dataset": data.name, "dataset_sha256": data.sha256}


def _measured(config: EvaluateConfig, *arrays: Any) -> list[Any]:
    """The rows of each that are measured: as many of all, chosen alike."""
    from zoo.data import fixed_subset

    lengths = [*map(len, arrays)]
    count = min(config.images or max(lengths), *lengths)
    if count == max(lengths):
        return list(arrays)
    return [x[fixed_subset(len(x), count)] for x in arrays]


def _judge(config: EvaluateConfig):
    import zoo

    return zoo.ImageClassifier.from_preset(config.judge)


MEASURES: dict[str, Callable[[Any, EvaluateConfig], dict[str, Any]]] = {
    "GPT": language_model,
    "LinearLM": language_model,
    "RecurrentLM": language_model,
    "BertPretrainer": masked_language_model,
    "VAE": vae,
    "DCGAN": gan,
    "ImageTokens": image_tokens,
    "CycleGAN": cyclegan,
    "ImageClassifier": classifier,
}
