"""Judges generated or translated pictures by a trained classifier."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zoo.data.images.loading import ImageDataset
from zoo.evaluation.images.features import ClassifierFeatures
from zoo.evaluation.images.fidelity import psnr, ssim
from zoo.evaluation.images.modes import mode_coverage
from zoo.evaluation.images.samples import sample_metrics


def judged_samples(
    sample: Callable[[int], np.ndarray],
    judge: Any,
    data: ImageDataset,
    most: int,
    seed: int = 0,
) -> dict[str, Any]:
    """Compares samples with training images by a classifier's features.

    Test images take the samples' place for the floor, so all sets have the same size.

    Args:
        sample: draws a given number of images (N, H, W, C) in [0, 1].
        judge: a `zoo.ImageClassifier` of the data's classes.
        data: real images.
        most: the number of images of each kind, or fewer if the data have fewer.
        seed: the seed for choosing real images.

    Returns:
        The metrics of `sample_metrics`, `modes_covered` and `modes_kl`, with the prefix
        `judge_`.
    """
    parts = (data.train_images, data.test_images)
    count = min(most, *map(len, parts))
    rng = np.random.default_rng(seed)
    train, test = (
        rng.choice(part, count, replace=False) / np.float32(255) for part in parts
    )
    samples = sample(count)
    metrics = sample_metrics(
        train,
        samples,
        ClassifierFeatures(judge),
        test=test,
        subset_size=min(1000, count // 2),
        seed=seed,
    )
    classes, real = (judge.predict_classes(images) for images in (samples, train))
    modes = mode_coverage(classes, judge.config.num_classes, real)
    metrics |= {"modes_covered": modes.covered, "modes_kl": modes.kl}
    # The prefix, since a GAN's own "precision" means something else.
    return {f"judge_{name}": value for name, value in metrics.items()}


def judged_requests(
    draw: Callable[[np.ndarray], np.ndarray],
    judge: Any,
    class_names: Sequence[str],
    samples_per_class: int,
) -> dict[str, Any]:
    """The share of samples that a classifier assigns to the requested class.

    Args:
        draw: draws images for an array of class numbers.
        judge: a `zoo.ImageClassifier` of these classes.
        class_names: the classes' names, by number.
        samples_per_class: the number of images to draw per class.

    Returns:
        `class_accuracy`, `worst_class` and its `worst_class_accuracy`, and the number
        of `samples`.
    """
    labels = np.repeat(np.arange(len(class_names)), samples_per_class)
    right = judge.predict_classes(draw(labels)) == labels
    by_class = right.reshape(len(class_names), -1).mean(axis=1)
    return {
        "class_accuracy": float(right.mean()),
        "worst_class": class_names[int(by_class.argmin())],
        "worst_class_accuracy": float(by_class.min()),
        "samples": len(labels),
    }


def judged_translations(
    cyclegan: Any, a: np.ndarray, b: np.ndarray, *, paired: bool, judge: Any = None
) -> dict[str, float]:
    """Measures translations in both directions, by references, a judge, or both.

    Args:
        cyclegan: a `zoo.CycleGAN`.
        a: pictures of A in [0, 1], (N, H, W, C).
        b: pictures of B in [0, 1], (N, H, W, C).
        paired: whether `b[i]` is the reference for `a[i]`. Adds `psnr_` and `ssim_`,
            and `identity_psnr_` of the untranslated pictures.
        judge: a `zoo.ImageClassifier` of the two domains. Adds `passes_`, the share of
            translations that it assigns to the target domain, and
            `untranslated_passes_`, the same for untranslated pictures.
    """
    metrics = {}
    for way, given, wanted, target in (("a_to_b", a, b, 1), ("b_to_a", b, a, 0)):
        found = cyclegan.translate(given, way)
        if paired:
            metrics[f"psnr_{way}"] = psnr(found, wanted).mean()
            metrics[f"ssim_{way}"] = ssim(found, wanted).mean()
            metrics[f"identity_psnr_{way}"] = psnr(given, wanted).mean()
        if judge is not None:
            for name, pictures in (("", found), ("untranslated_", given)):
                classes = judge.predict_classes(pictures)
                metrics[f"{name}passes_{way}"] = np.mean(classes == target)
    return {name: float(value) for name, value in metrics.items()}
