"""The pictures of a GAN of numbers."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from zoo.evaluation import adversarial
from zoo.evaluation.adversarial import draw_densities, draw_gradients


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved."""
    figures: list[Figure] = []
    monkeypatch.setattr(
        adversarial, "save_figure", lambda figure, path: figures.append(figure)
    )
    return figures


@pytest.mark.host
def test_the_best_discriminator_is_drawn_for_probabilities_only(drawn, tmp_path):
    line = np.linspace(-1, 1, 5)
    samples = np.random.default_rng(0).normal(size=50)
    snapshots = {update: (samples, np.full(5, 0.5)) for update in range(5)}
    for probabilistic in (True, False):
        draw_densities(
            tmp_path, line, np.ones(5), snapshots, probabilistic=probabilistic
        )
    labels = [figure.axes[0].get_legend_handles_labels()[1] for figure in drawn]
    assert labels == [["data", "samples", "D(x)", "best D(x)"], ["data", "samples"]]
    titles = [axes.get_title() for axes in drawn[0].axes]
    assert titles == [f"update {update}" for update in range(5)]


def test_the_minimax_loss_saturates_where_samples_are_found_out(drawn, tmp_path):
    draw_gradients(tmp_path)
    minimax, other = (line.get_ydata() for line in drawn[0].axes[0].get_lines())
    assert minimax[0] == pytest.approx(0, abs=0.01) and other[0] > 0.99
    assert minimax[-1] > 0.99 and other[-1] == pytest.approx(0, abs=0.01)
