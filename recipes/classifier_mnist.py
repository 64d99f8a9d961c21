"""Train a small image classifier that judges the samples of generative models.

    zoo train classifier_mnist                       # MNIST, minutes
    zoo train classifier_mnist --dataset digits      # nothing is downloaded
    zoo train classifier_mnist --dataset unpaired --data-dir horse2zebra.zip

Pass its preset to `recipes.image_tokens_mnist --classifier`, `recipes.dcgan_mnist
--judge` or `recipes.cyclegan --judge`.
"""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

import zoo
from zoo.evaluation.images.pictures import image_grid
from zoo.models.image_classifier import ImageClassifier, ImageClassifierConfig
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run

from ._shared import (
    CosineConfig,
    EpochsConfig,
    cosine,
    draw_curves,
    evaluation,
    fit_epochs,
    load_images,
    replace,
    scaled,
    smoke_images,
)


@dataclass(frozen=True)
class Config(EpochsConfig, CosineConfig):
    """A classifier, its images and its training.

    Attributes:
        image_size: side length that datasets "images" and "unpaired" are cropped and
            scaled to.
        weight_decay: decoupled weight decay of matrices and kernels.
    """

    dataset: str = "mnist"
    out: Path = Path("runs/classifier_mnist")
    image_size: int = 32
    model: ImageClassifierConfig = flags(
        # A placeholder: the shape comes from the data.
        ImageClassifierConfig((1024, 1024, 1)),
        *("hidden", "num_features", "dropout"),
    )
    epochs: int = 5
    learning_rate: float = 2e-3
    weight_decay: float = 0.01


VARIANTS = {
    "small": Config(),
    # The checkpoint `classifier.mnist`: small, with features for comparing images.
    "judge": replace(Config(), hidden=(16, 32), num_features=64, epochs=15),
}


def main(config: Config) -> dict:
    """Trains and evaluates; returns the summary."""
    config = smoke_images(config, epochs=2, warmup_steps=0)
    run = Run(config)
    data = load_images(
        config,
        (zoo.data.ImageDataset, zoo.data.UnpairedDataset),
        dict.fromkeys(("images", "unpaired"), config.image_size),
        most=max(config.batch_size, 100),
    )
    if isinstance(data, zoo.data.UnpairedDataset):
        data = data.labelled()
    if not data.class_names:
        raise ValueError(f"The images of {config.dataset!r} have no classes.")
    run.start({"dataset": data.sha256})
    kept = config.batch_size if config.smoke else None
    batches = zoo.data.ImageBatches(
        data.train_images[:kept],
        config.batch_size,
        labels=data.train_labels[:kept],
        seed=config.seed,
    )
    test = scaled(data.test_images)
    classifier = ImageClassifier(
        replace(
            config.model,
            image_shape=test.shape[1:],
            num_classes=len(data.class_names),
            class_names=tuple(data.class_names),
        )
    )
    schedule = cosine(config, config.epochs * batches.steps_per_epoch)
    classifier.compile(
        keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay),
        accumulate=config.accumulate,
    )
    tested = evaluation(classifier, test, data.test_labels, batch_size=500)
    shown = np.linspace(0, len(test) - 1, 16).astype(int)

    def samples() -> dict[str, Path]:
        """Some test images, each with its class by the model and the right one."""
        right = [data.class_names[label] for label in data.test_labels[shown]]
        said = [best[0][0] for best in classifier.classify(test[shown])]
        captions = [
            name if name == label else f"{name}, not {label}"
            for name, label in zip(said, right, strict=True)
        ]
        image_grid(
            run.out / "predictions.png",
            test[shown],
            columns=4,
            title="Classes of test images",
            captions=captions,
        )
        return {"predictions": run.out / "predictions.png"}

    judged_by = {"monitor": "val_accuracy", "mode": "max"}
    fit_epochs(run, config, classifier, batches, tested, samples=samples, **judged_by)
    curves = {"training": "loss", "test": "val_loss"}
    draw_curves(run, curves, "Classifier", unit="nats per image")
    classifier.save_to_preset(run.out / "preset")
    summary = run.finish(
        epochs=config.epochs,
        parameters=classifier.count_params(),
        dataset=data.name,
        dataset_sha256=data.sha256,
    )
    print(f"\ntest accuracy {summary['val_accuracy']:.4f}; see {run.out}")
    return summary


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
