"""Train a small classifier of images, to judge what generative models draw.

    python -m recipes.classifier_mnist                       # MNIST, minutes
    python -m recipes.classifier_mnist --dataset digits      # nothing is downloaded
    python -m recipes.classifier_mnist --dataset unpaired --data-dir horse2zebra.zip

Its preset judges: `recipes.image_tokens_mnist --classifier`, `recipes.dcgan_mnist
--judge` and `recipes.cyclegan --judge`.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

import zoo
from zoo.evaluation.images.pictures import loss_curves
from zoo.models.image_classifier import ImageClassifier, ImageClassifierConfig
from zoo.training import WarmupCosine
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, RunConfig


@dataclass(frozen=True)
class Config(RunConfig):
    """A classifier, its images and its training.

    Attributes:
        image_size: pictures of datasets "images" and "unpaired" are cut and scaled
            to this side.
        hidden: channels of the convolutions, each of which halves the picture.
        num_features: of the layer before the last.
        dropout: of the features, in training.
        batch_size: images an update.
        accumulate: micro-batches that a batch is cut into.
        epochs: passes over the training images.
        learning_rate: at its peak.
        final_learning_rate: at the end of the cosine.
        warmup_steps: of a linear warm-up.
        weight_decay: of matrices and kernels, decoupled.
    """

    dataset: str = "mnist"
    out: Path = Path("runs/classifier_mnist")
    image_size: int = 32
    hidden: tuple[int, ...] = (24, 48)
    num_features: int = 128
    dropout: float = 0.3
    batch_size: int = 100
    accumulate: int = 1
    epochs: int = 5
    learning_rate: float = 2e-3
    final_learning_rate: float = 1e-5
    warmup_steps: int = 100
    weight_decay: float = 0.01


VARIANTS = {
    "small": Config(),
    # The checkpoint `classifier.mnist`: few weights, and features to compare by.
    "judge": Config(hidden=(16, 32), num_features=64, epochs=15),
}


def main(config: Config) -> dict:
    """Trains and evaluates; returns the summary."""
    if config.smoke:
        config = replace(config, epochs=2, warmup_steps=0)
        if config.data_dir is None:
            config = replace(config, dataset="digits")
    run = Run(config)
    pictures = config.dataset in ("images", "unpaired")
    options = {"most": max(config.batch_size, 100)} if config.smoke else {}
    if pictures:
        options["size"] = config.image_size
    data = zoo.data.load(
        config.dataset,
        config.data_dir,
        expect=(zoo.data.ImageDataset, zoo.data.UnpairedDataset),
        **options,
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
    test = data.test_images / np.float32(255)
    classifier = ImageClassifier(
        ImageClassifierConfig(
            image_shape=test.shape[1:],
            num_classes=len(data.class_names),
            class_names=tuple(data.class_names),
            hidden=config.hidden,
            num_features=config.num_features,
            dropout=config.dropout,
        )
    )
    steps = config.epochs * batches.steps_per_epoch
    schedule = WarmupCosine(
        config.learning_rate,
        steps,
        warmup_steps=min(config.warmup_steps, steps // 10),
        final=config.final_learning_rate,
    )
    classifier.compile(
        keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay),
        accumulate=config.accumulate,
    )

    def evaluate() -> dict:
        return classifier.evaluate(
            test, data.test_labels, batch_size=500, verbose=0, return_dict=True
        )

    run.fit(
        classifier,
        batches.batches,
        updates=steps,
        evaluate_every=batches.steps_per_epoch,
        evaluate=evaluate,
        batch_tokens=config.batch_size,
        unit="images",
    )
    loss_curves(
        run.out / "loss.png",
        [row["update"] for row in run.rows],
        {"training": run.curve("loss"), "test": run.curve("val_loss")},
        title=f"Classifier on {config.dataset} ({config.variant})",
        unit="nats an image",
    )
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
