"""What a model makes of held-out texts, as shown while it trains."""

import numpy as np
import pytest

import zoo
from zoo.data import LabelledText, Question, TaggedWords, labelled_sequences
from zoo.evaluation.text.shown import (
    FilledMasks,
    GuessedWords,
    answered_questions,
    classified_texts,
    tagged_texts,
    valued_texts,
)

TEXTS = ["the cat sat", "a cat ran off"]
WORDS = zoo.Tokenizer.train_words(TEXTS, 30)
EXAMPLES = [LabelledText("the\ncat " + "x" * 200, 0), LabelledText("a", 1, "b")]


class Told:
    """Sequences of two examples, and a model that is told its outputs."""

    def __init__(self, *found):
        self.found = np.array(found)

    def __len__(self):
        return 2

    lengths, length = np.array([3, 3]), 8

    def batch(self, rows, length):
        return {"rows": rows}, rows

    def predict_probabilities(self, inputs):
        return self.found[inputs["rows"]]

    def predict(self, inputs, verbose):
        return self.found[inputs["rows"]]


@pytest.mark.host
def test_classes_and_values():
    model = Told([0.2, 0.8], [0.1, 0.9])
    first, second = classified_texts(model, EXAMPLES, model, ("no", "yes"))
    assert first == "the cat " + "x" * 151 + "… → yes (0.80); right: no"
    assert second == "a | b → yes (0.90)"
    model = Told([0.25], [2.0])
    assert valued_texts(model, EXAMPLES, model)[1] == "a | b → 2; right: 1"
    unknown = [LabelledText("a", None)] * 2
    model = Told([0.2, 0.8], [0.1, 0.9])
    assert classified_texts(model, unknown, model, "ny")[0] == "a → y (0.80)"


@pytest.mark.host
def test_tags_and_answers():
    sentence = TaggedWords(("anna", "saw", "rome"), (1, 0, 2))
    names = ("O", "PER", "LOC")
    assert tagged_texts([["PER", "LOC", "O"]], [sentence], names) == [
        "anna [PER] saw [LOC, not O] rome [O, not LOC]"
    ]
    questions = (
        Question("0", "where?", "in rome", ("rome",), (3,)),
        Question("1", "why?", "in rome", (), ()),
    )
    assert answered_questions(["rome", ""], questions) == [
        "where? → rome",
        "why? → (no answer)",
    ]
    assert answered_questions(["", "rome"], questions) == [
        "where? → (no answer); right: rome",
        "why? → rome; right: (no answer)",
    ]


def whole(texts, tokenizer):
    examples = [LabelledText(text, None) for text in texts]
    return labelled_sequences(examples, tokenizer, 8)


def test_masks_are_filled():
    pieces = zoo.Tokenizer.train_wordpiece(["cats sat"], 14)
    ids = pieces.encode("cats sat")
    assert [pieces.id_to_token(i) for i in ids] == ["cat", "##s", "s", "##at"]
    rows = np.array([[pieces.cls_id, *ids, pieces.sep_id, pieces.pad_id]])
    masked = {
        "token_ids": rows.copy(),
        "segment_ids": np.zeros_like(rows),
        "padding_mask": rows != pieces.pad_id,
        "mask_positions": np.array([[2, len(ids), 0]]),
        "mask_ids": np.array([[ids[1], ids[-1], 0]]),
        "mask_weights": np.array([[1.0, 1.0, 0.0]]),
    }
    config = zoo.BertConfig(pieces.vocab_size, 16, 1, 2, 8)
    model = zoo.BertPretrainer(config)
    model.tokenizer = pieces
    # Its bias alone decides, for the first of the right tokens.
    model.set_weights([np.zeros(w.shape) for w in model.get_weights()])
    model.masked_lm.bias.assign(np.eye(pieces.vocab_size)[ids[1]] * 9)
    shown = FilledMasks(model, masked)
    assert shown()["filled_masks"] == "cat[##s] s[##s, not ##at]"
    shown.masked["mask_weights"] = np.array([[0.0, 1.0, 0.0]])
    assert shown()["filled_masks"] == "cats s[##s, not ##at]"
    electra = zoo.Electra(zoo.Electra.Config(pieces.vocab_size, 16, 1, 4, 16))
    electra.tokenizer = pieces
    assert FilledMasks(electra, masked)()["filled_masks"].startswith("cat[")


def test_words_are_guessed_from_both_sides(monkeypatch):
    model = zoo.ELMo(zoo.ELMoConfig(WORDS.vocab_size, 1, 8))
    model.tokenizer = WORDS
    shown = GuessedWords(model, whole(TEXTS, WORDS))
    size = WORDS.vocab_size

    def perfect(token_ids, padding_mask):
        after, before = np.roll(token_ids, -1, axis=1), np.roll(token_ids, 1, axis=1)
        return {"forward": np.eye(size)[after], "backward": np.eye(size)[before]}

    plain = shown()["expected_words"]
    assert plain.splitlines()[0].split() == ["text", "the", "cat", "sat"]
    assert plain.count("from the right") == 2
    monkeypatch.setattr(shown, "_logits", perfect)
    lines = shown()["expected_words"].splitlines()
    for name in ("text", "from the left", "from the right"):
        found = [line for line in lines if line.startswith(f"{name} ")]
        assert [line[16:].split() for line in found] == [t.split() for t in TEXTS]
