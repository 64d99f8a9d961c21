import json

import numpy as np
import pytest

from zoo.evaluation.images.frechet import frechet_distance
from zoo.evaluation.images.kernel_mmd import kernel_distance
from zoo.evaluation.images.manifolds import manifold_scores
from zoo.evaluation.images.samples import feature_metrics, sample_metrics

RNG = np.random.default_rng(0)
REAL, TEST = (RNG.random((n, 3, 3, 1)) for n in (80, 60))
FAKE = RNG.random((60, 3, 3, 1)) ** 2
OPTIONS = {"k": 4, "subsets": 7, "subset_size": 30, "seed": 2}


class Pixels:
    name = "pixels"

    def __call__(self, images):
        return images.reshape(len(images), -1)


def test_figures_come_with_their_protocol_and_floor():
    found = sample_metrics(REAL, FAKE, Pixels(), test=TEST, **OPTIONS)
    assert json.loads(json.dumps(found)) == found
    real, fake, test = (Pixels()(x) for x in (REAL, FAKE, TEST))
    assert found["fid"] == frechet_distance(real, fake)
    assert found["floor_fid"] == frechet_distance(real, test) < found["fid"]
    kernel = kernel_distance(real, fake, subsets=7, subset_size=30, seed=2)
    assert (found["kid"], found["kid_stddev"]) == (kernel.mean, kernel.stddev)
    balls = manifold_scores(real, test, 4)
    for name in ("precision", "recall", "density", "coverage"):
        assert found[f"floor_{name}"] == getattr(balls, name)
    protocol = {k: v for k, v in found.items() if k.startswith("protocol_")}
    assert protocol == {
        "protocol_features": "pixels",
        "protocol_split": "train",
        "protocol_num_real": 80,
        "protocol_num_fake": 60,
        "protocol_num_test": 60,
        **{f"protocol_{name}": value for name, value in OPTIONS.items()},
    }
    assert {type(v) for k, v in found.items() if k not in protocol} == {float}


def test_without_test_images_there_is_no_floor():
    found = sample_metrics(REAL, FAKE, Pixels(), split="test", **OPTIONS)
    assert not [name for name in found if "floor" in name or name.endswith("num_test")]
    assert found["protocol_split"] == "test"
    figures = feature_metrics(Pixels()(REAL), Pixels()(FAKE), **OPTIONS)
    assert figures.items() <= found.items()


def test_too_few_samples_raise():
    with pytest.raises(
        ValueError, match="subset_size=1000 need .* 1000 images; real has"
    ):
        sample_metrics(REAL, FAKE, Pixels())
