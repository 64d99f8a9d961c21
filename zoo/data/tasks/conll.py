"""Sentences whose words are tagged, a word a line, as CoNLL's shared tasks have them.

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
# CoNLL-U numbers words from 1; these are of several words at once, or of none.
NO_WORD = re.compile(r"\d+[-.]\d+")
DOCUMENT = "-DOCSTART-"

Lines = Sequence[str | None]
Sentence = tuple[list[str], list[str]]


@dataclass(frozen=True)
class Columns:
    """Where the words and tags of a file's lines stand.

    Attributes:
        tabs: Columns are separated by tabs, so that blanks are part of them.
        count: How many each line has.
        word: The place of words.
        tag: That of tags; negative from the end.
    """

    tabs: bool
    count: int
    word: int
    tag: int

    @classmethod
    def of(cls, file: Path, lines: Lines, word: int | None, tag: int) -> "Columns":
        """As the first line with a word has them.

        Raises:
            ValueError: There is none, the columns asked for are not there, or there is
                no word in the first one, but its number.
        """
        plain = [x for x in lines if x and _has_columns(x) and x[0] != "#"]
        if not plain:
            raise ValueError(f"{file} has no sentences; expected a word a line")
        columns = cls(any("\t" in line for line in plain), 0, word or 0, tag)
        columns = replace(columns, count=len(columns.cut(plain[0])))
        for name, place in (("word", columns.word), ("tag", tag)):
            if not -columns.count <= place < columns.count:
                raise ValueError(
                    f"{name}={place}; the first line of {file} has {columns.count} "
                    f"columns, counted from 0: {plain[0]!r:.200}"
                )
        if word is None and columns.number_words(lines):
            raise ValueError(
                f"the first column of {file} numbers the words: {plain[0]!r:.200}; set "
                "word (--word-column) to the column where they stand, from 0, and tag "
                "(--tag-column) to that of their tags"
            )
        return columns

    def cut(self, line: str) -> list[str]:
        """A line's columns."""
        line = line.rstrip(" \t")
        cut = line.split("\t") if self.tabs else re.split(r"[ \t]+", line)
        return [column.strip(" ") for column in cut]

    def problem(self, cut: list[str]) -> str:
        """What was expected of a line instead; "" if nothing is wrong."""
        if len(cut) != self.count:
            between = "tabs" if self.tabs else "blanks"
            hint = "" if self.tabs else ". Words with blanks need tabs between columns"
            return f"{self.count} columns between {between}, as in the first{hint}"
        if not cut[self.word] or not TAG.fullmatch(cut[self.tag]):
            return (
                "a word and a tag that is O, B-TYPE or I-TYPE; word and tag "
                "(--word-column, --tag-column) say in which columns, from 0"
            )
        return ""

    def number_words(self, lines: Lines) -> bool:
        """Whether the first column counts from 1 in each sentence."""
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

    A line holds a word, maybe other columns, and a tag: O, or B-TYPE for the first word
    of an entity and I-TYPE for its others. Columns are separated by tabs if there are
    any, else by blanks; all lines of a file have as many. A blank line ends a sentence,
    and comments before one begin with #. A tenth of training is for validation if there
    is no other file of it.

    Args:
        data_dir: The folder.
        word: The column of words, from 0. None is the first one, which is refused
            where it numbers the words.
        tag: The column of tags; -1 is the last one.
        on_bad: Of a line that is no text, or has no word, no tag or another number of
            columns: "error" refuses the first, "skip" leaves out its sentence.

    Raises:
        FileNotFoundError: There is no file to train on.
        ValueError: A line is bad, or the first column numbers the words.
    """
    return _load("conll", data_dir, on_bad, word=word, tag=tag)


def load_wikiann(
    data_dir: Path | None = None, *, on_bad: OnBad = "error"
) -> TaskDataset:
    """Loads WikiANN's entities of one language, as `conll` in `data_dir`.

    The words' prefix, as in `en:London`, is dropped.
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
    """Those without a bad line."""
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
                "a word with its language, as in en:London; for others use "
                "load('conll')"
            )
        if problem:
            whole = False
            if line is not None:  # else it is counted already
                place = f"line {number} of {file}"
                bad.found(f"{place} is {line!r:.200}; expected {problem}")
            continue
        word = cut[columns.word]
        words.append(prefix.sub("", word, count=1) if prefix else word)
        tags.append(cut[columns.tag])
    return sentences


def _has_columns(line: str | None) -> bool:
    """Whether a line has a word; others end a sentence."""
    return bool(line and line.strip() and not line.startswith(DOCUMENT))
