"""Sentences with tagged words, one word per line, as in CoNLL's shared tasks.

Tjong Kim Sang & De Meulder 2003; Pan et al. 2017 (WikiANN).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.data.tasks.labelled import TaggedWords, TaskDataset, parts_in
from zoo.files.text_files import BadLines, OnBad, read_lines

SUFFIXES = (".conll", ".txt", ".bio")
TAG = re.compile(r"O|[BI]-.+")
# CoNLL-U numbers words from 1. These ids stand for several words at once, or for none.
NO_WORD = re.compile(r"\d+[-.]\d+")
DOCUMENT = "-DOCSTART-"

Lines = Sequence[str | None]
Sentence = tuple[list[str], list[str]]


@dataclass(frozen=True)
class Columns:
    """The columns of a file, and which of them hold words and tags.

    Attributes:
        tabs: whether tabs separate the columns, which then may contain blanks.
        count: the number of columns in each line.
        word: the column of words.
        tag: the column of tags; negative numbers count from the end.
    """

    tabs: bool
    count: int
    word: int
    tag: int

    @classmethod
    def of(cls, file: Path, lines: Lines, word: int | None, tag: int) -> "Columns":
        """Finds the columns from the first line that has a word.

        Raises:
            ValueError: there is no such line, a column does not exist, or the first
                column holds the numbers of the words instead of the words.
        """
        plain = [x for x in lines if x and _has_columns(x) and x[0] != "#"]
        if not plain:
            raise ValueError(
                f"{file} must have sentences, one word per line, got none."
            )
        columns = cls(any("\t" in line for line in plain), 0, word or 0, tag)
        columns = replace(columns, count=len(columns.cut(plain[0])))
        for name, place in (("word", columns.word), ("tag", tag)):
            if not -columns.count <= place < columns.count:
                raise ValueError(
                    f"{name} must be one of the {columns.count} columns in the first "
                    f"line of {file}, counted from 0, {plain[0]!r:.200}, got {place}."
                )
        if word is None and columns.number_words(lines):
            raise ValueError(
                f"The first column of {file} must hold words, got their numbers: "
                f"{plain[0]!r:.200}. Set word (--word-column) to the column of the "
                "words, from 0, and tag (--tag-column) to that of their tags."
            )
        return columns

    def cut(self, line: str) -> list[str]:
        """Splits a line into columns."""
        line = line.rstrip(" \t")
        cut = line.split("\t") if self.tabs else re.split(r"[ \t]+", line)
        return [column.strip(" ") for column in cut]

    def problem(self, cut: list[str]) -> str:
        """Says what a bad line must have; "" if the line is good."""
        if len(cut) != self.count:
            between = "tabs" if self.tabs else "blanks"
            hint = "" if self.tabs else " (words with blanks need tabs between columns)"
            return f"{self.count} columns separated by {between}, as the first{hint}"
        if not cut[self.word] or not TAG.fullmatch(cut[self.tag]):
            return (
                "a word and a tag that is O, B-TYPE or I-TYPE, in the columns, from 0, "
                "that word and tag (--word-column, --tag-column) name"
            )
        return ""

    def number_words(self, lines: Lines) -> bool:
        """Tells whether the first column counts words, from 1 in each sentence."""
        place = most = 0
        for line in lines:
            if line is None:
                place += 1
            elif not _has_columns(line):
                place = 0
            elif line[0] != "#" and not NO_WORD.fullmatch(first := self.cut(line)[0]):
                place += 1
                most = max(most, place)
                if first != str(place):
                    return False
        return most > 1


def load_conll(
    data_dir: Path | None = None,
    *,
    word: int | None = None,
    tag: int = -1,
    on_bad: OnBad = "error",
) -> TaskDataset:
    """Loads `train.conll`, `dev.conll` and `test.conll` (or `.txt`, `.bio`).

    A line holds a word, optional other columns, and a tag: O, or B-TYPE for the first
    word of an entity and I-TYPE for its other words. Columns are separated by tabs if
    the file has any, else by blanks, and all lines of a file have the same number of
    columns. A blank line ends a sentence, and comments before a sentence begin with #.
    Without a validation file, a tenth of the training part is used.

    Args:
        data_dir: the folder.
        word: the column of words, from 0. None means the first, and raises if that
            holds the numbers of the words.
        tag: the column of tags; -1 is the last.
        on_bad: what to do with a line that is not text, lacks a word or a tag, or has
            another number of columns: "error" raises at the first, "skip" leaves out
            the sentence.

    Raises:
        FileNotFoundError: there is no file to train on.
        ValueError: a line is bad, or the first column holds the numbers of the words.
    """
    return _load("conll", data_dir, on_bad, word=word, tag=tag)


def load_wikiann(
    data_dir: Path | None = None, *, on_bad: OnBad = "error"
) -> TaskDataset:
    """Loads WikiANN's entities of one language, from files as in `load_conll`.

    The language prefix of words, as in `en:London`, is removed.
    """
    return _load("wikiann", data_dir, on_bad, prefix=re.compile(r"[a-z-]+:"))


def _load(
    name: str,
    data_dir: Path | None,
    on_bad: OnBad,
    *,
    word: int | None = None,
    tag: int = -1,
    prefix: re.Pattern | None = None,
) -> TaskDataset:
    files = parts_in(name, data_dir, SUFFIXES)
    bad = BadLines(on_bad)
    parts = {}
    for part, file in files.items():
        lines = read_lines(file, bad)
        columns = Columns.of(file, lines, word, tag)
        parts[part] = _sentences(file, lines, columns, prefix, bad)
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
    return TaskDataset.of(name, examples, [*files.values()], bad, names)


def _sentences(
    file: Path,
    lines: Lines,
    columns: Columns,
    prefix: re.Pattern | None,
    bad: BadLines,
) -> list[Sentence]:
    """Returns the sentences that have no bad line."""
    sentences: list[Sentence] = []
    words: list[str] = []
    tags: list[str] = []
    whole = True
    for number, line in enumerate([*lines, ""], 1):
        if line is not None and not _has_columns(line):
            if words and whole:
                sentences.append((words, tags))
            words, tags, whole = [], [], True
            continue
        cut = columns.cut(line or "")
        if columns.word and NO_WORD.fullmatch(cut[0]):
            continue
        problem = columns.problem(cut)
        if problem and line and line[0] == "#" and not words:
            continue  # a comment
        if not problem and prefix and not prefix.match(cut[columns.word]):
            problem = (
                "a word with its language, as in en:London (for other words use "
                "load('conll'))"
            )
        if problem:
            whole = False
            if line is not None:  # a line that is not text is counted already
                place = f"line {number} of {file}"
                bad.found(f"{place} must have {problem}, got {line!r:.200}")
            continue
        word = cut[columns.word]
        words.append(prefix.sub("", word, count=1) if prefix else word)
        tags.append(cut[columns.tag])
    return sentences


def _has_columns(line: str | None) -> bool:
    """Tells whether a line has a word; other lines end a sentence."""
    return bool(line and line.strip() and not line.startswith(DOCUMENT))
