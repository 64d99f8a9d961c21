"""What a trained classifier says of pictures that a model drew or translated."""

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
    """How samples differ from training images, by a classifier's features.

    Test images in the samples' place give the floor; so there are as many of each.

    Args:
        sample: gives so many images (N, H, W, C) in [0, 1].
        judge: a `zoo.ImageClassifier` of the data's classes.
        data: real images.
        most: images of each kind, if the data have as many.
        seed: of which real images are taken.

    Returns:
        Those of `sample_metrics`, and of classes that occur, as `judge_...`.
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
    # A GAN's "precision" is another one.
    return {f"judge_{name}": value for name, value in metrics.items()}


def judged_requests(
    draw: Callable[[np.ndarray], np.ndarray],
    judge: Any,
    class_names: Sequence[str],
    samples_per_class: int,
) -> dict[str, Any]:
    """The share of samples that a classifier gives the class that was asked for.

    Args:
        draw: gives the images that an array of class numbers asks for.
        judge: a `zoo.ImageClassifier` of these classes.
        class_names: by number.
        samples_per_class: how many to ask for.
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
    """How good translations are, both ways, by what there is to judge them.

    Args:
        cyclegan: a `zoo.CycleGAN`.
        a: pictures of A in [0, 1], (N, H, W, C).
        b: pictures of B, likewise.
        paired: whether `b[i]` is what `a[i]` should become: gives `psnr_`, `ssim_` and
            `identity_psnr_`, of pictures left as they are.
        judge: a `zoo.ImageClassifier` of the two domains: gives `passes_`, the share
            that it takes for the other domain, and `untranslated_passes_`, of pictures
            left as they are.
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
