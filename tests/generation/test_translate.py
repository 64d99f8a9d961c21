"""Encoder-decoders write: beside decoding without a cache, and all there is to find."""

import itertools

import numpy as np
import pytest

from tests.generation.models import log_softmax
from tests.models.translators import compiled_logits, made
from zoo import Transformer, TransformerConfig
from zoo.data import train_joint_bpe
from zoo.models.language.transformer import PRESETS
from zoo.presets.weights import named_weights

CONTEXT = 32
END = 2
CONFIG = TransformerConfig(17, CONTEXT, 2, 2, 16, 32, dropout=0.0)
SOURCES = [[5, 9, 3], [7], [4, 4, 16, 10, 8, 6, 12, 3, 5]]
NEW = 12


def draw(model, feed_forward: float, embeddings: float, seed: int) -> None:
    """Weights by which it writes several things, and not one alone."""
    rng = np.random.default_rng(seed)
    spreads = {"embeddings": embeddings, "output": 0.1, "feed": feed_forward}
    for name, weight in sorted(named_weights(model).items()):
        spread = next((s for part, s in spreads.items() if part in name), 0.5)
        spread *= not name.endswith(("bias", "beta", "gamma"))
        noise = spread * rng.normal(size=weight.shape)
        weight.assign(noise + name.endswith("gamma"))


@pytest.fixture(scope="module")
def model() -> Transformer:
    model = Transformer(CONFIG)
    draw(model, 1.0, 0.5, seed=1)
    return model


@pytest.fixture(scope="module")
def log_probs(model):
    """From a source and targets of one length to (rows, tokens, V)."""
    return log_probs_of(model)


def log_probs_of(model):
    logits = compiled_logits(model)

    def function(source, targets):
        targets = np.asarray(targets)
        begun = np.zeros((len(targets), CONTEXT), "int32")
        begun[:, 0], begun[:, 1 : targets.shape[1] + 1] = 1, targets
        sources = np.zeros((len(targets), 12), "int32")
        sources[:, : len(source) + 1] = [*source, END]
        return log_softmax(logits((sources, begun)))[:, : targets.shape[1] + 1]

    return function


def greedy(log_probs, source, new_tokens) -> list[int]:
    """Without caches: the whole target goes through the model for each token."""
    found: list[int] = []
    while len(found) < new_tokens:
        found.append(int(log_probs(source, [found])[0, -1].argmax()))
        if found[-1] == END:
            return bare(found[:-1])
    return bare(found)


def bare(text: list[int]) -> list[int]:
    """Without begin and padding around it, which nothing forbids a model to write."""
    text = text[next((i for i, token in enumerate(text) if token != 1), len(text)) :]
    return text[: max((i + 1 for i, token in enumerate(text) if token), default=0)]


def test_caches_change_nothing(model, log_probs):
    found = model.generate(SOURCES, NEW)
    assert found == [greedy(log_probs, source, NEW) for source in SOURCES]
    assert len({token for row in found for token in row}) > 5
    # Rows do not know of each other, nor of special tokens around them.
    assert model.generate(SOURCES, NEW, batch_size=1) == found
    assert model.generate(SOURCES[0], NEW) == found[0]
    padded = np.array([[1, *SOURCES[1], END, 0, 0]])
    assert model.generate(padded, NEW).tolist() == [found[1]]


def test_texts_end_where_new_weights_say(model, log_probs):
    before, weights = model.generate(SOURCES, NEW), model.get_weights()
    try:
        draw(model, 0.5, 0.25, seed=0)
        found = model.generate(SOURCES, NEW)
        assert found == [greedy(log_probs, source, NEW) for source in SOURCES]
        assert min(map(len, found)) < NEW
        assert max(map(len, model.generate(SOURCES))) <= CONTEXT - 1
    finally:
        model.set_weights(weights)
    assert model.generate(SOURCES, NEW) == before != found


def test_score_is_of_the_target_and_its_end(model, log_probs):
    targets = [[3, 5, 6, 4], [11], []]
    found = model.score(SOURCES, targets)
    for source, target, score in zip(SOURCES, targets, found, strict=True):
        expected = log_probs(source, [target])[0]
        expected = expected[np.arange(len(target) + 1), [*target, END]]
        assert np.abs(score - expected).max() < 1e-5
    alone = model.score(SOURCES[0], targets[0])
    assert np.abs(alone - found[0]).max() < 1e-5


def test_samples_follow_the_distribution(model, log_probs):
    options = {"temperature": 1.0, "seed": 1, "batch_size": 512}
    rows = model.generate([SOURCES[0]] * 2048, 1, **options)
    counts = np.bincount([row[0] if row else END for row in rows], minlength=17)
    expected = np.exp(log_probs(SOURCES[0], [[]])[0, 0])
    expected[END] += expected[:END].sum()  # what a text is not given back with
    expected[:END] = 0
    # Four standard deviations of a share.
    spread = 4 * np.sqrt(expected * (1 - expected) / 2048)
    assert np.all(np.abs(counts / 2048 - expected) <= spread + 1e-9)
    again = model.generate([SOURCES[0]] * 2048, 1, **options)
    assert again == rows
    assert model.generate(SOURCES, NEW, temperature=1.0, top_k=1, seed=1) == (
        model.generate(SOURCES, NEW)
    )


# === Beams ===

V, MOST = 5, 4
BEAMS = V**MOST  # enough to drop nothing


@pytest.fixture(scope="module")
def small() -> Transformer:
    small = made(TransformerConfig(V, CONTEXT, 1, 2, 16, 32, dropout=0.0))
    rng = np.random.default_rng(4)
    small.set_weights(
        [rng.normal(size=w.shape, scale=0.25) for w in small.get_weights()]
    )
    return small


