import math

import numpy as np
import pytest

import zoo
from zoo.evaluation import bits_per_byte, perplexity, text_metrics
from zoo.evaluation.images.pictures import loss_curves
from zoo.evaluation.text.language import whole_text_metrics

TEXT = "the naïve cat sat on the mat. " * 4


@pytest.fixture(scope="module")
def model():
    tokenizer = zoo.Tokenizer.characters(TEXT)
    model = zoo.GPT(zoo.GPTConfig(tokenizer.vocab_size, 16, 1, 2, 8))
    model.tokenizer = tokenizer
    model.compile("sgd")
    return model


def test_perplexity_of_a_uniform_guess_is_the_number_of_choices():
    assert perplexity(np.full(10, -math.log(65))) == pytest.approx(65, rel=1e-12)


def test_bits_per_byte_of_a_uniform_guess_over_bytes_is_eight():
    text = "naïve"  # six bytes in UTF-8
    assert bits_per_byte(np.full(6, -math.log(256)), text) == pytest.approx(8)
    assert bits_per_byte(np.full(6, -math.log(256)), 12) == pytest.approx(4)


def test_figures_of_nothing_are_errors():
    with pytest.raises(ValueError, match="no tokens"):
        perplexity(np.zeros(0))
    with pytest.raises(ValueError, match="at least one byte"):
        bits_per_byte(np.zeros(1), "")


def test_text_metrics_count_every_token_but_the_first_once(model):
    tokens = model.tokenizer.encode(TEXT)
    found = text_metrics(model, tokens, TEXT, batch_size=3)
    # By hand: consecutive windows of the context's length.
    length = model.config.context_length
    windows = [tokens[at : at + length + 1] for at in range(0, len(tokens) - 1, length)]
    log_probs = np.concatenate([model.score(w) for w in windows if len(w) > 1])
    assert len(log_probs) == len(tokens) - 1
    assert found["loss"] == pytest.approx(-log_probs.mean(), abs=1e-5)
    assert found["perplexity"] == pytest.approx(perplexity(log_probs), rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(
        bits_per_byte(log_probs, TEXT), rel=1e-5
    )


def test_loss_curves_are_drawn_with_gaps(tmp_path):
    path = tmp_path / "curves" / "loss.png"
    loss_curves(
        path,
        [1, 2, 3],
        {"training": [3.0, 2.0, 1.0], "validation": [None, 2.5, None]},
        title="test",
    )
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.host
def test_metrics_of_a_text_read_in_one_piece():
    class Uniform:
        def log_probs(self, tokens):
            return np.full(len(tokens), -math.log(16))

    found = whole_text_metrics(Uniform(), np.zeros(6, int), "naïve")  # six bytes
    assert found["loss"] == pytest.approx(math.log(16))
    assert found["perplexity"] == pytest.approx(16)
    assert found["bits_per_byte"] == pytest.approx(4)
