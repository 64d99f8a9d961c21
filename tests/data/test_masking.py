"""Masking: rates, whole units, no special tokens; batches that resume."""

import itertools

import numpy as np
import pytest
import tokenizers as hugging_face

from zoo.data import (
    Collocations,
    Documents,
    MaskedBatches,
    Masking,
    Sequences,
    Tokenizer,
)
from zoo.data.pretraining.masking import SPAN_LENGTHS, SPAN_SHARES
from zoo.tokenizers.wordpiece import BERT_TOKENS

pytestmark = pytest.mark.host

B, T, M = 400, 128, 30
UNITS = ["token", "word", "span", Collocations({2: ((300, 301, 1), (400, 401))})]
SPECIAL = [0, 100, 101, 102, 103]


@pytest.fixture(scope="module")
def packed() -> np.ndarray:
    """Makes [CLS] words [SEP] words [SEP] [PAD] from the vocabulary `thousand`."""
    rng = np.random.default_rng(0)
    begins = rng.random((B, T)) < 0.7
    ids = np.where(
        begins, rng.integers(300, 1000, (B, T)), rng.integers(1, 100, (B, T))
    )
    ids[:, 0], ids[:, 40] = 101, 102
    ends = rng.integers(100, T, B)
    ids[np.arange(B), ends] = 102
    ids[np.arange(T) > ends[:, None]] = 0
    for start in range(1, 30, 6):
        ids[::2, start : start + 4] = 300, 301, 1, 500
        ids[1::2, start : start + 4] = 400, 401, 500, 501
    return ids


def unmasked(inputs: dict, original: np.ndarray) -> np.ndarray:
    """Puts the tokens back; also checks that nothing else was changed."""
    rows, places = np.nonzero(inputs["mask_weights"])
    restored = inputs["token_ids"].copy()
    columns = inputs["mask_positions"][rows, places]
    restored[rows, columns] = inputs["mask_ids"][rows, places]
    np.testing.assert_array_equal(restored, original)
    return np.stack([rows, columns], axis=1)


@pytest.mark.parametrize("unit", UNITS, ids=["token", "word", "span", "pmi"])
def test_shares(packed, thousand, unit):
    """Of 10 million tokens, 15 ± 0.1 % are chosen, and split 80/10/10 ± 0.3 %.

    N-grams are searched for one by one, so they are tested on fewer tokens.
    """
    rounds, chosen_error, error = 230, 0.001, 0.003
    if isinstance(unit, Collocations):
        rounds, chosen_error, error = 8, 0.003, 0.01
    masking = Masking(thousand, M, unit=unit)
    rng = np.random.default_rng(1)
    chosen = ordinary = 0
    kinds = np.zeros(3)
    inserted = []
    for _ in range(rounds):
        inputs = masking(packed, rng)
        rows, columns = unmasked(inputs, packed).T
        old, new = packed[rows, columns], inputs["token_ids"][rows, columns]
        assert not np.isin(old, SPECIAL).any()
        chosen += len(old)
        ordinary += (~np.isin(packed, SPECIAL)).sum()
        kinds += (
            (new == 103).sum(),
            ((new != 103) & (new != old)).sum(),
            (new == old).sum(),
        )
        inserted.append(new[(new != 103) & (new != old)])
    assert ordinary > 1e7 or isinstance(unit, Collocations)
    assert abs(chosen / ordinary - 0.15) < chosen_error
    np.testing.assert_allclose(kinds / chosen, [0.8, 0.1, 0.1], atol=error)
    inserted = np.concatenate(inserted)
    assert not np.isin(inserted, SPECIAL).any()
    assert len(np.unique(inserted)) > 900  # of 995


def test_places_are_in_order_and_unused_ones_weigh_nothing(packed, thousand):
    inputs = Masking(thousand, M)(packed, np.random.default_rng(0))
    positions, weights = inputs["mask_positions"], inputs["mask_weights"]
    assert positions.shape == weights.shape == inputs["mask_ids"].shape == (B, M)
    dtypes = {name: value.dtype.name for name, value in inputs.items()}
    assert dtypes == {
        "token_ids": "int32",
        "mask_positions": "int32",
        "mask_ids": "int32",
        "mask_weights": "float32",
    }
    assert (np.diff(weights, axis=1) <= 0).all()
    rising = np.diff(positions, axis=1) > 0
    assert rising[weights[:, 1:] > 0].all()
    assert not positions[weights == 0].any()
    assert not inputs["mask_ids"][weights == 0].any()


def test_every_place_is_as_likely(packed, thousand):
    rng = np.random.default_rng(2)
    row = np.repeat(packed[:1], 4000, axis=0)
    counts = np.zeros(T)
    for _ in range(5):
        places = unmasked(Masking(thousand, M)(row, rng), row)[:, 1]
        counts += np.bincount(places, minlength=T)
    ordinary = ~np.isin(row[0], SPECIAL)
    shares = counts[ordinary] / 20_000
    assert np.abs(shares - 0.15).max() < 5 * np.sqrt(0.15 * 0.85 / 20_000)


