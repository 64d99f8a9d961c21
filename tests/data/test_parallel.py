"""Parallel text from files, as token pairs, and in batches."""

import gzip
import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from zoo.data import (
    PairBatches,
    ParallelText,
    TokenPairs,
    load,
    pairs_once,
    train_joint_bpe,
)
from zoo.data.translation.token_pairs import TokenRows

pytestmark = pytest.mark.host

DATA = Path(os.environ.get("ZOO_DATA", Path(__file__).parents[3] / "shared" / "data"))
PAIRS = (("A cat.", "Eine Katze."), ("Two cats.", "Zwei Katzen."))


def write(folder, **texts):
    for name, text in texts.items():
        data = text.encode()
        path = folder / name.replace("__", ".")
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return folder


def written(folder):
    return write(
        folder,
        train__en="A cat.\nTwo cats.\n",
        train__de__gz="Eine Katze.\r\nZwei Katzen.\n",
        val__en="A dog.",
        val__de="Ein Hund.",
        test_2016_flickr__en__gz="Dogs.\n",
        test_2016_flickr__de="Hunde.\n",
    )


def test_multi30k_s_layout(tmp_path):
    found = load("multi30k", written(tmp_path), expect=ParallelText)
    assert found.train == PAIRS
    assert found.validation == (("A dog.", "Ein Hund."),)
    assert found.test == (("Dogs.", "Hunde."),)
    assert (found.languages, found.origin) == (("en", "de"), str(tmp_path))
    assert len(repr(found)) < 300
    other = load("multi30k", tmp_path, source="de", target="en")
    assert other.train == tuple((b, a) for a, b in PAIRS)
    assert other.sha256 != found.sha256
    (tmp_path / "train.de").write_text("Eine Katze.\nZwei Katzen.\n")
    assert load("multi30k", tmp_path) == found  # compressed or not


def test_your_own_files(tmp_path):
    lines = "".join(f"line {i}\n" for i in range(20))
    write(tmp_path, train__en=lines, train__xx=lines.upper())
    found = load("parallel", tmp_path, source="en", target="xx")
    assert (len(found.train), len(found.validation), found.test) == (18, 2, ())
    assert all(a.upper() == b for a, b in found.train + found.validation)


def test_files_that_do_not_fit_are_refused(tmp_path):
    written(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no train.fr or train.fr.gz"):
        load("multi30k", tmp_path, target="fr")
    write(tmp_path, train__fr="Un chat.\nDeux chats.\n")
    with pytest.raises(FileNotFoundError, match="holds val.en, but no file .* 'fr'"):
        load("multi30k", tmp_path, target="fr")
    write(tmp_path, val__de="Ein\n\nHund.")
    with pytest.raises(ValueError, match="val.de must have .* none in line 2"):
        load("multi30k", tmp_path)
    write(tmp_path, val__de="Ein\nHund.")
    with pytest.raises(ValueError, match="val.en and val.de .* got 1 and 2"):
        load("multi30k", tmp_path)
    (tmp_path / "train.de.gz").write_bytes(b"no gzip")
    with pytest.raises(ValueError, match="train.de.gz is a damaged gzip file"):
        load("multi30k", tmp_path)
    with pytest.raises(ValueError, match="of TextDataset, got .* of ParallelText"):
        load("multi30k", written(tmp_path), expect=type(load("docs")))


def test_animal_sentences_need_nothing():
    found = load("animal_sentences", expect=ParallelText)
    pairs = found.train + found.validation + found.test
    assert len(set(pairs)) == len(pairs) == 4400
    assert found == load("animal_sentences")
    both = dict(pairs)
    numbers = [word for source in both for word in source.lower().split()]
    assert {"two", "nineteen", "thirty", "ninety-one"} <= set(numbers)
    for source, target in pairs:
        if source.startswith("At night thirty-one "):
            assert target.startswith("In der Nacht ")
            assert " einunddreißig " in target
    assert all(text[0].isupper() and text.endswith(".") for text in both.values())
    other = load("animal_sentences", source="de", target="en")
    assert other.test == tuple((b, a) for a, b in found.test)
    with pytest.raises(ValueError, match="must be en and de, got 'en' and 'fr'"):
        load("animal_sentences", target="fr")
    with pytest.raises(ValueError, match="don't read data_dir='here'"):
        load("animal_sentences", "here")


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "multi30k").is_dir(), reason="it is not there")
def test_multi30k_itself():
    found = load("multi30k", DATA)
    sizes = [len(part) for part in (found.train, found.validation, found.test)]
    assert sizes == [29_000, 1_014, 1_000]
    assert found.train[0][1].startswith("Zwei junge weiße Männer")


# === Token ids ===


@pytest.fixture(scope="module")
def tokenizer():
    return train_joint_bpe(PAIRS, 280)


