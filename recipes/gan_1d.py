"""Watch a GAN learn one-dimensional data: densities, D(x) and gradients.

    zoo train gan_1d                            # two bumps; under a minute
    zoo train gan_1d --dataset gaussian
    zoo train gan_1d --variant minimax          # the saturating loss

Goodfellow et al. 2014, figure 1, with networks instead of schematic curves. Writes the
densities of data and samples with D(x) at each evaluation, and the optimal
D(x) = p_data / (p_data + p_model) (proposition 1); the generator's gradient as a
function of D(G(z)) for both losses of the paper; and the Wasserstein distance between
samples and data.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.stats import wasserstein_distance

from zoo.data.mixtures import MIXTURES
from zoo.engine.current import engine
from zoo.evaluation.adversarial import draw_densities, draw_gradients
from zoo.files.atomic import replacing
from zoo.layers import Dense
from zoo.models.gan.gan import GAN, GANConfig
from zoo.training.adversarial.losses import LOSSES
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, RunConfig

from ._shared import draw_curves, fit_steps, replace, smoke

# Where densities and D(x) are drawn.
LINE = np.linspace(-5, 5, 201, dtype="float32")


@dataclass(frozen=True)
class PointGANConfig(GANConfig):
    """Configuration of the game and its networks; see also `GANConfig`.

    Attributes:
        hidden: widths of the hidden layers of each network.
    """

    hidden: tuple[int, ...] = (64, 64)


@keras.saving.register_keras_serializable("recipes")
class PointGAN(GAN):
    """A fully connected GAN of numbers (B, 1)."""

    Config = PointGANConfig

    def __init__(self, config: PointGANConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.generator = self._network(config.latent_dim, "generator")
        self.discriminator = self._network(1, "discriminator")
        self.built = True

    def _network(self, inputs: int, name: str) -> keras.Sequential:
        dtype = {"dtype": self.dtype_policy}
        hidden = [
            Dense(width, activation="relu", name=f"hidden_{index}", **dtype)
            for index, width in enumerate(self.config.hidden)
        ]
        output = Dense(1, name="output", **dtype)
        stack = [keras.Input((inputs,)), *hidden, output]
        return keras.Sequential(stack, name=name)


@dataclass(frozen=True)
class Config(RunConfig):
    """A one-dimensional game and its training.

    Attributes:
        loss: adversarial loss.
        batch_size: numbers per update.
        steps: number of updates.
        learning_rate: learning rate of both networks.
        beta_1: beta_1 of Adam.
        eval_every: updates between evaluations and checkpoints.
    """

    dataset: str = "mixture"
    out: Path = Path("runs/gan_1d")
    model: PointGANConfig = flags(
        PointGANConfig(latent_dim=4),
        *("loss", "latent_dim", "hidden", "gradient_penalty", "discriminator_steps"),
    )
    batch_size: int = 256
    steps: int = 4000
    learning_rate: float = 1e-3
    beta_1: float = 0.5
    eval_every: int = 500


VARIANTS = {
    "non_saturating": Config(),
    "minimax": replace(Config(), loss="minimax"),
    # In one dimension, slopes of norm 1 are -1 and 1: a penalty of 10 would keep D's
    # slope from crossing 0.
    "wgan_gp": replace(
        Config(),
        loss="wgan_gp",
        gradient_penalty=0.1,
        discriminator_steps=5,
        steps=1000,
        beta_1=0.0,
        eval_every=125,
    ),
}


def main(config: Config) -> dict:
    """Trains, evaluates and draws; returns the summary."""
    config = smoke(config, steps=2, eval_every=1, batch_size=16)
    if config.dataset not in MIXTURES:
        raise ValueError(
            f"dataset must be one of {[*MIXTURES]}, got {config.dataset!r}."
        )
    data = MIXTURES[config.dataset]
    run = Run(config)
    gan = PointGAN(config.model)
    adam = {"learning_rate": config.learning_rate, "beta_1": config.beta_1}
    gan.compile({phase.name: keras.optimizers.Adam(**adam) for phase in gan.phases()})
    test = data.draw(5000, np.random.default_rng([config.seed, 1]))

    def batches(start: int) -> Iterator[tuple[np.ndarray]]:
        for update in itertools.count(start):
            rng = np.random.default_rng([config.seed, 0, update])
            yield (data.draw(config.batch_size, rng),)

    def evaluate() -> dict[str, float]:
        samples = gan.sample(len(test), seed=config.seed)[:, 0]
        update = int(engine().numpy(gan.optimizer.iterations))
        with replacing(snapshot(run, update)) as file:
            np.savez(file, samples=samples, judged=gan.judge(LINE[:, None]))
        return {"wasserstein": wasserstein_distance(samples, test[:, 0])}

    def samples() -> dict[str, Path]:
        draw(run, config)
        return {"densities": run.out / "densities.png"}

    fit_steps(
        *(run, config, gan, batches, evaluate, config.batch_size, "images"),
        monitor="val_wasserstein",
        samples=samples,
    )
    draw(run, config)
    gan.save_to_preset(run.out / "preset")
    summary = run.finish(dataset=config.dataset, loss=config.model.loss)
    print(f"\nWasserstein distance {summary['val_wasserstein']:.3f}; see {run.out}")
    return summary


def snapshot(run: Run, update: int) -> Path:
    """The file of samples and D(x) after an update, which a resumed run plots too."""
    return run.out / "snapshots" / f"{update:06d}.npz"


def draw(run: Run, config: Config) -> None:
    """Draws densities, the generator's gradients and the losses."""
    snapshots = {}
    for row in run.rows:
        with np.load(snapshot(run, row["update"])) as saved:
            snapshots[row["update"]] = (saved["samples"], saved["judged"])
    draw_densities(
        run.out / "densities.png",
        LINE,
        MIXTURES[config.dataset].density(LINE),
        snapshots,
        probabilistic=LOSSES[config.model.loss].probabilistic,
    )
    draw_gradients(run.out / "gradients.png")
    losses = {name: f"{name}/loss" for name in ("discriminator", "generator")}
    draw_curves(run, losses, "GAN", unit="loss")


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
