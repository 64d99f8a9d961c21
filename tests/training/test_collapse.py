import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from zoo.training.adversarial.collapse import CollapseWarning, WatchForCollapse
from zoo.training.adversarial.losses import LOSSES

REAL = np.random.default_rng(0).normal(size=(30, 4, 4, 1))
EVEN = {"discriminator/real": 0.6, "discriminator/fake": 0.4}
WON = {"discriminator/real": 0.999, "discriminator/fake": 0.001}


def watching(spread=1.0, loss="non_saturating"):
    """A watch on a model whose samples are `spread` as far apart as real data."""

    def sample(count, seed):
        del seed
        return 3 + spread * REAL[:count]

    watch = WatchForCollapse(REAL, patience=2)
    watch.set_model(SimpleNamespace(sample=sample, game=LOSSES[loss]))
    return watch


def test_a_healthy_run_is_left_alone():
    watch = watching()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for logs in (EVEN, WON, EVEN, WON, EVEN):  # never for long
            assert watch.look(logs) == pytest.approx(1)
    assert watch.seen == []


def test_a_discriminator_that_wins_for_long_is_named_once():
    watch = watching()
    watch.on_epoch_end(0, WON)
    with pytest.warns(CollapseWarning, match=r"discriminator wins: .*D\(x\) is 0.999"):
        watch.on_epoch_end(1, WON)
    watch.on_epoch_end(2, WON)
    assert watch.seen == ["discriminator wins"]
    # Scores that are no probabilities say nothing.
    watch = watching(loss="hinge")
    for _ in range(3):
        watch.look({"discriminator/real": 5.0, "discriminator/fake": -5.0})
    assert watch.seen == []


def test_samples_that_are_alike_are_named():
    watch = watching(spread=0.1)
    assert watch.look(EVEN) == pytest.approx(0.1)
    with pytest.warns(CollapseWarning, match=r"samples are alike: .*differ by 0.10"):
        watch.look(EVEN)


def test_diversity_is_within_classes():
    def sample(count, seed, labels):
        del seed
        apart = 9.0 * labels.reshape(-1, 1, 1, 1)
        return apart + 0.25 * REAL[:count]

    watch = WatchForCollapse(REAL, np.arange(30) % 2)
    watch.set_model(SimpleNamespace(sample=sample, game=LOSSES["hinge"]))
    assert watch.look({}) == pytest.approx(0.25)


def test_what_is_not_finite_is_named():
    with pytest.warns(CollapseWarning, match=r"\['generator/loss'\] are not finite"):
        watching().look({**EVEN, "generator/loss": np.nan})
    with pytest.warns(CollapseWarning, match=r"\['samples'\] are not finite"):
        watching(spread=np.inf).look(EVEN)


def test_bad_data_says_what_is_needed():
    for real in (REAL[:1], np.ones((3, 2))):
        with pytest.raises(ValueError, match="two examples of a class"):
            WatchForCollapse(real)
