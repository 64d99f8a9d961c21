"""Vocabularies that are not as large as the tokenizer's."""

import numpy as np
import pytest

from tests.generation.models import CONTEXT, log_softmax, logits
from tests.models.translators import made
from zoo import (
    GPT,
    BertConfig,
    BertPretrainer,
    GPTConfig,
    LinearLM,
    LinearLMConfig,
    NgramConfig,
    NgramLM,
    RecurrentLM,
    RecurrentLMConfig,
    SelfAttentionClassifier,
    SelfAttentionClassifierConfig,
    Tokenizer,
    Transformer,
    TransformerConfig,
)
from zoo.models.bert.fill_mask import fill_mask

KNOWN, PADDED = 5, 13
LETTERS = "abcde"


def padded(family: str):
    """A model of 13 ids that would rather say those beyond its tokenizer's 5."""
    rng = np.random.default_rng(0)
    if family == "ngram":
        text = [*range(KNOWN), *rng.integers(KNOWN, PADDED, size=200)]
        model = NgramLM(NgramConfig(PADDED, 2)).fit(text)
    else:
        model = {
            "gpt": lambda: GPT(GPTConfig(PADDED, CONTEXT, 1, 2, 16)),
            "recurrent": lambda: RecurrentLM(RecurrentLMConfig(PADDED, CONTEXT, 1, 16)),
            "linear": lambda: LinearLM(LinearLMConfig(PADDED, CONTEXT, 16)),
            "transformer": lambda: made(
                TransformerConfig(PADDED, CONTEXT, 1, 2, 16, 32, dropout=0.0)
            ),
        }[family]()
        weights = model.get_weights()
        model.set_weights([rng.normal(size=w.shape, scale=0.5) for w in weights])
    return model


@pytest.mark.parametrize(
    "family", ["gpt", "recurrent", "linear", "ngram", "transformer"]
)
def test_what_the_tokenizer_does_not_know_is_never_drawn(family):
    model = padded(family)
    prompts = [[3, 4]] * 40
    searches = [{"temperature": 0}, {"temperature": 1.0, "seed": 0}]
    searches += [{"temperature": 3.0, "top_k": 3, "top_p": 0.9, "seed": 1}]
    searches += [{"num_beams": 3}] * (family != "ngram")
    before = [model.generate(prompts, 8, **options) for options in searches]
    assert max(i for rows in before for row in rows for i in row) >= KNOWN
    model.tokenizer = Tokenizer.characters(LETTERS)
    for options in searches:
        rows = model.generate(prompts, 8, **options)
        assert max((i for row in rows for i in row), default=0) < KNOWN
        texts = model.generate(["de"] * 40, 8, **options)
        assert texts == [model.tokenizer.decode(row) for row in rows]
    if family != "transformer":
        stream = model.generate("de", 8, stream=True, seed=0)
        assert set("".join(stream)) <= set(LETTERS)
        # Who names them gets them, as ids.
        found = model.generate(prompts, 3, allowed=range(KNOWN, PADDED), seed=0)
        assert min(i for row in found for i in row[2:]) >= KNOWN
        with pytest.raises(ValueError, match="the tokenizer of 5 tokens cannot write"):
            model.generate("de", 3, allowed=range(KNOWN, PADDED))


def test_beams_find_the_optimum_of_what_is_known():
    model = padded("gpt")
    model.tokenizer = Tokenizer.characters("abc")
    texts = np.stack(np.meshgrid(*[range(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    rows = np.concatenate([np.full((27, 1), 2), texts], axis=1)
    scores = log_softmax(logits(model, rows))[:, :3]
    each = np.take_along_axis(scores, texts[:, :, None], axis=2)[:, :, 0].sum(1)
    found = model.generate([2], 3, num_beams=27)
    assert found == rows[each.argmax()].tolist()
    # Scores are the model's own, of all its ids.
    assert model.score(found).sum() == pytest.approx(each.max(), abs=1e-4)


@pytest.mark.parametrize(
    "model",
    [
        lambda: GPT(GPTConfig(4, 8, 1, 2, 16)),
        lambda: RecurrentLM(RecurrentLMConfig(4, 8, 1, 16)),
        lambda: LinearLM(LinearLMConfig(4, 8, 16)),
        lambda: NgramLM(NgramConfig(4)),
        lambda: Transformer(TransformerConfig(4, 8, 1, 2, 16, 32)),
        lambda: BertPretrainer(BertConfig(4, 8, 1, 2, 16)),
        lambda: SelfAttentionClassifier(SelfAttentionClassifierConfig(4, 8, 2)),
    ],
)
def test_larger_tokenizers_are_refused(model, tmp_path):
    model = model()
    tokenizer = Tokenizer.characters(LETTERS)
    with pytest.raises(ValueError, match="at most vocab_size=4 tokens, got 5"):
        model.tokenizer = tokenizer
    assert model.tokenizer is None
    model.tokenizer = smaller = Tokenizer.characters("abcd")
    assert model.tokenizer is smaller
    model.tokenizer = None
    assert model.tokenizer is None


def test_larger_tokenizers_of_presets_are_refused(tmp_path):
    GPT(GPTConfig(4, 8, 1, 2, 16)).save_to_preset(tmp_path)
    Tokenizer.characters(LETTERS).save(tmp_path)
    with pytest.raises(ValueError, match="at most vocab_size=4 tokens, got 5"):
        GPT.from_preset(tmp_path)


def test_gaps_and_neighbors_are_tokens_of_the_tokenizer():
    tokenizer = Tokenizer.train_words("one two three", 8)
    bert = BertPretrainer(BertConfig(PADDED, 8, 1, 2, 16))
    bert.tokenizer = tokenizer
    ((*found,),) = fill_mask(bert, "one [MASK] three", top=np.int64(8))
    assert len(found) == 8 and None not in dict(found)
    for top in (9, 0, 2.5):
        with pytest.raises(ValueError, match="top must be a whole number from 1 to 8"):
            fill_mask(bert, "one [MASK]", top=top)
    linear = padded("linear")
    linear.tokenizer = Tokenizer.characters(LETTERS)
    assert {name for name, _ in linear.nearest("a", 99)} == set("bcde")
    assert len(linear.nearest(0, 99)) == PADDED - 1


def test_half_of_a_surrogate_pair_is_named():
    model = padded("gpt")
    model.tokenizer = Tokenizer.characters(LETTERS)
    for request in (
        lambda: model.generate("a\ud800", 2),
        lambda: model.score("a\ud800b"),
        lambda: model.score("ab", prompt="\ud800"),
    ):
        with pytest.raises(ValueError, match=r"U\+D800"):
            request()
    # It can be in no text, so that it stops none.
    assert len(model.generate("a", 4, stop="\ud800", seed=0)) == 5
