"""Pictures of a GAN of numbers as it learns: densities, D(x) and gradients.

Goodfellow et al. 2014, figure 1 and proposition 1. Shapes: K places on the line.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from keras import ops
from scipy.stats import gaussian_kde

from zoo.evaluation.images.pictures import save_figure
from zoo.training import input_gradient
from zoo.training.adversarial.losses import LOSSES


def draw_densities(
    path: Path,
    line: np.ndarray,
    real: np.ndarray,
    snapshots: Mapping[int, tuple[np.ndarray, np.ndarray]],
    *,
    probabilistic: bool,
) -> None:
    """Draws the densities of data and samples, and D(x), after several updates.

    Args:
        path: the PNG file.
        line: the places (K,) to draw.
        real: the density of the data there, (K,).
        snapshots: by update, samples (N,) and the discriminator's outputs (K,) at
            `line`.
        probabilistic: whether those outputs are probabilities. If so, the optimal
            D(x) = p_data / (p_data + p_model) is drawn too.
    """
    from matplotlib.figure import Figure

    columns = min(4, len(snapshots))
    rows = -(-len(snapshots) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.6 * rows), layout="constrained")
    for number, (update, (samples, judged)) in enumerate(snapshots.items(), start=1):
        axes = figure.add_subplot(rows, columns, number)
        model = gaussian_kde(samples)(line)
        axes.fill_between(line, real, alpha=0.3, label="data")
        axes.plot(line, model, label="samples")
        other = axes if probabilistic else axes.twinx()
        label = "D(x)" if probabilistic else "score"
        other.plot(line, judged, "k-", linewidth=1, label=label)
        if probabilistic:
            best = real / np.maximum(real + model, 1e-9)
            seen = real + model > 1e-3
            axes.plot(line[seen], best[seen], "k:", linewidth=1, label="best D(x)")
            axes.set_ylim(0, 1.05)
        axes.set_title(f"update {update}", fontsize=9)
        if number == 1:
            axes.legend(frameon=False, fontsize=7)
    save_figure(figure, path)


def draw_gradients(path: Path) -> None:
    """Draws the generator's gradient for a sample's score against D(G(z))."""
    from matplotlib.figure import Figure

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
