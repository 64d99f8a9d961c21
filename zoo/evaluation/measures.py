"""Measures models for `zoo evaluate`, by the protocol that their registration names.

Each protocol takes a model and a request and returns metrics by name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

from zoo.presets.registration import all_registrations, registration_of


class Request(Protocol):
    """What to measure: the fields of `zoo.commands.evaluate.EvaluateConfig`."""

    name: str
    dataset: str
    data_dir: Path | None
    on_bad: Literal["error", "skip"]
    seed: int
    images: int
    nll_samples: int
    binarize: Literal["none", "static"]
    judge: str
    temperature: float
    length: int
    sentences: Literal["next", "order"]


def measure_of(model: Any, name: str) -> Callable[[Any, Any], dict[str, Any]]:
    """The function that measures a model.

    Args:
        model: the model.
        name: the name of its checkpoint, for the error.

    Raises:
        ValueError: this kind of model can't be measured.
    """
    found = registration_of(type(model))
    if found is None or found.measured is None:
        known = [kind for kind, each in all_registrations().items() if each.measured]
        raise ValueError(
            f"zoo evaluate needs one of {', '.join(known)}, but {name!r} is a "
            f"{type(model).__name__}."
        )
    if isinstance(found.measured, str):
        return MEASURES[found.measured]
    return found.measured


def text(model: Any, config: Request) -> dict[str, Any]:
    """Measures a language model on the text's validation split."""
    from zoo.evaluation import text_metrics

    text = _validation_text(model, config)
    model.compile("sgd")
    found = text_metrics(model, model.tokenizer.encode(text), text)
    return {f"val_{name}": value for name, value in found.items()}


def masked_text(model: Any, config: Request) -> dict[str, Any]:
    """Measures BERT on the text's validation split, cut into pairs and masked once."""
    from zoo.data.pretraining.sentence_pairs import NEGATIVES
    from zoo.evaluation import masked_text_metrics

    text = _validation_text(model, config)
    model.compile("sgd")
    if not 0 <= config.length <= model.config.context_length:
        raise ValueError(
            f"length must be from 0 to {model.config.context_length}, got "
            f"{config.length}."
        )
    found = masked_text_metrics(
        model,
        text,
        negatives=NEGATIVES[config.sentences],
        length=config.length or None,
        seed=config.seed,
    )
    return {f"val_{name}": value for name, value in found.items()}


def likelihood(model: Any, config: Request) -> dict[str, Any]:
    """Measures a VAE on the test images, binarised once if requested."""
    from zoo.data import binarized
    from zoo.evaluation import likelihood_metrics

    data = _images(model, config)
    test = data.test_images
    if config.binarize == "static":
        # Binarises all images, so that pixels do not depend on how many are measured.
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


def dequantized(model: Any, config: Request) -> dict[str, Any]:
    """Measures a flow on the test images' gray levels, with eight draws of noise."""
    import math

    import numpy as np

    data = _images(model, config)
    given = [data.test_images]
    if model.config.num_classes:
        given.append(data.test_labels)
    test, *labels = _measured(config, *given)
    nats = -model.log_likelihood(
        test / np.float32(255), *labels, num_samples=8, seed=config.seed
    )
    bits = nats / (model.config.num_values * math.log(2))
    return {
        "bits_per_dim": float(bits.mean()),
        "bits_per_dim_error": float(bits.std() / math.sqrt(len(bits))),
    } | _about(data)


def samples(model: Any, config: Request) -> dict[str, Any]:
    """Measures samples by a judge's features."""
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


def requests(model: Any, config: Request) -> dict[str, Any]:
    """Measures how often samples show the requested class."""
    from zoo.evaluation import judged_requests

    if model.config.prompts != "classes":
        raise ValueError(
            f"zoo evaluate needs a model prompted by classes, but {config.name!r} is "
            "prompted by texts. recipes.image_tokens_mnist measures it."
        )
    judge = _judge(config)
    names = [str(number) for number in range(judge.config.num_classes)]
    count = max(1, (config.images or 1000) // len(names))

    def drawn(labels: Any) -> Any:
        return model.sample(
            prompts=labels, seed=config.seed, temperature=config.temperature
        )

    return judged_requests(drawn, judge, names, count)


def translations(model: Any, config: Request) -> dict[str, Any]:
    """Measures translations of the test pictures in both directions."""
    import numpy as np

    from zoo.data import UnpairedDataset, load
    from zoo.evaluation import judged_translations

    data = load(
        config.dataset, config.data_dir, expect=UnpairedDataset, on_bad=config.on_bad
    )
    a, b = _measured(config, data.test_a, data.test_b)
    a, b = (x / np.float32(255) for x in (a, b))
    return judged_translations(model, a, b, paired=data.paired_test) | _about(data)


def classes(model: Any, config: Request) -> dict[str, Any]:
    """Measures a classifier on the test images."""
    import numpy as np

    data = _images(model, config)
    # A model without class names is assumed to have the data's classes.
    names = list(model.class_names)
    known = set(names or data.class_names)
    if (
        not data.class_names
        or not known.issuperset(data.class_names)
        or (len(known) != model.config.num_classes)
    ):
        raise ValueError(
            f"The data must have the model's classes: {config.name!r} has "
            f"{names or model.config.num_classes}, but {config.dataset!r} "
            f"({data.origin}) has {list(data.class_names) or 'none'}. Pictures get "
            "their classes from the names of their folders."
        )
    model.compile("sgd")
    images, labels = _measured(config, data.test_images, data.test_labels)
    images = images / np.float32(255)
    if names:
        labels = np.array([names.index(name) for name in data.class_names])[labels]
    found = model.evaluate(images, labels, batch_size=500, verbose=0, return_dict=True)
    return {f"val_{name}": value for name, value in found.items()} | _about(data)


def _validation_text(model: Any, config: Request) -> str:
    from zoo.data import TextDataset, load

    text = load(
        config.dataset, config.data_dir, expect=TextDataset, on_bad=config.on_bad
    )
    if model.tokenizer is None:
        raise ValueError(
            f"zoo evaluate needs a model with a tokenizer, but {config.name!r} has "
            "none. Set model.tokenizer and save the preset again."
        )
    return text.validation


def _images(model: Any, config: Request) -> Any:
    """The images; pictures of other sizes are resized to the model's, as in recipes."""
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
    """Identifies the images, whatever name they were loaded by."""
    return {"dataset": data.name, "dataset_sha256": data.sha256}


def _measured(config: Request, *arrays: Any) -> list[Any]:
    """The rows to measure: the same number of each array, chosen the same way."""
    from zoo.data import fixed_subset

    lengths = [*map(len, arrays)]
    count = min(config.images or max(lengths), *lengths)
    if count == max(lengths):
        return list(arrays)
    return [x[fixed_subset(len(x), count)] for x in arrays]


def _judge(config: Request) -> Any:
    from zoo.models.image_classifier import ImageClassifier

    return ImageClassifier.from_preset(config.judge)


MEASURES: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "text": text,
    "masked text": masked_text,
    "likelihood": likelihood,
    "dequantized": dequantized,
    "samples": samples,
    "requests": requests,
    "translations": translations,
    "classes": classes,
}