def test_one_vocabulary_for_both_sides(tokenizer):
    assert [tokenizer.id_to_token(i) for i in range(3)] == ["<pad>", "<s>", "</s>"]
    for text in ("Katze", "cats", "ß"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer == train_joint_bpe(PAIRS, 280)
    with pytest.raises(ValueError, match="vocab_size must be at least 259.*got 258"):
        train_joint_bpe(PAIRS, 258)


def test_pairs_begin_end_and_are_padded(tokenizer):
    pairs = TokenPairs.of(PAIRS, tokenizer, 40)
    sources, targets = pairs.batch(np.array([1, 0]), 39)
    assert (sources.shape, targets.shape) == ((2, 39), (2, 40))
    assert sources.dtype == targets.dtype == "int32"
    for row, source, target in zip((1, 0), sources, targets, strict=True):
        first, second = (tokenizer.encode(text) for text in PAIRS[row])
        assert source[: len(first) + 1].tolist() == [*first, 2]
        assert target[: len(second) + 2].tolist() == [1, *second, 2]
        assert not source[len(first) + 1 :].any()
        assert not target[len(second) + 2 :].any()
        assert pairs.lengths[row] == max(len(first), len(second)) + 1


def test_long_pairs_are_left_out(tokenizer):
    pairs = (*PAIRS, ("A cat.", "qqqqqqqqq"))
    some = TokenPairs.of(pairs, tokenizer, 9)
    assert (len(some), some.left_out) == (2, 1)
    assert TokenPairs.of(pairs, tokenizer, 10).left_out == 0
    with pytest.raises(ValueError, match="at most length=2 tokens, got none among 2"):
        TokenPairs.of(PAIRS, tokenizer, 2)


# === Batches ===


def numbered(count=300) -> TokenPairs:
    """Makes pairs of known lengths, each filled with a token of its own."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 30, size=(2, count))
    rows = [
        [np.full(length, 3 + row) for row, length in enumerate(side)]
        for side in lengths
    ]
    return TokenPairs(*map(TokenRows.of, rows), pad_id=0)


def numbers(batches) -> list[int]:
    return [int(row[0]) - 3 for sources, _ in batches for row in sources]


def test_an_epoch_has_each_pair_at_most_once_in_few_shapes():
    pairs = numbered()
    batches = PairBatches(pairs, 256)
    epochs = [
        [batches.batch(epoch * batches.steps_per_epoch + i) for i in range(count)]
        for epoch in range(2)
        for count in [batches.steps_per_epoch]
    ]
    shapes = set()
    for epoch in epochs:
        seen = numbers(epoch)
        assert len(set(seen)) == len(seen) > 300 - 64
        for sources, targets in epoch:
            rows, length = sources.shape
            shapes.add((rows, length))
            assert targets.shape == (rows, length + 1)
            assert rows % 8 == 0 and length % 4 == 0
            assert rows * length <= 256 < (rows + 8) * length
            ours = [int(row[0]) - 3 for row in sources]
            assert pairs.lengths[ours].max() > length - 4
            for side, tokens in ((sources, pairs.sources), (targets, pairs.targets)):
                assert ((side > 0).sum(1) == tokens.lengths[ours]).all()
    assert len(shapes) == len({length for _, length in shapes}) <= 8
    assert numbers(epochs[0]) != numbers(epochs[1])
    lengths = [[sources.shape[1] for sources, _ in epoch] for epoch in epochs]
    assert lengths[0] != sorted(lengths[0], reverse=True)
    assert sorted(lengths[0]) == sorted(lengths[1])
    tokens = np.mean([(t[:, 1:] > 0).sum() for _, t in epochs[0] + epochs[1]])
    assert batches.target_tokens == pytest.approx(tokens, rel=0.02)


def test_the_order_is_a_function_of_seed_and_update():
    pairs = numbered()
    batches = PairBatches(pairs, 256, seed=1)
    later = batches.steps_per_epoch + 3
    for found, expected in zip(
        PairBatches(pairs, 256, seed=1).batches(later),
        itertools.islice(batches.batches(), later, later + 3),
        strict=False,
    ):
        assert all(
            np.array_equal(*sides) for sides in zip(found, expected, strict=True)
        )
    other = PairBatches(pairs, 256, seed=2)
    assert numbers([other.batch(0)]) != numbers([batches.batch(0)])


def test_all_once_to_evaluate_on():
    found = list(pairs_once(numbered(), 256))
    assert sorted(numbers(found)) == list(range(300))
    lengths = [sources.shape[1] for sources, _ in found]
    assert lengths == sorted(lengths, reverse=True)
    assert numbers(pairs_once(numbered(3), 256)) != []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_tokens": 200}, "batch_tokens must be at least 256.*got 200"),
        ({"batch_tokens": 100_000}, "300 pairs, which don't fill a batch, got 100000"),
        ({"batch_tokens": 256, "bucket": 0}, "bucket must be at least 1, got 0"),
        ({"batch_tokens": 256, "seed": -1}, "seed must be .*got -1"),
    ],
)
def test_bad_requests_say_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        PairBatches(numbered(), **options)


def test_bad_updates_say_what_is_wrong():
    batches = PairBatches(numbered(), 256)
    with pytest.raises(ValueError, match="update must be 0 or more, got -1"):
        batches.batch(-1)
    with pytest.raises(ValueError, match="start must be 0 or more, got -1"):
        batches.batches(-1)
