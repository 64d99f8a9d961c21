"""Texts longer than the context, beside a loop that forgets as `generate` says."""

import numpy as np
import pytest

from tests.generation.models import CONTEXT, VOCABULARY, logits
from zoo import NgramConfig, NgramLM, RecurrentLM, RecurrentLMConfig, Tokenizer

GREEDY = {"temperature": 0}
RNG = np.random.default_rng(3)
PROMPTS = [
    [5],
    [1, 7, 2, 2, 11],
    RNG.integers(VOCABULARY, size=CONTEXT).tolist(),
    RNG.integers(VOCABULARY, size=CONTEXT + 9).tolist(),
]
NEW = 45


def forgetting(model, prompt, count, window) -> list[int]:
    """Without a cache: what is remembered goes through the model for each token."""
    text, known = list(prompt), list(prompt)
    for _ in range(count):
        known = known if len(known) < CONTEXT else known[-window:]
        scores = logits(model, np.asarray([known]))[0, len(known) - 1]
        text.append(int(scores.argmax()))
        known.append(text[-1])
    return text


@pytest.mark.parametrize("window", [1, 13, CONTEXT - 1])
def test_greedy_texts_past_the_context(gpt, window):
    found = gpt.generate(PROMPTS, NEW, window=window, **GREEDY)
    for prompt, row in zip(PROMPTS, found, strict=True):
        assert row == forgetting(gpt, prompt, NEW, window)
    stream = gpt.generate(PROMPTS[1], NEW, window=window, stream=True, **GREEDY)
    assert PROMPTS[1] + list(stream) == found[1]


def test_a_state_reads_on_from_the_window_too():
    config = RecurrentLMConfig(VOCABULARY, CONTEXT, 1, 16, tie_embeddings=False)
    model = RecurrentLM(config)
    weights = [RNG.normal(size=w.shape, scale=0.5) for w in model.get_weights()]
    model.set_weights(weights)
    found = model.generate(PROMPTS[1], NEW, window=10, **GREEDY)
    assert found == forgetting(model, PROMPTS[1], NEW, 10)


def test_what_fits_needs_no_window(gpt):
    for options in (GREEDY, {"seed": 3}, {"num_beams": 2}):
        plain = gpt.generate(PROMPTS[:2], 9, **options)
        assert gpt.generate(PROMPTS[:2], 9, window=4, **options) == plain


def test_samples_and_stops(gpt):
    options = {"window": 16, "temperature": 3.0, "seed": 1}
    text = gpt.generate([5], NEW, **options)
    assert len(text) == 1 + NEW
    assert text == gpt.generate([5], NEW, **options)
    assert text == [5, *gpt.generate([5], NEW, stream=True, **options)]
    end = next(
        at
        for at in range(CONTEXT + 1, NEW)
        if text[at : at + 2] not in _pairs(text[:at])
    )
    assert gpt.generate([5], NEW, stop=[text[end : end + 2]], **options) == text[:end]
    # A stop that lies on both sides of where the model forgets.
    around = text[CONTEXT - 2 : CONTEXT + 2]
    found = gpt.generate([5], NEW, stop=[around], **options)
    assert found == text[: CONTEXT - 2]
    gpt.tokenizer = Tokenizer.characters("abcdefghijklm")
    try:
        words = gpt.tokenizer.decode(around)
        found = gpt.generate("f", NEW, stop=words, **options)
        assert found == gpt.tokenizer.decode(text[: CONTEXT - 2])
    finally:
        gpt.tokenizer = None


def _pairs(ids):
    return [ids[at : at + 2] for at in range(len(ids) - 1)]


def test_without_a_window_the_error_names_it(gpt):
    message = "do not fit into context_length=32.*window=16 keeps"
    with pytest.raises(ValueError, match=message):
        gpt.generate([1], CONTEXT)
    for window in (0, CONTEXT, 2.5, "half"):
        with pytest.raises(
            ValueError, match="window must be a whole number from 1 to 31"
        ):
            gpt.generate([1], CONTEXT, window=window)
    with pytest.raises(ValueError, match="Beam search compares whole texts"):
        gpt.generate([1], CONTEXT, window=4, num_beams=2)


@pytest.mark.host
def test_what_has_no_context_ignores_it():
    model = NgramLM(NgramConfig(4, 2)).fit([0, 1, 2, 3] * 9)
    plain = model.generate([0], 99, **GREEDY)
    assert model.generate([0], 99, window=5, **GREEDY) == plain
