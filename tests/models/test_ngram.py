"""N-gram models against nltk, plain dictionaries and relative frequencies."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from tests.models.plain_ngrams import PlainNgrams
from zoo import GPT, NgramConfig, NgramLM, Tokenizer
from zoo.models.language.smoothing import good_turing, modified_discounts

pytestmark = pytest.mark.host

V = 7
SMOOTHINGS = ("mle", "add_k", "katz", "kneser_ney")
RNG = np.random.default_rng(0)


def skewed(size, vocab_size=V):
    """Frequent and rare tokens, each dependent on the one before."""
    text = [0]
    for step in RNG.zipf(1.6, size - 1):
        text.append(int(text[-1] * 2 + step) % vocab_size)
    return text


TEXTS = [skewed(300), skewed(1), skewed(40)]
# Its first n-grams occur again, each with a left neighbour, which nltk takes as given.
ROUND = skewed(200)
ROUND = [*ROUND, *ROUND[:4], *range(V)]


def fitted(texts=TEXTS, **fields) -> NgramLM:
    return NgramLM(NgramConfig(**{"vocab_size": V} | fields)).fit(texts)


def contexts(longest, vocab_size=V):
    """All contexts up to that length, seen or not."""
    for length in range(longest + 1):
        yield from itertools.product(range(vocab_size), repeat=length)


# === Probabilities ===


def reference(plain, smoothing, order):
    return {
        "mle": lambda w, h: plain.add_k(0, w, h),
        "add_k": lambda w, h: plain.add_k(0.3, w, h),
        "katz": plain.katz,
        "fixed": lambda w, h: plain.kneser_ney(0.6, w, h),
        "kneser_ney": lambda w, h: plain.kneser_ney(None, w, h),
    }[smoothing]


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("smoothing", [*SMOOTHINGS, "fixed"])
@pytest.mark.parametrize("vocab_size", [V, V + 2])  # two that never occur
@pytest.mark.parametrize("beginnings", [False, True])
def test_probabilities_are_the_formulas(order, smoothing, vocab_size, beginnings):
    fixed = {"smoothing": "kneser_ney", "discount": 0.6}
    model = fitted(
        order=order,
        k=0.3,
        vocab_size=vocab_size,
        beginnings=beginnings,
        **fixed if smoothing == "fixed" else {"smoothing": smoothing},
    )
    plain = PlainNgrams(TEXTS, vocab_size, order, beginnings)
    expected = reference(plain, smoothing, order)
    unseen = 0
    for context in contexts(min(order - 1, 2), vocab_size):
        found = model.probabilities(np.asarray(context, int))
        assert found.shape == (vocab_size,) and found.min() >= 0
        known = plain.begun(context) if beginnings else context
        by_hand = [expected(token, known) for token in range(vocab_size)]
        assert np.abs(found - by_hand).max() < 1e-12
        if smoothing == "mle" and not found.any():
            unseen += 1
        else:
            assert found.sum() == pytest.approx(1, abs=1e-12)
    assert smoothing == "mle" or order == 1 or found.min() > 0
    # All that may precede a token has, but pairs.
    expected_unseen = order > 1 and (order, vocab_size) != (2, V)
    assert bool(unseen) == (smoothing == "mle" and expected_unseen)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_modified_kneser_ney_of_rich_counts(order):
    """Every order's discounts are estimated, without the fallback."""
    rng = np.random.default_rng(3)
    texts = [(rng.zipf(1.5, size) % 40).tolist() for size in rng.integers(5, 40, 120)]
    model = fitted(texts, order=order, vocab_size=40)
    plain = PlainNgrams(texts, 40, order, beginnings=True)
    for size in range(1, order + 1):
        discounts = plain.discounts(size)
        assert discounts == (0, 0.5, 1, 1.5) if size == 1 else discounts[3] != 1.5
    for text in texts[:12]:
        found = np.exp(model.score(text))
        for at, probability in enumerate(found, start=1):
            by_hand = plain.kneser_ney(None, text[at], plain.begun(text[:at]))
            assert probability == pytest.approx(by_hand, abs=1e-12)
        for at in range(len(text)):
            whole = model.probabilities(text[:at])
            assert whole.sum() == pytest.approx(1, abs=1e-12)


