"""First calls that come from several threads at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import keras
import numpy as np
import pytest

from tests.generation.models import random_gpt
from tests.models.translators import made
from zoo import VAE, NgramConfig, NgramLM, TransformerConfig, VAEConfig

THREADS = 6


def together(*calls):
    """What the calls give, all begun at the same moment."""
    barrier = Barrier(len(calls))

    def run(call):
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def same(found, alone):
    """Whether both are alike but for how sums are rounded."""
    for a, b in zip(found, alone, strict=True):
        for x, y in zip(keras.tree.flatten(a), keras.tree.flatten(b), strict=True):
            if not np.allclose(x, y, rtol=0, atol=1e-5):
                return False
    return True


def gpt_calls(gpt):
    options = {"temperature": 0}
    return [
        lambda: gpt.generate([1, 2], 6, **options),
        lambda: gpt.generate([[1, 2], [3]], 9, seed=1),
        lambda: gpt.score([1, 2, 3]),
        lambda: gpt.score([[4, 2, 3], [1, 5]]),
        lambda: gpt.generate([1, 2], 6, num_beams=2),
        lambda: list(gpt.generate([5], 7, stream=True, **options)),
    ]


def translator_calls(translator):
    return [
        lambda: translator.generate([3, 4], 6),
        lambda: translator.generate([3, 4], 6, num_beams=2),
        lambda: translator.score([3, 4], [5, 6, 7]),
        lambda: translator.score([[3, 4]], [[5, 6, 7]]),
    ]


def vae_calls(vae):
    images = np.random.default_rng(0).random((5, 4, 4, 1)).astype("float32")
    return [lambda: vae.reconstruct(images), lambda: vae.encode(images)] * 3


MAKERS = {
    "gpt": (lambda: random_gpt(), gpt_calls),
    "transformer": (
        lambda: made(TransformerConfig(13, 16, 1, 2, 16, 32, dropout=0.0)),
        translator_calls,
    ),
    "vae": (
        lambda: VAE(VAEConfig(image_shape=(4, 4, 1), hidden=(8,), latent_dim=2)),
        vae_calls,
    ),
    "ngram": (
        lambda: NgramLM(NgramConfig(13, 3)).fit(np.arange(200) * 7 % 13),
        lambda model: gpt_calls(model)[:4],
    ),
}


@pytest.mark.parametrize("family", sorted(MAKERS))
def test_first_calls_of_several_threads(family):
    make, calls = MAKERS[family]
    model = make()
    found = together(*calls(model))
    assert same(found, [call() for call in calls(model)])


def test_the_same_first_call_of_many_threads():
    for _ in range(2):
        gpt = random_gpt()
        calls = [
            lambda gpt=gpt, i=i: gpt.generate([1, 2], 6 + i, temperature=0)
            for i in range(THREADS)
        ]
        found = together(*calls)
        assert found == [call() for call in calls]