def hypotheses(model, source) -> dict[tuple[int, ...], float]:
    """All that can be written, with its log-probability; the end counts."""
    texts = np.asarray(list(itertools.product(range(V), repeat=MOST)), "int32")
    each = log_probs_of(model)(source, texts)[:, :MOST]
    each = np.take_along_axis(each, texts[:, :, None], axis=2)[:, :, 0]
    found = {}
    for text, values in zip(texts.tolist(), each, strict=True):
        length = text.index(END) + 1 if END in text else MOST
        found[tuple(text[:length])] = values[:length].sum()
    return found


def best(found, alpha) -> list[int]:
    """Equation 14 of Wu et al. 2016, without its coverage."""
    text = max(found, key=lambda t: found[t] / ((5 + len(t)) ** alpha / 6**alpha))
    return bare([token for token in text if token != END])


@pytest.mark.parametrize(
    "alpha", [0.6, pytest.param(4.0, marks=pytest.mark.slow), -2.0]
)
def test_many_beams_find_the_optimum(small, alpha):
    sources = [[3, 4, 4], [4]]
    options = {"num_beams": BEAMS, "length_penalty": alpha}
    rows = small.generate(sources, MOST, **options)
    assert rows == [best(hypotheses(small, source), alpha) for source in sources]


def test_penalties_make_texts_longer(small):
    found = hypotheses(small, [3, 4, 4])
    assert len(best(found, -2.0)) < len(best(found, 4.0))


def test_few_beams_do_no_worse_than_greed(model):
    greedy_rows = model.generate(SOURCES, NEW)
    beams = model.generate(SOURCES, NEW, num_beams=8, length_penalty=0.0)
    for source, a, b in zip(SOURCES, greedy_rows, beams, strict=True):
        if len(a) < NEW and len(b) < NEW:
            assert model.score(source, b).sum() >= model.score(source, a).sum() - 1e-5


# === Attention, strings, errors ===


def test_attention_maps_are_what_the_target_hangs_on(model):
    maps = model.attention_maps(SOURCES[0], [3, 5])
    assert maps.shape == (2, 2, 3, 4)
    assert np.abs(maps.sum(-1) - 1).max() < 1e-5
    longer = model.attention_maps(SOURCES[0], [3, 5, 6])
    assert np.abs(longer[:, :, :3] - maps).max() < 1e-5


def test_attention_maps_are_torch_s(model):
    torch = pytest.importorskip("torch")
    from tests.models.torch_transformer import Reference
    from zoo.presets.weights import arrays_of

    reference = Reference(CONFIG, arrays_of(model))
    seen = []
    for layer in reference.stacks.decoder.layers:
        attend = layer.multihead_attn

        def spy(*args, attend=attend, **kwargs):
            kwargs |= {"need_weights": True, "average_attn_weights": False}
            out, weights = type(attend).forward(attend, *args, **kwargs)
            seen.append(weights[0].detach().numpy())
            return out, weights

        attend.forward = spy
    reference(torch.tensor([[*SOURCES[0], END]]), torch.tensor([[1, 3, 5]]))
    found = model.attention_maps(SOURCES[0], [3, 5])
    assert np.abs(found - np.stack(seen)).max() < 1e-5


def test_strings(tmp_path):
    pairs = [("a big cat", "eine große Katze"), ("a cat", "eine Katze")]
    tokenizer = train_joint_bpe(pairs, 280)
    assert (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id) == (0, 1, 2)
    model = made(TransformerConfig(tokenizer.vocab_size, CONTEXT, 1, 2, 16, 32))
    with pytest.raises(ValueError, match="Strings need a tokenizer"):
        model.generate("a cat")
    model.tokenizer = tokenizer
    found = model.generate(["a cat", "a big cat"], 3)
    ids = model.generate([tokenizer.encode(x).tolist() for x, _ in pairs[::-1]], 3)
    assert found == [tokenizer.decode(row) for row in ids]
    assert model.generate("a cat", 3) == found[0]
    length = len(tokenizer.encode("eine Katze"))
    assert model.score("a cat", "eine Katze").shape == (length + 1,)


@pytest.mark.parametrize(
    ("request_", "options", "message"),
    [
        ([[3], []], {}, r"at least one token that is not padding.*\[1, 0\]"),
        ([[END, 3]], {}, "at least one token"),
        ([], {}, "at least one token"),
        ([[3] * CONTEXT], {}, "A source of 32 tokens and its end do not fit"),
        ([[17]], {}, r"from 0 to 16 \(vocab_size=17\)"),
        (
            [[3]],
            {"max_new_tokens": CONTEXT},
            "max_new_tokens must be a whole number from 1 to 31, got 32",
        ),
        ([[3]], {"num_beams": 0}, "num_beams must be a whole number from 1"),
        ([[3]], {"num_beams": 2, "top_k": 3}, "Beam search ranks by probability"),
        ([[3]], {"batch_size": 0}, "batch_size must be a whole number from 1, got 0"),
    ],
)
def test_bad_requests_say_what_is_wrong(model, request_, options, message):
    with pytest.raises(ValueError, match=message):
        model.generate(request_, **options)


def test_bad_scores_say_what_is_wrong(model):
    with pytest.raises(ValueError, match="got 1 targets for 3 sources"):
        model.score(SOURCES, [[3]])
    with pytest.raises(ValueError, match="A target of 32 tokens and its end"):
        model.score([3], [3] * CONTEXT)


def test_presets_name_their_special_tokens():
    assert {(c.pad_id, c.begin_id, c.end_id) for c in PRESETS.values()} == {(0, 1, 2)}
