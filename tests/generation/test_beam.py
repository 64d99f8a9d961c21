"""Beam search beside all there is to find."""

import itertools

import numpy as np
import pytest

from tests.generation.models import log_softmax, logits
from zoo import GPT, GPTConfig

V, NEW = 4, 4
PROMPTS = [[1, 3, 2], [0]]
STOP = 2
BEAMS = V**NEW  # enough to drop nothing


@pytest.fixture(scope="module")
def model():
    gpt = GPT(GPTConfig(V, 32, 1, 2, 16, tie_embeddings=False))
    rng = np.random.default_rng(4)
    gpt.set_weights([rng.normal(size=w.shape, scale=0.3) for w in gpt.get_weights()])
    return gpt


def hypotheses(model, prompt, stop=None) -> dict[tuple[int, ...], float]:
    """All that can follow, with its log-probability; a stop ends it, and counts."""
    texts = np.asarray(list(itertools.product(range(V), repeat=NEW)), "int32")
    rows = np.concatenate([np.tile(prompt, (len(texts), 1)), texts], axis=1)
    scores = log_softmax(logits(model, rows))[:, len(prompt) - 1 :][:, :NEW]
    each = np.take_along_axis(scores, texts[:, :, None], axis=2)[:, :, 0]
    found = {}
    for text, values in zip(texts.tolist(), each, strict=True):
        length = text.index(stop) + 1 if stop in text else NEW
        found[tuple(text[:length])] = values[:length].sum()
    return found


def best(found, length_penalty) -> list[int]:
    return list(max(found, key=lambda t: found[t] / len(t) ** length_penalty))


def test_many_beams_find_the_optimum(model):
    rows = model.generate(PROMPTS, NEW, num_beams=BEAMS)
    for prompt, row in zip(PROMPTS, rows, strict=True):
        assert row == prompt + best(hypotheses(model, prompt), 1.0)


@pytest.mark.parametrize("length_penalty", [3.0, -1.0])
def test_many_beams_find_the_optimum_that_may_end(model, length_penalty):
    options = {"num_beams": BEAMS, "length_penalty": length_penalty}
    rows = model.generate(PROMPTS, NEW, stop=STOP, **options)
    for prompt, row in zip(PROMPTS, rows, strict=True):
        text = best(hypotheses(model, prompt, STOP), length_penalty)
        text = text[:-1] if text[-1] == STOP else text
        assert row == prompt + text


def test_length_penalties_make_texts_longer(model):
    found = hypotheses(model, PROMPTS[0], STOP)
    assert len(best(found, -1.0)) < len(best(found, 3.0))
