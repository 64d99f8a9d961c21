"""Datasets by name, as in `load("text", data_dir="my_novel.txt")`.

To add one, write a loader that takes `data_dir` and its own options, and name it
in `LOADERS`. Those of images are in `images.py`, `unpaired.py` and `outlines.py`, those
of labelled texts in `tsv.py`, `conll.py` and `squad.py`, those of translations in
`parallel.py`.
"""

import difflib
import hashlib
import inspect
import os
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from zoo.data import tfds
from zoo.data.images import loading as images
from zoo.data.images import outlines, unpaired
from zoo.data.tasks import conll, squad, tsv
from zoo.data.translation import animal_sentences
from zoo.data.translation import parallel_texts as parallel
from zoo.files.downloads import downloaded
from zoo.files.text_files import BadLines, OnBad, read_text

SHAKESPEARE_URL = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/"
    "tinyshakespeare/input.txt"
)
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"

BLANK_LINE = "\n\n"


@dataclass(frozen=True)
class TextDataset:
    """A text in two parts.

    Attributes:
        name: The name that `load` was given.
        train: The text to train on.
        validation: The text to evaluate on.
        sha256: Of both parts in this order, in UTF-8: report it with every figure.
        origin: Where the text came from.
        licence: What is known of its licence.
        left_out: How many bad lines were left out (`on_bad="skip"`).
    """

    name: str
    train: str = field(repr=False)
    validation: str = field(repr=False)
    sha256: str
    origin: str
    licence: str
    left_out: int = 0


