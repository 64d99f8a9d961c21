"""Train a deep autoencoder on small images, beside PCA with as many components.

    python -m recipes.autoencoder_mnist                         # 784-1000-500-250-30
    python -m recipes.autoencoder_mnist --variant convolutional
    python -m recipes.autoencoder_mnist --dataset digits        # nothing is downloaded

Hinton & Salakhutdinov 2006 report a squared error an image of 3.00 on MNIST's test set,
beside 13.87 of PCA. Leaves both errors, reconstructions by both, and the loss's curve.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import keras
import numpy as np
from sklearn.decomposition import PCA

import zoo
from zoo.evaluation.images.pictures import image_grid, loss_curves, scatter
from zoo.training import WarmupCosine
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, RunConfig


@dataclass(frozen=True)
class Config(RunConfig):
    """An autoencoder, its images and its training.

    Attributes:
        image_size: pictures of dataset "images" are cut and scaled to this side.
        body: fully connected, or convolutional.
        hidden: the encoder's layers; the decoder mirrors them.
        activation: after each.
        code_dim: dimensions of the code, and components of PCA.
        observation: squared error ("gaussian") or cross-entropy ("bernoulli").
        batch_size: images an update.
        accumulate: micro-batches that a batch is cut into.
        epochs: passes over the training images.
        learning_rate: at its peak.
        final_learning_rate: at the end of the cosine.
        warmup_steps: of a linear warm-up.
        eval_every: epochs between evaluations and checkpoints.
    """

    dataset: str = "mnist"
    out: Path = Path("runs/autoencoder_mnist")
    image_size: int = 32
    body: Literal["mlp", "convolutional"] = "mlp"
    hidden: tuple[int, ...] = (1000, 500, 250)
    activation: str = "gelu"
    code_dim: int = 30
    observation: Literal["gaussian", "bernoulli"] = "gaussian"
    batch_size: int = 100
    accumulate: int = 1
    epochs: int = 30
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-5
    warmup_steps: int = 100
    eval_every: int = 5


VARIANTS = {
    "deep": Config(),
    "convolutional": Config(body="convolutional", hidden=(32, 64), epochs=10),
}


def main(config: Config) -> dict:
    """Trains, evaluates, draws; returns the summary."""
    if config.smoke:
        config = replace(config, epochs=2, eval_every=1, warmup_steps=0, code_dim=4)
        if config.data_dir is None:
            config = replace(config, dataset="digits")
    run = Run(config)
    options = {"most": max(config.batch_size, 100)} if config.smoke else {}
    if config.dataset == "images":
        options["size"] = config.image_size
    data = zoo.data.load(
        config.dataset, config.data_dir, expect=zoo.data.ImageDataset, **options
    )
    run.start({"dataset": data.sha256})
    train = data.train_images[: config.batch_size if config.smoke else None]
    test = data.test_images / np.float32(255)
    batches = zoo.data.ImageBatches(train, config.batch_size, seed=config.seed)
    autoencoder = zoo.Autoencoder(
        zoo.AutoencoderConfig(
            image_shape=train.shape[1:],
            code_dim=config.code_dim,
            body=config.body,
            hidden=config.hidden,
            activation=config.activation,
            observation=config.observation,
        )
    )
    steps = config.epochs * batches.steps_per_epoch
    schedule = WarmupCosine(
        config.learning_rate,
        steps,
        warmup_steps=config.warmup_steps,
        final=config.final_learning_rate,
    )
    autoencoder.compile(keras.optimizers.Adam(schedule), accumulate=config.accumulate)

    def evaluate():
        return autoencoder.evaluate(test, batch_size=500, verbose=0, return_dict=True)

    run.fit(
        autoencoder,
        batches.batches,
        updates=steps,
        evaluate_every=config.eval_every * batches.steps_per_epoch,
        evaluate=evaluate,
        batch_tokens=config.batch_size,
        unit="images",
    )

    by_pca, pca_error = principal_components(train, test, config.code_dim)
    draw(run, autoencoder, data, test, by_pca)
    autoencoder.save_to_preset(run.out / "preset")
    summary = run.finish(
        pca_squared_error=pca_error,
        error_ratio=run.rows[-1]["val_squared_error"] / pca_error,
        epochs=config.epochs,
        parameters=autoencoder.count_params(),
        dataset=data.name,
        dataset_sha256=data.sha256,
    )
    print(
        f"\nsquared error an image: {summary['val_squared_error']:.3f}, "
        f"PCA's {pca_error:.3f}; see {run.out}"
    )
    return summary


def principal_components(train, test, code_dim: int) -> tuple[np.ndarray, float]:
    """Test images as PCA reconstructs them, and their mean squared error an image."""
    pca = PCA(code_dim, svd_solver="covariance_eigh")
    pca.fit(train.reshape(len(train), -1) / np.float32(255))
    flat = test.reshape(len(test), -1)
    found = pca.inverse_transform(pca.transform(flat))
    error = float(np.square(found - flat).sum(axis=1).mean())
    return found.reshape(test.shape), error


def draw(run: Run, autoencoder: zoo.Autoencoder, data, test, by_pca) -> None:
    """The pictures."""
    rows = zoo.data.fixed_subset(len(test), 5000)
    test, by_pca = test[rows], by_pca[rows]
    image_grid(
        run.out / "reconstructions.png",
        np.concatenate([test[:10], autoencoder.reconstruct(test[:10]), by_pca[:10]]),
        columns=10,
        title=f"Through {autoencoder.config.code_dim} numbers",
        row_names=("image", "decoded", "PCA"),
    )
    if data.test_labels is not None:
        scatter(
            run.out / "codes.png",
            PCA(2).fit_transform(autoencoder.encode(test)),
            data.test_labels[rows],
            data.class_names,
            title="Codes of test images",
            axis_names=("first principal component", "second"),
        )
    loss_curves(
        run.out / "loss.png",
        [row["update"] for row in run.rows],
        {
            "training": run.curve("squared_error"),
            "test": run.curve("val_squared_error"),
        },
        title=f"Autoencoder on {run.config.dataset} ({run.config.variant})",
        unit="squared error an image",
    )


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