def whole(chosen: np.ndarray, ids: np.ndarray, begins: np.ndarray) -> None:
    """Each stretch from one begin to the next is chosen as a whole or not at all."""
    begins = begins | np.isin(ids, SPECIAL)
    begins[:, 1:] |= np.isin(ids[:, :-1], SPECIAL)
    numbers = np.cumsum(begins.ravel())
    size, taken = np.bincount(numbers), np.bincount(numbers, chosen.ravel())
    assert set(np.unique(taken[size > 0] / size[size > 0])) <= {0.0, 1.0}
    assert (taken > 1).sum() > 100


@pytest.mark.parametrize("unit", UNITS[1:], ids=["word", "span", "pmi"])
def test_words_are_whole(packed, thousand, unit):
    inputs = Masking(thousand, M, unit=unit)(packed, np.random.default_rng(0))
    chosen = np.zeros(packed.shape, bool)
    chosen[tuple(unmasked(inputs, packed).T)] = True
    whole(chosen, packed, packed >= 300)


def test_collocations_are_whole(packed, thousand):
    inputs = Masking(thousand, M, unit=UNITS[-1])(packed, np.random.default_rng(0))
    chosen = np.zeros(packed.shape, bool)
    chosen[tuple(unmasked(inputs, packed).T)] = True
    pairs = (packed[:, :-1] == 300) & (packed[:, 1:] == 301)
    pairs |= (packed[:, :-1] == 400) & (packed[:, 1:] == 401)
    assert pairs.sum() > 4 * B
    np.testing.assert_array_equal(chosen[:, :-1][pairs], chosen[:, 1:][pairs])


def test_tokens_are_not_whole(packed, thousand):
    inputs = Masking(thousand, M)(packed, np.random.default_rng(0))
    chosen = np.zeros(packed.shape, bool)
    chosen[tuple(unmasked(inputs, packed).T)] = True
    with pytest.raises(AssertionError):
        whole(chosen, packed, packed >= 300)


def test_spans_have_spanberts_lengths(thousand):
    """One span per sequence, since there is no room for more."""
    np.testing.assert_allclose(SPAN_SHARES @ SPAN_LENGTHS, 3.8, atol=0.01)
    ids = np.full((4000, 400), 500)
    ids[:, 0] = 101
    masking = Masking(thousand, 40, rate=0.05, unit="span")
    units, spans = masking._units(ids, ids == 101, np.random.default_rng(0))
    np.testing.assert_array_equal(units[0], np.arange(400))
    lengths = [np.bincount(row)[2:-1] for row in spans]  # the ends are cut
    shares = np.bincount(np.concatenate(lengths), minlength=11)[1:]
    np.testing.assert_allclose(shares / shares.sum(), SPAN_SHARES, atol=0.005)


def test_spans_fare_alike(thousand):
    ids = np.full((3000, 300), 500)
    ids[:, 0] = 101
    masking = Masking(thousand, 60, unit="span")
    inputs = masking(ids, np.random.default_rng(0))
    masked = inputs["token_ids"] == 103
    chosen = np.zeros(ids.shape, bool)
    chosen[tuple(unmasked(inputs, ids).T)] = True
    # Chosen neighbours mostly belong to one span.
    both = chosen[:, 1:] & chosen[:, :-1]
    alike = (masked[:, 1:] == masked[:, :-1])[both].mean()
    assert alike > 0.9  # 0.68 if each token were drawn by itself
    loose = Masking(thousand, 60)(ids, np.random.default_rng(0))["token_ids"] == 103
    assert loose.mean() == pytest.approx(masked.mean(), rel=0.02)


def test_no_more_than_the_places(packed, thousand):
    for unit in UNITS:
        inputs = Masking(thousand, 5, unit=unit)(packed, np.random.default_rng(0))
        unmasked(inputs, packed)
        assert inputs["mask_weights"].sum(axis=1).max() == 5
    all_of_them = Masking(thousand, T, rate=1.0)(packed, np.random.default_rng(0))
    counts = all_of_them["mask_weights"].sum(axis=1)
    np.testing.assert_array_equal(counts, (~np.isin(packed, SPECIAL)).sum(axis=1))