def load(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    expect: type | tuple[type, ...] = object,
    **options: Any,
) -> Any:
    """Loads a dataset by its name.

    Args:
        name: One of `list_datasets()`; `tfds:NAME` is NAME of tensorflow-datasets.
        data_dir: The file or folder to read from, for datasets that take one.
        expect: The kinds of dataset that the caller can use.
        **options: Of the dataset: `size` and `channels` of `images` and `unpaired`,
            `most` of all images, the columns of `tsv` and `conll`, `language` of
            `xquad`, `source`, `target` and `test` of `multi30k` and `parallel`, and of
            `tfds:NAME` those that `load_tfds` names. Of all that read lines of text, or
            questions: `on_bad`, what becomes of those that can't be used. "error"
            refuses the first by file and line; "skip" leaves them out, counts them in
            `left_out`, and warns of how many and the first.

    Returns:
        A `TextDataset`, a `TaskDataset`, a `ParallelText`, an `ImageDataset` or an
        `UnpairedDataset`, as the name says; of `tfds:NAME`, as its features say.

    Raises:
        ValueError: The name is unknown, what was found is empty or damaged, or is of
            another kind than expected.
        TypeError: The dataset does not take an option.
        FileNotFoundError: `data_dir` does not hold the dataset.
    """
    on_bad = options.pop("on_bad", "error")
    folder = None if data_dir is None else Path(data_dir).expanduser()
    if name.startswith("tfds:") and name != "tfds:":
        found = load_tfds(name.removeprefix("tfds:"), folder, on_bad, **options)
        _check_kind(name, type(found), expect)
        return found
    if name not in LOADERS:
        close = difflib.get_close_matches(name, list_datasets(), n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(
            f"there is no dataset {name!r}{hint}; the names are "
            f"{', '.join(list_datasets())}, and your own files are "
            "load('text', data_dir=FILE_OR_FOLDER) or load('images', data_dir=FOLDER)"
        )
    loader = LOADERS[name]
    # Before it is read, and before options of another kind are refused.
    _check_kind(name, get_type_hints(loader)["return"], expect)
    if "on_bad" in inspect.signature(loader).parameters:
        options["on_bad"] = on_bad
    else:
        _refuse_skipping(name, on_bad)
    return loader(folder, **options)


def _refuse_skipping(name: str, on_bad: OnBad) -> None:
    if on_bad != "error":
        raise ValueError(
            f"on_bad={on_bad!r} is for lines of text files and tables, which {name!r} "
            "does not read; leave it out"
        )


def _check_kind(name: str, kind: type, expect: type | tuple[type, ...]) -> None:
    if not issubclass(kind, expect):
        kinds = expect if isinstance(expect, tuple) else (expect,)
        raise ValueError(
            f"{name!r} is of the kind {kind.__name__}; expected "
            f"{' or '.join(kind.__name__ for kind in kinds)}"
        )


def list_datasets() -> list[str]:
    """Returns the names that `load` takes."""
    return [*LOADERS, "tfds:NAME"]


def load_docs(data_dir: Path | None = None) -> TextDataset:
    """Loads the prose of Python's manual that `help()` shows; it needs no download.

    The manual repeats itself, so each paragraph is kept where it first occurs, in
    the order of the topics' names. Whole topics go to validation as long as that
    makes up at most a tenth of the text so far. It differs between Python versions.
    """
    from pydoc_data.topics import topics

    if data_dir is not None:
        raise ValueError(
            f"'docs' comes with Python and does not read data_dir={str(data_dir)!r}; "
            "for your own files use load('text', data_dir=FILE_OR_FOLDER)"
        )
    seen: set[str] = set()
    train: list[str] = []
    validation: list[str] = []
    num_validation = num_all = 0
    for _, topic in sorted(topics.items()):
        paragraphs = [p for p in dict.fromkeys(_paragraphs(topic)) if p not in seen]
        if not paragraphs:
            continue
        seen.update(paragraphs)
        text = BLANK_LINE.join(paragraphs)
        num_all += len(text)
        if num_validation + len(text) <= num_all / 10:
            validation.append(text)
            num_validation += len(text)
        else:
            train.append(text)
    return _dataset(
        "docs",
        BLANK_LINE.join(train),
        BLANK_LINE.join(validation),
        bad=BadLines(),
        origin=f"pydoc_data.topics of Python {platform.python_version()}",
        licence="PSF-2.0",
    )


def load_tinyshakespeare(
    data_dir: Path | None = None, *, on_bad: OnBad = "error"
) -> TextDataset:
    """Loads 1,115,394 characters of Shakespeare's plays, split as nanoGPT does.

    The text is `data_dir` if that is a file, `data_dir/input.txt`, or
    `data_dir/tinyshakespeare/input.txt`; without `data_dir` it is downloaded once
    and its checksum verified.
    """
    if data_dir is None:
        path = downloaded(
            "tinyshakespeare.txt",
            SHAKESPEARE_URL,
            SHAKESPEARE_SHA256,
            "put that file at FOLDER/input.txt and pass data_dir=FOLDER",
        )
    else:
        places = ("", "input.txt", "tinyshakespeare/input.txt")
        candidates = [data_dir / place for place in places]
        found = [candidate for candidate in candidates if candidate.is_file()]
        if not found:
            raise FileNotFoundError(
                "there is no tinyshakespeare text: "
                f"{' nor '.join(map(str, candidates))} is a file; pass its place as "
                "data_dir, or none to download it"
            )
        path = found[0]
    bad = BadLines(on_bad)
    return _dataset(
        "tinyshakespeare",
        *_first_nine_tenths(read_text(path, bad), str(path)),
        bad=bad,
        origin=SHAKESPEARE_URL,
        licence="public domain",
    )


def load_text(data_dir: Path | None = None, *, on_bad: OnBad = "error") -> TextDataset:
    """Loads a text file, or a folder's `*.txt` in the order of their names.

    Files are joined by blank lines. The first nine tenths of the characters are
    for training.

    Args:
        data_dir: The file or folder.
        on_bad: Of lines that are not UTF-8 or have NUL characters: "error" refuses the
            first, "skip" leaves them out.
    """
    if data_dir is None:
        raise ValueError(
            "'text' reads your own files: pass data_dir=FILE or a folder of *.txt"
        )
    if data_dir.is_dir():
        paths = sorted(path for path in data_dir.glob("*.txt") if path.is_file())
        if not paths:
            raise FileNotFoundError(
                f"the folder {data_dir} holds no *.txt file; pass a text file or a "
                "folder that holds some"
            )
    elif data_dir.is_file():
        paths = [data_dir]
    else:
        raise FileNotFoundError(
            f"there is no file or folder {data_dir}; pass a text file or a folder of "
            "*.txt as data_dir"
        )
    bad = BadLines(on_bad)
    texts = filter(None, (read_text(path, bad) for path in paths))
    return _dataset(
        "text",
        *_first_nine_tenths(BLANK_LINE.join(texts), str(data_dir)),
        bad=bad,
        origin=str(data_dir),
        licence="unknown",
    )


def load_tfds(
    name: str,
    data_dir: Path | None = None,
    on_bad: OnBad = "error",
    **options: Any,
) -> TextDataset | images.ImageDataset:
    """Loads a dataset of tensorflow-datasets, preparing it if need be.

    One with an image feature is an `ImageDataset` unless `text_key` asks for its text
    (file names are text features too); any other is a `TextDataset`.

    Args:
        name: The dataset, such as `lm1b`, with its config and version if wanted.
        data_dir: Where prepared datasets lie; tensorflow-datasets' own place if None.
        on_bad: Of texts that are not UTF-8: "error" refuses the first, "skip" leaves
            them out.
        **options: `text_key="text"`, the feature to read; of images see
            `zoo.data.images.loading.from_tfds`.
    """
    builder = tfds.prepared(name, data_dir)
    if "text_key" not in options and tfds.features(builder, "Image"):
        _refuse_skipping(f"tfds:{name}", on_bad)
        return images.from_tfds(name, builder, **options)
    return _text_from_tfds(name, builder, BadLines(on_bad), **options)


def _text_from_tfds(
    name: str, builder: Any, bad: BadLines, text_key: str = "text"
) -> TextDataset:
    """Joins examples by blank lines.

    Validation is the split `validation`, else `test`, else the last tenth of
    `train`'s characters.
    """
    texts = tfds.features(builder, "Text")
    if text_key not in texts:
        raise ValueError(
            f"'tfds:{name}' has no text feature {text_key!r}; pass text_key= one of "
            f"{texts or 'none: it holds no text'}"
        )
    held_out = tfds.held_out(builder, name, ("validation", "test"))

    def read(split: str) -> str:
        texts = []
        for number, example in enumerate(tfds.examples(builder, split)):
            try:
                texts.append(example[text_key].decode("utf-8"))
            except UnicodeDecodeError as error:
                place = f"example {number} of {split!r} in 'tfds:{name}'"
                bad.found(f"{place} is not UTF-8 text: {error}")
        return BLANK_LINE.join(texts)

    if held_out is None:
        parts = _first_nine_tenths(read("train"), f"'tfds:{name}'")
    else:
        parts = read("train"), read(held_out)
    return _dataset(f"tfds:{name}", *parts, bad=bad, **tfds.provenance(builder))


LOADERS: dict[str, Callable[..., Any]] = {
    "digits": images.load_digits,
    "images": images.load_images,
    "mnist": images.load_mnist,
    "unpaired": unpaired.load_unpaired,
    "digit_outlines": outlines.load_digit_outlines,
    "small_digit_outlines": outlines.load_small_digit_outlines,
    "conll": conll.load_conll,
    "mrpc": tsv.load_mrpc,
    "animal_sentences": animal_sentences.load_animal_sentences,
    "multi30k": parallel.load_multi30k,
    "parallel": parallel.load_parallel,
    "squad": squad.load_squad,
    "sst2": tsv.load_sst2,
    "tsv": tsv.load_tsv,
    "wikiann": conll.load_wikiann,
    "xquad": squad.load_xquad,
    "docs": load_docs,
    "text": load_text,
    "tinyshakespeare": load_tinyshakespeare,
}


def _dataset(
    name: str,
    train: str,
    validation: str,
    *,
    bad: BadLines,
    origin: str,
    licence: str,
) -> TextDataset:
    for part, text in (("training", train), ("validation", validation)):
        if not text:
            raise ValueError(f"the {part} text of {name!r} ({origin}) is empty")
    digest = hashlib.sha256((train + validation).encode("utf-8")).hexdigest()
    bad.warn(name)
    return TextDataset(name, train, validation, digest, origin, licence, bad.count)


def _paragraphs(text: str) -> list[str]:
    return [p for p in re.split(r"\n{2,}", text.strip("\n")) if p.strip()]


def _first_nine_tenths(text: str, origin: str) -> tuple[str, str]:
    if len(text) < 2:
        raise ValueError(
            f"{origin} is empty: {len(text)} characters cannot be split into training "
            "and validation; pass a longer text"
        )
    cut = int(len(text) * 0.9)  # nanoGPT's
    return text[:cut], text[cut:]
