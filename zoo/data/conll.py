"""Sentences whose words are tagged, a word a line, as CoNLL's shared tasks have them.

Tjong Kim Sang & De Meulder 2003; Pan et al. 2017 (WikiANN).
"""

import re
from pathlib import Path

from zoo.data.tasks import (
    TaggedWords,
    TaskDataset,
    lines_of,
    parts_in,
)

SUFFIXES = (".conll", ".txt", ".bio")


def load_conll(data_dir: Path | None = None) -> TaskDataset:
    """Loads `train.conll`, `dev.conll` and `test.conll` (or `.txt`, `.bio`).

    A line holds a word, maybe other columns, and a tag: O, or B-TYPE for the first word
    of an entity and I-TYPE for its others. A blank line ends a sentence. A tenth of
    training is for validation if there is no other file of it.

    Args:
        data_dir: The folder.

    Raises:
        FileNotFoundError: There is no file to train on.
        ValueError: A line has no tag, or one of another form.
    """
    return _load("conll", data_dir)


def load_wikiann(data_dir: Path | None = None) -> TaskDataset:
    """Loads WikiANN's entities of one language, as `conll` in `data_dir`.

    The words' prefix, as in `en:London`, is dropped.
    """
    return _load("wikiann", data_dir, prefix=re.compile(r"[a-z-]+:"))


def _load(
    name: str, data_dir: Path | None, prefix: re.Pattern | None = None
) -> TaskDataset:
    files = parts_in(name, data_dir, SUFFIXES)
    parts = {part: _sentences(file, prefix) for part, file in files.items()}
    found = {tag for part in parts.values() for _, tags in part for tag in tags}
    names = ("O", *sorted(found - {"O"}))
    numbers = {tag: number for number, tag in enumerate(names)}
    examples = {
        part: tuple(
            TaggedWords(tuple(words), tuple(numbers[tag] for tag in tags))
            for words, tags in sentences
        )
        for part, sentences in parts.items()
    }
    return TaskDataset.of(name, examples, [*files.values()], names)


def _sentences(
    file: Path, prefix: re.Pattern | None
) -> list[tuple[list[str], list[str]]]:
    sentences: list[tuple[list[str], list[str]]] = [([], [])]
    for number, line in enumerate(lines_of(file), 1):
        if not line.strip():
            sentences.append(([], []))
            continue
        word, *others = re.split(r"[ \t]+", line.rstrip(" \t"))
        if word == "-DOCSTART-":
            sentences.append(([], []))
            continue
        if not word or not others or not re.fullmatch(r"O|[BI]-.+", others[-1]):
            raise ValueError(
                f"line {number} of {file} is {line!r}; expected a word and a tag that "
                "is O, B-TYPE or I-TYPE"
            )
        if prefix is not None:
            if not (found := prefix.match(word)):
                raise ValueError(
                    f"line {number} of {file} is {line!r}; expected a word with its "
                    "language, as in en:London; for others use load('conll')"
                )
            word = word[found.end() :]
        sentences[-1][0].append(word)
        sentences[-1][1].append(others[-1])
    return [sentence for sentence in sentences if sentence[0]]
