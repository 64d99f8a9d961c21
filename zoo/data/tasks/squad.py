"""Questions about paragraphs, in the JSON of SQuAD.

Rajpurkar et al. 2016 (1.1), Rajpurkar et al. 2018 (2.0, with questions that the text
does not answer), Artetxe et al. 2020 (XQuAD).
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
    """Loads `train-v*.json` and `dev-v*.json` of SQuAD 1.1 or 2.0; there is no test.

    Args:
        data_dir: The folder, or one with a subfolder `squad`.
        on_bad: Of a question without a name, a text or answers that stand in it:
            "error" refuses the first, "skip" leaves them out.

    Raises:
        FileNotFoundError: There is not one file of each.
        ValueError: A file is not in the form of SQuAD, or a question is bad.
    """
    folder = folder_of("squad", data_dir)
    files = []
    for part in ("train", "dev"):
        found = sorted(folder.glob(f"{part}-v*.json"))
        if len(found) != 1:
            raise FileNotFoundError(
                f"{folder} holds {[file.name for file in found]}; expected one "
                f"{part}-v1.1.json or {part}-v2.0.json"
            )
        files += found
    bad = BadLines(on_bad)
    train, validation = (_articles(file, bad) for file in files)
    return _dataset("squad", {"train": train, "validation": validation}, files, bad)


def load_xquad(
    data_dir: Path | None = None, language: str = "en", *, on_bad: OnBad = "error"
) -> TaskDataset:
    """Loads XQuAD of one language, 240 paragraphs of SQuAD's development set.

    It is one file: a tenth of the articles is for testing and as many for validation,
    drawn always alike.

    Args:
        data_dir: A folder that holds `xquad.LANGUAGE.json`, by itself or in `xquad`.
        language: As "en".
        on_bad: See `load_squad`.
    """
    file = folder_of("xquad", data_dir) / f"xquad.{language}.json"
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}; pass its folder as data_dir")
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
    """The questions of each article."""
    expected = "data: a list of articles with paragraphs, each with context and qas"
    with reading(file, expected, "It is not in the form of SQuAD 1.1 or 2.0."):
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
        raise ValueError(f"{file} holds no questions. {bad.first}".rstrip(". "))
    return found


def _question(file: Path, context: Any, entry: Any, bad: BadLines) -> Question | None:
    """A question, or None if it is bad."""
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
    """What is wrong with a question; "" if nothing is."""
    if not isinstance(name, str | int):
        return "is not in the form of SQuAD: its id is no string"
    for field, text in (("question", asked), ("context", context)):
        if not isinstance(text, str) or not text.strip():
            return f"has the {field} {text!r:.80}; expected text"
        if half := half_in(text):
            return f"has half of a surrogate pair in its {field} at {half.start()}"
    if not isinstance(answers, list):
        return f"has the answers {answers!r:.80}; expected a list"
    for answer in answers:
        text, start = (
            answer.get(key) if isinstance(answer, dict) else None
            for key in ("text", "answer_start")
        )
        if not isinstance(text, str) or not text or type(start) is not int or start < 0:
            return (
                f"has the answer {answer!r:.200}; expected text and the answer_start "
                "where it begins"
            )
        if context[start : start + len(text)] != text:
            return (
                f"has the answer {text!r:.200}, and its text has "
                f"{context[start : start + len(text)]!r:.200} at {start}"
            )
    return ""