def test_nothing_to_mask(thousand):
    ids = np.array([[101, 102, 0, 0], [101, 100, 102, 0]])
    inputs = Masking(thousand, 4, rate=1.0)(ids, np.random.default_rng(0))
    np.testing.assert_array_equal(inputs["token_ids"], ids)
    assert not inputs["mask_weights"].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_masked": 0}, "max_masked must be at least 1, got 0"),
        ({"rate": 0.0}, "rate must be .*got 0.0"),
        ({"rate": 1.5}, "rate must be .*got 1.5"),
        ({"unit": "sentence"}, "unit must be one of .*'span'.* got 'sentence'"),
    ],
)
def test_masking_refuses(thousand, arguments, message):
    with pytest.raises(ValueError, match=message):
        Masking(thousand, **{"max_masked": 20, **arguments})


def test_masking_needs_mask(byte_pairs):
    with pytest.raises(ValueError, match=r"no token '\[MASK\]'"):
        Masking(byte_pairs, 20)


def test_masking_needs_to_know_what_is_special():
    names = {token: i for i, token in enumerate([*BERT_TOKENS, "a"])}
    plain = hugging_face.Tokenizer(hugging_face.models.WordLevel(names))
    with pytest.raises(ValueError, match=r"ordinary ones: \['\[PAD\]', '\[CLS\]'"):
        Masking(Tokenizer(plain), 20)


@pytest.fixture(scope="module")
def sequences(thousand) -> Sequences:
    starts = np.arange(50)[:, None] * 20 + [0, 10]
    tokens = np.random.default_rng(0).integers(300, 1000, 1000)
    labels = np.arange(50, dtype="int32") % 2
    return Sequences(tokens, starts, starts + 10, 30, thousand, labels)


def test_batches_are_what_a_pretrainer_takes(sequences, thousand):
    (inputs,) = MaskedBatches(sequences, Masking(thousand, 4), 8).batch(0)
    shapes = {name: (value.dtype.name, value.shape) for name, value in inputs.items()}
    assert shapes == {
        "token_ids": ("int32", (8, 30)),
        "segment_ids": ("int32", (8, 30)),
        "padding_mask": ("bool", (8, 30)),
        "mask_positions": ("int32", (8, 4)),
        "mask_ids": ("int32", (8, 4)),
        "mask_weights": ("float32", (8, 4)),
        "next_sentence": ("int32", (8,)),
    }


def test_batches_go_through_all_and_mask_anew(sequences, thousand):
    batches = MaskedBatches(sequences, Masking(thousand, 4), 10, seed=1)
    assert batches.steps_per_epoch == 5
    epochs = []
    for epoch in range(2):
        seen = {}
        for step in range(5):
            (inputs,) = batches.batch(5 * epoch + step)
            rows, places = np.nonzero(inputs["mask_weights"])
            ids = inputs["token_ids"].copy()
            ids[rows, inputs["mask_positions"][rows, places]] = inputs["mask_ids"][
                rows, places
            ]
            for row, masked in zip(ids, inputs["token_ids"], strict=True):
                seen[row.tobytes()] = masked.tobytes()
        epochs.append(seen)
    assert len(epochs[0]) == 50
    assert set(epochs[0]) == set(epochs[1])
    assert sum(epochs[0][row] == epochs[1][row] for row in epochs[0]) < 10


def test_batches_depend_on_seed_and_update_alone(sequences, thousand):
    def batches(seed, **shard):
        return MaskedBatches(sequences, Masking(thousand, 4), 10, seed=seed, **shard)

    stream = list(itertools.islice(batches(1).batches(7), 3))
    for update, (inputs,) in enumerate(stream, 7):
        (again,) = batches(1).batch(update)
        for name in inputs:
            np.testing.assert_array_equal(inputs[name], again[name])
    assert (batches(2).batch(7)[0]["token_ids"] != stream[0][0]["token_ids"]).any()
    shares = [batches(1, shard=(index, 2)).batch(7)[0] for index in range(2)]
    for name, value in stream[0][0].items():
        joined = np.concatenate([share[name] for share in shares])
        np.testing.assert_array_equal(joined, value)
    with pytest.raises(ValueError, match="must be a multiple of 3.*got 10"):
        batches(1, shard=(0, 3))
    with pytest.raises(ValueError, match="batch_size must be from 1 to 50.*got 60"):
        MaskedBatches(sequences, Masking(thousand, 4), 60)


def test_batches_are_what_they_were(sequences, thousand):
    """Fails if Grain or NumPy draw other numbers, so that older runs can't resume."""
    (inputs,) = MaskedBatches(sequences, Masking(thousand, 4), 2, seed=1).batch(10**6)
    assert inputs["mask_positions"].tolist() == [[1, 12, 20, 0], [12, 19, 20, 0]]


def test_full_sentences_have_no_next_sentence(thousand):
    from zoo.data import full_sentences

    documents = Documents(np.full(60, 500), np.arange(0, 61, 6), np.array([0, 10]))
    batches = MaskedBatches(
        full_sentences(documents, thousand, 16), Masking(thousand, 3), 2
    )
    assert "next_sentence" not in batches.batch(0)[0]