def test_modified_discounts_are_estimated_or_fall_back():
    counts = np.repeat([1, 2, 3, 4, 5, 9], [100, 40, 20, 10, 7, 3])
    y = 100 / 180
    expected = [0, y, 2 - 3 * y * 0.5, 3 - 4 * y * 0.5]
    assert modified_discounts(counts) == pytest.approx(expected, abs=1e-15)
    for few in ([1, 1, 2, 3], [5, 9], [0], np.repeat([1, 2, 3, 4], [9, 2, 9, 9])):
        assert modified_discounts(np.asarray(few)).tolist() == [0, 0.5, 1, 1.5]


def test_long_contexts_of_katz():
    """The remaining mass is small compared with 1 there."""
    text = skewed(4000)
    model = fitted([text], order=5, smoothing="katz")
    plain = PlainNgrams([text], V, 5, beginnings=True)
    for start in range(0, 300, 3):
        context = text[start : start + 4]
        found = model.probabilities(context)
        assert found.sum() == pytest.approx(1, abs=1e-12)
        by_hand = [plain.katz(token, tuple(context)) for token in range(V)]
        assert np.abs(found - by_hand).max() < 1e-9


def test_good_turing_discounts():
    """Church & Gale 1991, table 1: bigrams of 22 million words of newswire."""
    times = [2018046, 449721, 188933, 105668, 68379, 48190]
    counts = np.repeat([1, 2, 3, 4, 5, 6], times)
    found = good_turing(counts)[1:6] * np.arange(1, 6)
    # r* = (r + 1) n_{r+1} / n_r, less Katz's share for counts from 6.
    expected = [0.446, 1.26, 2.24, 3.24, 4.22]
    common = 6 * times[5] / times[0]
    katz = [
        r * (star / r - common) / (1 - common) for r, star in enumerate(expected, 1)
    ]
    assert np.abs(found - katz).max() < 0.02
    assert np.array_equal(good_turing(np.asarray([3, 3, 8])), np.ones(7))


def test_nltk_agrees():
    lm = pytest.importorskip("nltk.lm")
    everygrams = pytest.importorskip("nltk.util").everygrams
    words = [str(token) for token in ROUND]
    for order in (2, 4):
        for nltk_model, fields in (
            (lm.MLE(order), {"smoothing": "mle"}),
            (lm.Laplace(order), {"smoothing": "add_k"}),
            (lm.Lidstone(0.2, order), {"smoothing": "add_k", "k": 0.2}),
            (
                lm.KneserNeyInterpolated(order, discount=0.4),
                {"smoothing": "kneser_ney", "discount": 0.4},
            ),
        ):
            nltk_model.fit([everygrams(words, max_len=order)], sorted(set(words)))
            # nltk adds one word, for those that are unknown, to the vocabulary.
            more = fields["smoothing"] == "add_k"
            fields |= {"vocab_size": V + more, "beginnings": False}
            model = fitted([ROUND], order=order, **fields)
            for context in contexts(min(order - 1, 2)):
                found = model.probabilities(np.asarray(context, int))
                by_hand = [
                    nltk_model.score(str(token), tuple(map(str, context)))
                    for token in range(V)
                ]
                assert np.abs(found[:V] - by_hand).max() < 1e-9


# === Texts ===


