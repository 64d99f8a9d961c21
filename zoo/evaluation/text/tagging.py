"""Precision, recall and F1 of whole entities, as in CoNLL's `conlleval`.

Tjong Kim Sang & De Meulder 2003. Gives the same results as `seqeval` in its default
mode.
"""

from collections import Counter
from collections.abc import Sequence

Entity = tuple[str, int, int]


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of a sentence: (type, first word, last word).

    An entity begins at B-TYPE, or at an I-TYPE that follows O or another type, since
    models predict those too.

    Args:
        tags: "O", "B-TYPE" or "I-TYPE", one per word.

    Raises:
        ValueError: a tag has another form.
    """
    found: list[Entity] = []
    previous = "O"
    for place, tag in enumerate(tags):
        if tag != "O" and tag[:2] not in ("B-", "I-"):
            raise ValueError(
                f"Tags must be O, B-TYPE or I-TYPE, got tag {tag!r} at word {place}."
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
    """Precision, recall and F1 of entities with the right type and the right words.

    A division by zero gives 0.

    Args:
        labels: the true tags of each sentence.
        predictions: the predicted tags, of the same lengths.

    Returns:
        `precision`, `recall` and `f1` over all entities; `macro_f1`, the mean of the
        types' F1; and `TYPE/precision`, `TYPE/recall` and `TYPE/f1` of each type.

    Raises:
        ValueError: lengths differ, or a tag has another form.
    """
    lengths = [[len(tags) for tags in part] for part in (labels, predictions)]
    if lengths[0] != lengths[1]:
        raise ValueError(
            "labels and predictions must have one tag for each word of each sentence, "
            f"but labels have {sum(lengths[0])} tags in {len(lengths[0])} sentences, "
            f"predictions {sum(lengths[1])} in {len(lengths[1])}."
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
