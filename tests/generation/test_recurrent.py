"""A state in place of a cache: what is generated is what the whole text gives."""

import numpy as np
import pytest

from tests.generation.models import CONTEXT, VOCABULARY, greedy, log_softmax, logits
from zoo import RecurrentLM, RecurrentLMConfig

PROMPTS = [[5], [1, 7, 2, 2, 11], [3, 12, 0, 4, 4, 9, 10, 6, 1, 0, 3]]
NEW = 15


def random_model(cell: str, num_layers: int = 1) -> RecurrentLM:
    model = RecurrentLM(
        RecurrentLMConfig(
            VOCABULARY, CONTEXT, num_layers, 16, cell, tie_embeddings=False
        )
    )
    rng = np.random.default_rng(0)
    model.set_weights(
        [rng.normal(size=w.shape, scale=0.5) for w in model.get_weights()]
    )
    return model


@pytest.fixture(scope="module")
def lstm():
    return random_model("lstm", num_layers=2)


def test_the_state_is_the_whole_text():
    model = random_model("gru")
    found = model.generate(PROMPTS, NEW, temperature=0)
    assert found == greedy(model, PROMPTS, NEW)
    assert len({token for row in found for token in row}) > 6


def test_rows_do_not_know_of_each_other(lstm):
    together = lstm.generate(PROMPTS, NEW, temperature=0)
    assert together == greedy(lstm, PROMPTS, NEW)
    for prompt, row in zip(PROMPTS[:2], together[:2], strict=True):
        assert lstm.generate(prompt, NEW, temperature=0) == row


def test_beams_take_their_states_along(lstm):
    """Beside a beam search that runs the whole text for each token."""
    beams, new, prompt = 3, 6, PROMPTS[1]
    live = [(0.0, list(prompt))]
    for _ in range(new):
        rows = np.asarray([row for _, row in live])
        scores = log_softmax(logits(lstm, rows)[:, rows.shape[1] - 1])
        candidates = [
            (score + scores[beam, token], [*row, token])
            for beam, (score, row) in enumerate(live)
            for token in range(VOCABULARY)
        ]
        live = sorted(candidates, key=lambda pair: -pair[0])[:beams]
    found = lstm.generate([prompt, PROMPTS[2]], new, num_beams=beams)
    assert found[0] == live[0][1]


def test_scores(lstm):
    text = PROMPTS[2]
    scores = log_softmax(logits(lstm, np.asarray([text]))[0])
    expected = [scores[t, text[t + 1]] for t in range(len(text) - 1)]
    assert np.abs(lstm.score(text) - expected).max() < 1e-4


def test_ids_are_checked_before_they_are_cast(lstm):
    for ids in (np.array([2**32 + 1, 2]), np.array([1.0, 2.0]), np.array([-1, 2])):
        with pytest.raises(ValueError, match="Token ids must be"):
            lstm.log_probs(ids)