def test_the_beginning_is_predicted_from_what_there_is():
    for smoothing in SMOOTHINGS:
        model = fitted(order=4, smoothing=smoothing)
        text = TEXTS[0][:9]
        found = np.exp(model.score(text))
        for at, probability in enumerate(found, start=1):
            before = model.probabilities(text[:at])
            assert probability == pytest.approx(before[text[at]], abs=1e-12)
            # Only the last three count.
            assert np.array_equal(
                before, model.probabilities(text[max(at - 3, 0) : at])
            )
    # A context of one token asks the bigrams, as many as there are texts' tokens.
    counts = np.zeros(V)
    for text in TEXTS:
        for a, b in itertools.pairwise(text):
            counts[b] += a == 3
    found = fitted(order=4, smoothing="mle").probabilities([3])
    assert np.abs(found - counts / counts.sum()).max() < 1e-12


def test_scores_of_several_texts_and_prompts():
    model = fitted(order=3)
    texts = [TEXTS[0][:30], TEXTS[2], [6, 6, 6, 6]]
    together = model.score(texts)
    for text, found in zip(texts, together, strict=True):
        assert found == pytest.approx(model.score(text), abs=1e-12)
        assert found == pytest.approx(model.log_probs(np.asarray(text)), abs=1e-12)
    given = model.score([5, 2], prompt=[1, 4, 3])
    assert given == pytest.approx(model.score([1, 4, 3, 5, 2])[2:], abs=1e-12)
    long = model.score(np.tile(TEXTS[0], 20))  # there is no context length
    assert long.shape == (20 * 300 - 1,)


def test_no_ngram_reaches_across_texts():
    apart = fitted([[0, 1], [2, 3]], order=2, smoothing="mle")
    assert not apart.probabilities([1]).any()
    assert fitted([0, 1, 2, 3], order=2, smoothing="mle").probabilities([1])[2] == 1
    # Texts begin with 4; and three n-grams are not at a beginning.
    assert apart.fit([4, 5]).probabilities([])[4:6].tolist() == [1, 0]
    assert apart.count_params() == 4
    anywhere = fitted([4, 5], order=2, smoothing="mle", beginnings=False)
    assert anywhere.probabilities([])[4:6].tolist() == [0.5, 0.5]
    assert anywhere.count_params() == 3


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_how_texts_begin(smoothing):
    """All texts begin with "th"; elsewhere, "h" seldom follows "t"."""
    texts = [f"th{c}" + "atetitot" * 3 for c in "eiao"]
    for beginnings, least, most in ((True, 0.5, 1.0), (False, 0.0, 0.2)):
        config = NgramConfig(7, 3, smoothing, k=0.01, beginnings=beginnings)
        model = NgramLM(config)
        model.tokenizer = Tokenizer.characters("aehiot\n")
        model.fit(texts)
        found = model.probabilities("t")
        assert least <= found[model.tokenizer.encode("h")[0]] <= most
        assert model.probabilities("").sum() == pytest.approx(1, abs=1e-12)
        if beginnings:
            assert model.probabilities("").argmax() == model.tokenizer.encode("t")[0]
            assert model.generate("t", 1, temperature=0) == "th"
        # No text began with "o", and so it is as in the midst of one.
        o, at = model.probabilities("o"), model.tokenizer.encode("t")[0]
        assert np.exp(model.score("ot"))[0] == pytest.approx(o[at], abs=1e-12)
        if smoothing == "mle":
            assert o[at] == pytest.approx(12 / 13)  # "a" comes after "tho"


# === Saving ===


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_saved_and_loaded(smoothing, tmp_path):
    model = fitted(order=3, smoothing=smoothing, k=0.5)
    model.tokenizer = Tokenizer.characters("abcdefg")
    model.save_to_preset(tmp_path)
    loaded = NgramLM.from_preset(tmp_path)
    assert loaded.config == model.config
    assert loaded.tokenizer == model.tokenizer
    for context in contexts(2):
        ids = np.asarray(context, int)
        assert np.array_equal(loaded.probabilities(ids), model.probabilities(ids))
    loose = NgramLM.from_preset(tmp_path, strict=False)
    assert np.array_equal(loose.score(TEXTS[0]), model.score(TEXTS[0]))
    changed = NgramLM.from_preset(tmp_path, smoothing="add_k", k=2.0)
    again = fitted(order=3, smoothing="add_k", k=2.0)
    assert np.array_equal(changed.score(TEXTS[0]), again.score(TEXTS[0]))


