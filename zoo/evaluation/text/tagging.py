"""Precision, recall and F1 of whole entities, as CoNLL's `conlleval` counts them.

Tjong Kim Sang & De Meulder 2003. Equal to `seqeval` in its default mode.
"""

from collections import Counter
from collections.abc import Sequence

Entity = tuple[str, int, int]


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of a sentence: (type, first word, last word).

    One begins at B-TYPE, and where there is no such tag, at the first I-TYPE after
    another type or O: models write those too.

    Args:
        tags: "O", "B-TYPE" or "I-TYPE", one a word.

    Raises:
        ValueError: A tag is of another form.
    """
    found: list[Entity] = []
    previous = "O"
    for place, tag in enumerate(tags):
        if tag != "O" and tag[:2] not in ("B-", "I-"):
            raise ValueError(
                f"tag {tag!r} at word {place}; expected O, B-TYPE or I-TYPE"
            )
        kind = tag[2:]
        if tag[0] == "I" and previous != "O" and previous[2:] == kind:
            found[-1] = (kind, found[-1][1], place)
        elif tag != "O":
            found.append((kind, place, place))
        previous = tag
    return found


def entity_metrics(
    labels: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]
) -> dict[str, float]:
    """How many entities are found, of the right type and with the right words.

    What is divided by zero is 0.

    Args:
        labels: The sentences' tags.
        predictions: Those predicted, of the same lengths.

    Returns:
        `precision`, `recall` and `f1` over all entities; `macro_f1`, the mean of the
        types' F1; and `TYPE/precision`, `TYPE/recall` and `TYPE/f1` of each type.
    """
    lengths = [[len(tags) for tags in part] for part in (labels, predictions)]
    if lengths[0] != lengths[1]:
        raise ValueError(
            f"labels have {sum(lengths[0])} tags in {len(lengths[0])} sentences, "
            f"predictions {sum(lengths[1])} in {len(lengths[1])}; expected a tag for "
            "each word of each sentence"
        )
    there: Counter[str] = Counter()
    named: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for label, prediction in zip(labels, predictions, strict=True):
        true, guessed = set(entities(label)), set(entities(prediction))
        for counter, part in (
            (there, true),
            (named, guessed),
            (right, true & guessed),
        ):
            counter.update(kind for kind, *_ in part)
    scores = _scores(right.total(), named.total(), there.total())
    kinds = sorted(there | named)
    by_kind = {kind: _scores(right[kind], named[kind], there[kind]) for kind in kinds}
    f1 = [found["f1"] for found in by_kind.values()]
    return (
        scores
        | {"macro_f1": sum(f1) / max(len(f1), 1)}
        | {
            f"{kind}/{name}": value
            for kind, found in by_kind.items()
            for name, value in found.items()
        }
    )


def _scores(right: int, named: int, there: int) -> dict[str, float]:
    return {
        "precision": right / max(named, 1),
        "recall": right / max(there, 1),
        "f1": 2 * right / max(named + there, 1),
    }
