"""Questions about paragraphs, in the JSON of SQuAD.

Rajpurkar et al. 2016 (1.1), Rajpurkar et al. 2018 (2.0, with questions that the text
does not answer), Artetxe et al. 2020 (XQuAD).
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from zoo.data.tasks import Question, TaskDataset, folder_of, held_out


def load_squad(data_dir: Path | None = None) -> TaskDataset:
    """Loads `train-v*.json` and `dev-v*.json` of SQuAD 1.1 or 2.0; there is no test.

    Args:
        data_dir: The folder, or one with a subfolder `squad`.

    Raises:
        FileNotFoundError: There is not one file of each.
        ValueError: A file is not in the form of SQuAD.
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
    parts = zip(("train", "validation"), map(_articles, files), strict=True)
    return _dataset("squad", dict(parts), files)


def load_xquad(data_dir: Path | None = None, language: str = "en") -> TaskDataset:
    """Loads XQuAD of one language, 240 paragraphs of SQuAD's development set.

    It is one file: a tenth of the articles is for testing and as many for validation,
    drawn always alike.

    Args:
        data_dir: A folder that holds `xquad.LANGUAGE.json`, by itself or in `xquad`.
        language: As "en".
    """
    file = folder_of("xquad", data_dir) / f"xquad.{language}.json"
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}; pass its folder as data_dir")
    rest, test = held_out(_articles(file), 0.1)
    train, validation = held_out(rest, len(test) / len(rest))
    parts = {"train": train, "validation": validation, "test": test}
    return _dataset("xquad", parts, [file])


def _dataset(
    name: str, articles: Mapping[str, Sequence[tuple]], files: list[Path]
) -> TaskDataset:
    parts = {part: [*itertools.chain(*some)] for part, some in articles.items()}
    return TaskDataset.of(name, parts, files, licence="CC BY-SA 4.0")


def _articles(file: Path) -> list[tuple[Question, ...]]:
    """The questions of each article."""
    try:
        articles = json.loads(file.read_text("utf-8"))["data"]
        found = [
            tuple(
                _question(file, paragraph["context"], entry)
                for paragraph in article["paragraphs"]
                for entry in paragraph["qas"]
            )
            for article in articles
        ]
    except (
        json.JSONDecodeError,
        UnicodeDecodeError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        raise ValueError(f"{file} is not in the form of SQuAD: {error!r}") from error
    if not any(found):
        raise ValueError(f"{file} holds no questions")
    return found


def _question(file: Path, context: str, entry: dict) -> Question:
    answers = [] if entry.get("is_impossible") else entry["answers"]
    texts = tuple(answer["text"] for answer in answers)
    starts = tuple(answer["answer_start"] for answer in answers)
    for text, start in zip(texts, starts, strict=True):
        if not text or context[start : start + len(text)] != text:
            raise ValueError(
                f"question {entry['id']} of {file} has the answer {text!r}, and its "
                f"text has {context[start : start + len(text)]!r} at {start}"
            )
    return Question(entry["id"], entry["question"], context, texts, starts)
