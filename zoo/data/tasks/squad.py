"""Questions about paragraphs, in SQuAD's JSON format.

Rajpurkar et al. 2016 (1.1), Rajpurkar et al. 2018 (2.0, with unanswerable questions),
Artetxe et al. 2020 (XQuAD).
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.data.tasks.labelled import Question, TaskDataset, folder_of, held_out
from zoo.files.damaged import printable, reading
from zoo.files.surrogates import half_in
from zoo.files.text_files import BadLines, OnBad, read_whole


def load_squad(data_dir: Path | None = None, *, on_bad: OnBad = "error") -> TaskDataset:
    """Loads `train-v*.json` and `dev-v*.json` of SQuAD 1.1 or 2.0; no test part.

    Args:
        data_dir: the folder, or one with a subfolder `squad`.
        on_bad: what to do with a question that lacks an id, a text, or answers that
            occur in it: "error" raises at the first, "skip" leaves them out.

    Raises:
        FileNotFoundError: there is not exactly one file of each.
        ValueError: a file is not in SQuAD's format, or a question is bad.
    """
    folder = folder_of("squad", data_dir)
    files = []
    for part in ("train", "dev"):
        found = sorted(folder.glob(f"{part}-v*.json"))
        if len(found) != 1:
            raise FileNotFoundError(
                f"{folder} must hold one {part}-v1.1.json or {part}-v2.0.json, got "
                f"{[file.name for file in found]}."
            )
        files += found
    bad = BadLines(on_bad)
    train, validation = (_articles(file, bad) for file in files)
    return _dataset("squad", {"train": train, "validation": validation}, files, bad)


def load_xquad(
    data_dir: Path | None = None, language: str = "en", *, on_bad: OnBad = "error"
) -> TaskDataset:
    """Loads XQuAD in one language, 240 paragraphs of SQuAD's development set.

    XQuAD is a single file: a fixed random tenth of its articles is for testing, and as
    many are for validation.

    Args:
        data_dir: a folder that holds `xquad.LANGUAGE.json` or `xquad/` with that file.
        language: the language code, such as "en".
        on_bad: as in `load_squad`.
    """
    file = folder_of("xquad", data_dir) / f"xquad.{language}.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no file {file}. Pass its folder as data_dir."
        )
    bad = BadLines(on_bad)
    rest, test = held_out(_articles(file, bad), 0.1)
    train, validation = held_out(rest, len(test) / len(rest))
    parts = {"train": train, "validation": validation, "test": test}
    return _dataset("xquad", parts, [file], bad)


def _dataset(
    name: str,
    articles: Mapping[str, Sequence[tuple]],
    files: list[Path],
    bad: BadLines,
) -> TaskDataset:
    parts = {part: [*itertools.chain(*some)] for part, some in articles.items()}
    return TaskDataset.of(name, parts, files, bad, licence="CC BY-SA 4.0")


def _articles(file: Path, bad: BadLines) -> list[tuple[Question, ...]]:
    """Reads the questions of each article."""
    expected = "data: a list of articles with paragraphs, each with context and qas"
    with reading(file, expected, "It is not in the format of SQuAD 1.1 or 2.0."):
        found = [
            tuple(
                question
                for paragraph in article["paragraphs"]
                for entry in paragraph["qas"]
                if (question := _question(file, paragraph["context"], entry, bad))
            )
            for article in json.loads(read_whole(file))["data"]
        ]
    if not any(found):
        raise ValueError(
            f"{file} must hold questions, got none. {bad.first}".rstrip(". ") + "."
        )
    return found


def _question(file: Path, context: Any, entry: Any, bad: BadLines) -> Question | None:
    """Reads a question; None if it is bad."""
    given: dict[str, Any] = entry if isinstance(entry, dict) else {}
    name, asked = given.get("id"), given.get("question", "")
    answers: Any = [] if given.get("is_impossible") else given.get("answers")
    if problem := _problem(context, name, asked, answers):
        bad.found(f"question {printable(str(name))} of {file} {problem}")
        return None
    texts = tuple(answer["text"] for answer in answers)
    starts = tuple(answer["answer_start"] for answer in answers)
    return Question(str(name), asked, context, texts, starts)


def _problem(context: Any, name: Any, asked: Any, answers: Any) -> str:
    """Says what is wrong with a question; "" if nothing is."""
    if not isinstance(name, str | int):
        return f"must have an id that is a string, got {name!r:.80}"
    for field, text in (("question", asked), ("context", context)):
        if not isinstance(text, str) or not text.strip():
            return f"must have text as its {field}, got {text!r:.80}"
        if half := half_in(text):
            return f"has half of a surrogate pair in its {field} at {half.start()}"
    if not isinstance(answers, list):
        return f"must have a list of answers, got {answers!r:.80}"
    for answer in answers:
        text, start = (
            answer.get(key) if isinstance(answer, dict) else None
            for key in ("text", "answer_start")
        )
        if not isinstance(text, str) or not text or type(start) is not int or start < 0:
            return (
                "must have answers with text and the answer_start where it begins, got "
                f"{answer!r:.200}"
            )
        if context[start : start + len(text)] != text:
            return (
                f"must have the answer {text!r:.200} at {start} of its context, got "
                f"{context[start : start + len(text)]!r:.200} there"
            )
    return ""
