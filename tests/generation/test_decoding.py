"""Cached decoding beside decoding without a cache."""

import numpy as np
import pytest

from tests.generation.models import CONTEXT, greedy, logits, random_gpt
from zoo import GPT, GPTConfig

PROMPTS = [[5], [1, 7, 2, 2, 11], [3, 12, 0, 4, 4, 9, 10, 6, 1, 0, 3]]
NEW = 15


@pytest.mark.parametrize(
    ("positions", "num_layers", "window"),
    [
        ("learned", 2, 0),
        ("sinusoidal", 1, 0),
        ("rotary", 1, 5),
        ("t5_bias", 2, 0),
        ("transformer_xl", 1, 7),
    ],
)
def test_the_cache_changes_nothing(positions, num_layers, window):
    model = random_gpt(num_layers, positions=positions, window=window)
    found = model.generate(PROMPTS, NEW, temperature=0)
    assert found == greedy(model, PROMPTS, NEW)
    assert len({token for row in found for token in row}) > 6


def test_compiled_code_sees_new_weights(gpt):
    before = gpt.generate(PROMPTS, NEW, temperature=0)
    weights = gpt.get_weights()
    try:
        gpt.set_weights([w[::-1].copy() for w in weights])
        after = gpt.generate(PROMPTS, NEW, temperature=0)
        assert after != before
        assert after == greedy(gpt, PROMPTS, NEW)
    finally:
        gpt.set_weights(weights)
    assert gpt.generate(PROMPTS, NEW, temperature=0) == before


def test_rows_do_not_know_of_each_other(gpt):
    together = gpt.generate(PROMPTS, NEW, temperature=0)
    for prompt, row in zip(PROMPTS, together, strict=True):
        assert gpt.generate(prompt, NEW, temperature=0) == row


def test_the_context_can_be_filled(gpt):
    prompt = np.random.default_rng(1).integers(13, size=CONTEXT - 2).tolist()
    found = gpt.generate([prompt, [1], [2]], 2, temperature=0)
    assert found[0] == greedy(gpt, [prompt], 2)[0]
    assert [len(row) for row in found] == [CONTEXT, 3, 3]


def test_prompts_longer_than_a_bucket():
    model = GPT(GPTConfig(13, 100, 1, 2, 16, initial_stddev=0.5, positions="rotary"))
    prompt = np.random.default_rng(1).integers(13, size=70).tolist()
    long, short = model.generate([prompt, [3, 1]], 4, temperature=0)
    for found, length in ((long, 70), (short, 2)):
        choices = logits(model, np.asarray([found]))[0].argmax(-1)
        assert found[length:] == choices[length - 1 : length + 3].tolist()


def test_half_precision(gpt):
    model = random_gpt(dtype="mixed_bfloat16")
    found = model.generate(PROMPTS, NEW, temperature=0)
    full = gpt.generate(PROMPTS, NEW, temperature=0)
    for prompt, ours, exact in zip(PROMPTS, found, full, strict=True):
        # The first choice is clear enough for 8 bits.
        assert ours[: len(prompt) + 1] == exact[: len(prompt) + 1]
        assert len(ours) == len(exact)
