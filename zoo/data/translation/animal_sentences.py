"""Sentences in English and German that need no download.

The vocabulary is small, but translating takes more than looking up words: German puts
the verb second, the time before the place, and the ones before the tens.
"""

from pathlib import Path

import numpy as np

from zoo.data.translation.parallel_texts import Pair, ParallelText

LANGUAGES = ("en", "de")

ONES = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
EINER = (
    "ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn "
    "fünfzehn sechzehn siebzehn achtzehn neunzehn"
).split()
ZEHNER = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()

WHEN = (
    ("today", "heute"),
    ("now", "jetzt"),
    ("often", "oft"),
    ("at night", "in der Nacht"),
    ("on Sundays", "sonntags"),
    ("in the morning", "am Morgen"),
)
LOOKS = (
    ("old", "alte"),
    ("young", "junge"),
    ("small", "kleine"),
    ("big", "große"),
    ("black", "schwarze"),
    ("tired", "müde"),
)
ANIMALS = (
    ("dogs", "Hunde"),
    ("cats", "Katzen"),
    ("birds", "Vögel"),
    ("horses", "Pferde"),
    ("cows", "Kühe"),
    ("mice", "Mäuse"),
    ("frogs", "Frösche"),
    ("bears", "Bären"),
)
VERBS = (
    ("sleep", "schlafen"),
    ("play", "spielen"),
    ("sit", "sitzen"),
    ("wait", "warten"),
    ("eat", "fressen"),
    ("sing", "singen"),
)
WHERE = (
    ("in the garden", "im Garten"),
    ("on the roof", "auf dem Dach"),
    ("at the lake", "am See"),
    ("under the tree", "unter dem Baum"),
    ("behind the barn", "hinter der Scheune"),
    ("in front of the house", "vor dem Haus"),
)
# The time comes first in half of all sentences.
PATTERNS = (
    (
        "{when} {number} {looks} {animals} {verb} {where}.",
        "{when} {verb} {number} {looks} {animals} {where}.",
    ),
    (
        "{number} {looks} {animals} {verb} {where} {when}.",
        "{number} {looks} {animals} {verb} {when} {where}.",
    ),
)
SIZES = {"train": 4000, "validation": 200, "test": 200}


def load_animal_sentences(
    data_dir: Path | None = None, *, source: str = "en", target: str = "de"
) -> ParallelText:
    """Loads a fixed sample of distinct sentences from a small grammar.

    One pair is "At night two old dogs sleep at the lake." and "In der Nacht schlafen
    zwei alte Hunde am See."
    """
    if data_dir is not None:
        raise ValueError(
            "'animal_sentences' are generated and don't read data_dir="
            f"{str(data_dir)!r}. For your own files use load('parallel', ...)."
        )
    if {source, target} != set(LANGUAGES):
        raise ValueError(
            "source and target of 'animal_sentences' must be "
            f"{' and '.join(LANGUAGES)}, got {source!r} and {target!r}."
        )
    sides = [LANGUAGES.index(language) for language in (source, target)]
    words = {
        "when": WHEN,
        "number": tuple(map(_number, range(2, 100))),
        "looks": LOOKS,
        "animals": ANIMALS,
        "verb": VERBS,
        "where": WHERE,
    }
    shape = (len(PATTERNS), *map(len, words.values()))
    drawn = np.random.default_rng(0).choice(
        np.prod(shape), sum(SIZES.values()), replace=False
    )
    pairs = []
    for pattern, *chosen in zip(*np.unravel_index(drawn, shape), strict=True):
        slots = {k: v[i] for (k, v), i in zip(words.items(), chosen, strict=True)}
        first, second = (_sentence(pattern, slots, side) for side in sides)
        pairs.append((first, second))
    ends = np.cumsum([0, *SIZES.values()])
    parts = {
        part: tuple(pairs[start:stop])
        for part, start, stop in zip(SIZES, ends[:-1], ends[1:], strict=True)
    }
    return ParallelText.of(
        "animal_sentences", (source, target), parts, "zoo.data", "Apache-2.0"
    )


def _sentence(pattern: int, slots: dict[str, Pair], side: int) -> str:
    words = {name: pair[side] for name, pair in slots.items()}
    text = PATTERNS[pattern][side].format(**words)
    return text[0].upper() + text[1:]


def _number(number: int) -> Pair:
    """Spells a number from 2 to 99 in both languages."""
    tens, ones = divmod(number, 10)
    if tens < 2:
        return ONES[number - 1], EINER[number - 1]
    ten, zehner = TENS[tens - 2], ZEHNER[tens - 2]
    if not ones:
        return ten, zehner
    return f"{ten}-{ONES[ones - 1]}", f"{EINER[ones - 1]}und{zehner}"
