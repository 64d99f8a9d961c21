"""Watch a GAN learn one-dimensional data: densities, D(x) and gradients.

    python -m recipes.gan_1d                            # two bumps; under a minute
    python -m recipes.gan_1d --dataset gaussian
    python -m recipes.gan_1d --variant minimax          # the saturating loss

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
from keras import ops
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde, norm, wasserstein_distance

from zoo.engine.current import engine
from zoo.evaluation.images.pictures import save_figure
from zoo.files.atomic import replacing
from zoo.layers import Dense
from zoo.models.gan.gan import GAN, GANConfig
from zoo.training import input_gradient
from zoo.training.adversarial.losses import LOSSES
from zoo.training.runs.flags import flags
from zoo.training.runs.launch import launch
from zoo.training.runs.run import Run, RunConfig

from ._shared import draw_curves, fit_steps, replace, smoke

# Mixtures of Gaussians: (share, mean, standard deviation) of each.
TARGETS = {
    "mixture": ((0.5, -2.0, 0.5), (0.5, 2.0, 0.5)),
    "gaussian": ((1.0, 2.0, 0.5),),
}
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


def draw(target: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draws samples (count, 1) of the data."""
    shares, means, deviations = np.transpose(TARGETS[target])
    which = rng.choice(len(shares), size=(count, 1), p=shares)
    return rng.normal(means[which], deviations[which]).astype("float32")


def density(target: str) -> np.ndarray:
    """The data's density along `LINE`."""
    return sum(share * norm.pdf(LINE, m, s) for share, m, s in TARGETS[target])


def main(config: Config) -> dict:
    """Trains, evaluates and draws; returns the summary."""
    config = smoke(config, steps=2, eval_every=1, batch_size=16)
    if config.dataset not in TARGETS:
        raise ValueError(f"dataset must be one of {[*TARGETS]}, got {config.dataset!r}")
    run = Run(config)
    gan = PointGAN(config.model)
    adam = {"learning_rate": config.learning_rate, "beta_1": config.beta_1}
    gan.compile({phase.name: keras.optimizers.Adam(**adam) for phase in gan.phases()})
    test = draw(config.dataset, 5000, np.random.default_rng([config.seed, 1]))

    def batches(start: int) -> Iterator[tuple[np.ndarray]]:
        for update in itertools.count(start):
            rng = np.random.default_rng([config.seed, 0, update])
            yield (draw(config.dataset, config.batch_size, rng),)

    def evaluate() -> dict[str, float]:
        samples = gan.sample(len(test), seed=config.seed)[:, 0]
        update = int(engine().numpy(gan.optimizer.iterations))
        with replacing(snapshot(run, update)) as file:
            np.savez(file, samples=samples, judged=gan.judge(LINE[:, None]))
        return {"wasserstein": wasserstein_distance(samples, test[:, 0])}

    fit_steps(run, config, gan, batches, evaluate, config.batch_size, "images")
    draw_densities(run, config)
    draw_gradients(run.out / "gradients.png")
    losses = {name: f"{name}/loss" for name in ("discriminator", "generator")}
    draw_curves(run, losses, "GAN", unit="loss")
    gan.save_to_preset(run.out / "preset")
    summary = run.finish(dataset=config.dataset, loss=config.model.loss)
    print(f"\nWasserstein distance {summary['val_wasserstein']:.3f}; see {run.out}")
    return summary


def snapshot(run: Run, update: int) -> Path:
    """The file of samples and D(x) after an update, which a resumed run plots too."""
    return run.out / "snapshots" / f"{update:06d}.npz"


def draw_densities(run: Run, config: Config) -> None:
    """Plots both densities, D(x) and the optimal D(x) of each evaluation."""
    real = density(config.dataset)
    probabilistic = LOSSES[config.model.loss].probabilistic
    updates = [row["update"] for row in run.rows]
    columns = min(4, len(updates))
    rows = -(-len(updates) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.6 * rows), layout="constrained")
    for index, update in enumerate(updates):
        axes = figure.add_subplot(rows, columns, index + 1)
        with np.load(snapshot(run, update)) as saved:
            samples, judged = saved["samples"], saved["judged"]
        model = gaussian_kde(samples)(LINE)
        axes.fill_between(LINE, real, alpha=0.3, label="data")
        axes.plot(LINE, model, label="samples")
        other = axes if probabilistic else axes.twinx()
        label = "D(x)" if probabilistic else "score"
        other.plot(LINE, judged, "k-", linewidth=1, label=label)
        if probabilistic:
            best = real / np.maximum(real + model, 1e-9)
            seen = real + model > 1e-3
            axes.plot(LINE[seen], best[seen], "k:", linewidth=1, label="best D(x)")
            axes.set_ylim(0, 1.05)
        axes.set_title(f"update {update}", fontsize=9)
        if index == 0:
            axes.legend(frameon=False, fontsize=7)
    save_figure(figure, run.out / "densities.png")


def draw_gradients(path: Path) -> None:
    """Plots the generator's gradient at a sample's score against D(G(z))."""
    scores = np.linspace(-6, 6, 201, dtype="float32")
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, words in {
        "minimax": "minimax: log(1 - D(G(z))) saturates",
        "non_saturating": "non-saturating: -log D(G(z))",
    }.items():
        loss = LOSSES[name]
        found = input_gradient(loss.generator, ops.convert_to_tensor(scores))
        judged = ops.convert_to_numpy(loss.judgement(scores))
        axes.plot(judged, np.abs(ops.convert_to_numpy(found)), label=words)
    axes.set(
        xlabel="D(G(z)): 0 is found out, 1 is taken for real",
        ylabel="|gradient| for the score",
        title="What the generator learns from a sample",
    )
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    save_figure(figure, path)


if __name__ == "__main__":
    launch(main, VARIANTS, __doc__)
