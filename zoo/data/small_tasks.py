"""Small tasks that are made from other datasets, and need no download."""

from collections.abc import Callable

from zoo.data.datasets import TextDataset
from zoo.data.tasks.labelled import LabelledText, TaskDataset
from zoo.data.translation.animal_sentences import WHEN
from zoo.data.translation.parallel_texts import ParallelText

_TIMES = tuple(time.lower() for time, _ in WHEN)
# Verbs of animals at rest, in `rest_and_order`.
_AT_REST = ("sleep", "sit", "wait")


def classified_texts(
    data: TaskDataset | ParallelText,
    small_task: Callable[[ParallelText], TaskDataset],
    *,
    pairs: bool = True,
) -> TaskDataset:
    """Checks that a dataset's examples are texts with classes.

    Args:
        data: the dataset, or the sentences of "animal_sentences".
        small_task: gives those sentences their classes, such as `word_order`.
        pairs: whether an example may be a pair of texts.

    Raises:
        ValueError: the examples are not texts with classes.
    """
    if isinstance(data, ParallelText):
        data = small_task(data)
    example = data.train[0]
    labelled = isinstance(example, LabelledText) and bool(data.class_names)
    if not labelled or (example.pair and not pairs):
        raise ValueError(
            f"dataset must have classes of {'texts' if pairs else 'single texts'}, "
            f"got {data.name!r}. Use 'sst2', 'tsv' or 'animal_sentences'."
        )
    return data


def function_task(docs: TextDataset) -> TaskDataset:
    """Paragraphs of dataset "docs": do they mention functions?"""

    def examples(text: str, most: int) -> tuple[LabelledText, ...]:
        paragraphs = text.split("\n\n")[:most]
        return tuple(LabelledText(each, int("function" in each)) for each in paragraphs)

    return TaskDataset(
        "docs",
        examples(docs.train, 200),
        examples(docs.validation, 50),
        (),
        ("no", "yes"),
        docs.sha256,
        docs.origin,
        docs.licence,
    )


def word_order(sentences: ParallelText) -> TaskDataset:
    """Does an English sentence of "animal_sentences" begin with the time?

    Half of them begin with it, and half end with it, in the same words.

    Raises:
        ValueError: the sentences are of another dataset.
    """
    if sentences.name != "animal_sentences":
        raise ValueError(f"{sentences.name!r} are translations; they have no classes.")
    return _classified(sentences, _time_first, ("last", "first"))


def rest_and_order(sentences: ParallelText) -> TaskDataset:
    """Are the animals at rest, and does the sentence begin with the time?

    Sentences that begin with the time have the same words as those that do not.
    """

    def label(text: str) -> int:
        busy = not any(f" {verb}" in text for verb in _AT_REST)
        return 2 * busy + _time_first(text)

    names = ("at rest", "at rest, time first", "busy", "busy, time first")
    return _classified(sentences, label, names)


def _time_first(text: str) -> int:
    return int(text.lower().startswith(_TIMES))


def _classified(
    sentences: ParallelText, label: Callable[[str], int], names: tuple[str, ...]
) -> TaskDataset:
    """The English sentences of all parts, with their classes."""
    parts = (sentences.train, sentences.validation, sentences.test)
    train, validation, test = (
        tuple(LabelledText(text, label(text)) for text, _ in part) for part in parts
    )
    return TaskDataset(
        sentences.name,
        train,
        validation,
        test,
        names,
        sentences.sha256,
        sentences.origin,
        sentences.licence,
    )
