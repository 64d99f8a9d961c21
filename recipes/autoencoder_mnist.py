"""Train a deep autoencoder on small images, and compare it with PCA of the same size.

    zoo train autoencoder_mnist                         # 784-1000-500-250-30
    zoo train autoencoder_mnist --variant convolutional
    zoo train autoencoder_mnist --dataset digits        # nothing is downloaded

Hinton & Salakhutdinov 2006 report a squared error per image of 3.00 on MNIST's test
set, and 13.87 for PCA. Writes both errors, reconstructions by both, and the loss curve.
"""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

import zoo
from zoo.evaluation.images.codes import draw_codes, principal_components
from zoo.evaluation.images.pictures import image_grid
from zoo.layers.convolution.coders import BODIES
from zoo.training import WarmupCosine
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run

from ._shared import (
    CosineConfig,
    ImagesConfig,
    draw_curves,
    evaluation,
    fit_epochs,
    load_images,
    replace,
    scaled,
    smoke_images,
)


@dataclass(frozen=True)
class Config(ImagesConfig, CosineConfig):
    """An autoencoder, its images and its training.

    Attributes:
        code_dim: dimensions of the code, and number of PCA components.
    """

    out: Path = Path("runs/autoencoder_mnist")
    model: zoo.AutoencoderConfig = flags(
        # A placeholder: the shape comes from the data.
        zoo.AutoencoderConfig((1024, 1024, 1), activation="gelu"),
        *("hidden", "activation", "code_dim"),
        body=BODIES,
        observation=("gaussian", "bernoulli"),
    )
    epochs: int = 30
    eval_every: int = 5


VARIANTS = {
    "deep": Config(),
    "convolutional": replace(
        Config(), body="convolutional", hidden=(32, 64), epochs=10
    ),
}


def main(config: Config) -> dict:
    """Trains, evaluates and draws; returns the summary."""
    config = smoke_images(config, epochs=2, eval_every=1, warmup_steps=0, code_dim=4)
    run = Run(config)
    data = load_images(config)
    run.start({"dataset": data.sha256})
    train = data.train_images[: config.batch_size if config.smoke else None]
    test = scaled(data.test_images)
    batches = zoo.data.ImageBatches(train, config.batch_size, seed=config.seed)
    autoencoder = zoo.Autoencoder(replace(config.model, image_shape=train.shape[1:]))
    steps = config.epochs * batches.steps_per_epoch
    schedule = WarmupCosine(
        config.learning_rate,
        steps,
        warmup_steps=config.warmup_steps,
        final=config.final_learning_rate,
    )
    autoencoder.compile(keras.optimizers.Adam(schedule), accumulate=config.accumulate)

    tested = evaluation(autoencoder, test, batch_size=500)

    def samples() -> dict[str, np.ndarray]:
        shown = test[:9]
        return {"images": shown, "reconstructions": autoencoder.reconstruct(shown)}

    fit_epochs(run, config, autoencoder, batches, tested, samples=samples)

    by_pca, pca_error = principal_components(train, test, config.model.code_dim)
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
        f"\nsquared error per image: {summary['val_squared_error']:.3f}, "
        f"PCA {pca_error:.3f}; see {run.out}"
    )
    return summary


def draw(run: Run, autoencoder: zoo.Autoencoder, data, test, by_pca) -> None:
    """Draws reconstructions, codes and the loss curve."""
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
        codes = autoencoder.encode(test)
        draw_codes(
            run.out / "codes.png", codes, data.test_labels[rows], data.class_names
        )
    curves = {"training": "squared_error", "test": "val_squared_error"}
    draw_curves(run, curves, "Autoencoder", unit="squared error per image")


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
