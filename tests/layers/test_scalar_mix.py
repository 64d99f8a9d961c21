import numpy as np
from keras import ops

from zoo.layers import ScalarMix

LAYERS = np.random.default_rng(0).normal(size=(3, 2, 4, 5)).astype("float32")


def test_a_softmax_of_layers_times_gamma():
    mix = ScalarMix(3)
    mix.build()
    assert np.abs(ops.convert_to_numpy(mix(LAYERS)) - LAYERS.mean(0)).max() < 1e-6
    scores = np.array([0.5, -1.0, 2.0])
    mix.scores.assign(scores)
    mix.gamma.assign(1.5)
    shares = np.exp(scores) / np.exp(scores).sum()
    expected = 1.5 * np.einsum("l,lbtd->btd", shares, LAYERS)
    assert np.abs(ops.convert_to_numpy(mix(LAYERS)) - expected).max() < 1e-5
    assert np.abs(ops.convert_to_numpy(mix.layer_weights()) - shares).max() < 1e-6