def test_presets_of_before_beginnings_mean_what_they_meant(tmp_path):
    before = fitted(order=3, discount=0.75, beginnings=False)
    before.save_to_preset(tmp_path)
    file = tmp_path / "config.json"
    saved = json.loads(file.read_text())
    del saved["config"]["beginnings"]
    file.write_text(json.dumps(saved))
    loaded = NgramLM.from_preset(tmp_path)
    assert loaded.config == before.config
    plain = PlainNgrams(TEXTS, V, 3)
    for context in contexts(2):
        found = loaded.probabilities(np.asarray(context, int))
        by_hand = [plain.kneser_ney(0.75, token, context) for token in range(V)]
        assert np.abs(found - by_hand).max() < 1e-12
    modified = NgramLM.from_preset(tmp_path, discount=None)
    by_hand = [plain.kneser_ney(None, token, (0, 1)) for token in range(V)]
    assert np.abs(modified.probabilities([0, 1]) - by_hand).max() < 1e-12
    with pytest.raises(ValueError, match="beginnings must be False as in"):
        NgramLM.from_preset(tmp_path, beginnings=True)
    fitted(order=3).save_to_preset(tmp_path)
    with pytest.raises(ValueError, match="beginnings must be True as in"):
        NgramLM.from_preset(tmp_path, beginnings=False)


def test_presets_of_something_else(tmp_path):
    fitted(order=3).save_to_preset(tmp_path)
    with pytest.raises(ValueError, match="is a NgramLM, not a GPT. Use zoo.NgramLM"):
        GPT.from_preset(tmp_path)
    with pytest.raises(ValueError, match="Missing: order_4/counts, order_4/keys"):
        NgramLM.from_preset(tmp_path, order=4)
    with pytest.raises(ValueError, match="Leave dtype and name out"):
        NgramLM.from_preset(tmp_path, dtype="float16")
    with pytest.raises(ValueError, match="counted nothing yet"):
        NgramLM(NgramConfig(V)).save_to_preset(tmp_path / "new")


# === Errors ===


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"order": 0}, "order must be a whole number from 1, got 0"),
        ({"vocab_size": 2.5}, "vocab_size must be a whole number from 1, got 2.5"),
        ({"smoothing": "good"}, "smoothing must be one of .*'katz'.*got 'good'"),
        ({"k": 0}, "k must be above 0, got 0. Use smoothing='mle'"),
        ({"discount": 1.5}, r"discount must be in \(0, 1\], or None, got 1.5"),
    ],
)
def test_bad_configurations(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(NgramConfig(V), **fields)


def test_bad_requests():
    with pytest.raises(TypeError, match="NgramLM must be made from an NgramConfig"):
        NgramLM(V)
    model = NgramLM(NgramConfig(V))
    for request in (lambda: model.probabilities([1]), lambda: model.score([1, 2])):
        with pytest.raises(ValueError, match=r"counted nothing yet. Call fit\(ids\)"):
            request()
    for nothing in ([], [[]], [[], []]):
        with pytest.raises(ValueError, match="must have tokens to count"):
            model.fit(nothing)
    with pytest.raises(ValueError, match="Token ids must be from 0 to 6"):
        model.fit([1, 7])
    model = fitted()
    with pytest.raises(ValueError, match="context must be one text"):
        model.probabilities([[1], [2]])
    with pytest.raises(ValueError, match="Token ids must be from 0 to 6"):
        model.probabilities([7])
    with pytest.raises(ValueError, match="at least two tokens"):
        model.log_probs(np.asarray([1]))
    with pytest.raises(ValueError, match="must have from 2 to inf tokens.*got 1"):
        model.score([1])
