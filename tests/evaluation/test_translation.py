"""BLEU against its definition, and signatures."""

import math
from collections import Counter

import pytest

from zoo.evaluation import translation_metrics

pytestmark = pytest.mark.host

TRANSLATIONS = [
    "ein Hund läuft durch den Schnee",
    "zwei Kinder spielen im Park mit Bällen",
]
REFERENCES = [
    "ein Hund läuft im tiefen Schnee",
    "zwei Kinder spielen im Park mit einem Ball",
]


def ngrams(words, order):
    return Counter(zip(*(words[i:] for i in range(order)), strict=False))


def bleu(translations, references) -> float:
    """Computes BLEU on blank-separated words: Papineni et al. 2002, section 2.3."""
    pairs = [
        (a.split(), b.split()) for a, b in zip(translations, references, strict=True)
    ]
    logs = 0.0
    for order in range(1, 5):
        right = sum((ngrams(a, order) & ngrams(b, order)).total() for a, b in pairs)
        logs += math.log(right / sum(len(a) - order + 1 for a, _ in pairs)) / 4
    ours, theirs = (sum(len(pair[i]) for pair in pairs) for i in (0, 1))
    return 100 * math.exp(logs + min(0, 1 - theirs / ours))


def test_bleu_is_the_paper_s():
    found = translation_metrics(TRANSLATIONS, REFERENCES)
    assert found["bleu"] == pytest.approx(bleu(TRANSLATIONS, REFERENCES), rel=1e-9)
    assert 0 < found["bleu"] < found["chrf"] < 100
    assert "tok:13a" in found["bleu_signature"]
    assert "nc:6" in found["chrf_signature"]


def test_the_reference_itself_is_perfect():
    found = translation_metrics(REFERENCES, REFERENCES)
    assert found["bleu"] == pytest.approx(100)
    assert found["chrf"] == pytest.approx(100)


def test_every_translation_needs_a_reference():
    with pytest.raises(ValueError, match="2 translations for 1 references"):
        translation_metrics(TRANSLATIONS, REFERENCES[:1])
    with pytest.raises(ValueError, match="0 translations for 0 references"):
        translation_metrics([], [])
