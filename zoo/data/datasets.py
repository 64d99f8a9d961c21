"""Datasets by name, as in `load("text", data_dir="my_novel.txt")`.

To add a dataset, write a loader that takes `data_dir` and its own options, and list it
in `LOADERS`. The loaders of plain text are here, those of images in `images/`, those of
labelled texts in `tasks/`, and those of translations in `translation/`.
"""

import hashlib
import inspect
import os
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from zoo.data import frames, huggingface, tfds
from zoo.data.images import loading as images
from zoo.data.images import outlines, unpaired
from zoo.data.tasks import conll, squad, tsv
from zoo.data.translation import animal_sentences
from zoo.data.translation import parallel_texts as parallel
from zoo.files.downloads import downloaded
from zoo.files.text_files import BadLines, OnBad, read_text
from zoo.store.names import nearest_hint

SHAKESPEARE_URL = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/"
    "tinyshakespeare/input.txt"
)
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"

BLANK_LINE = "\n\n"


@dataclass(frozen=True)
class TextDataset:
    """A text, split into a training and a validation part.

    Attributes:
        name: the name passed to `load`.
        train: the text to train on.
        validation: the text to evaluate on.
        sha256: the hash of both parts, in this order and in UTF-8. Report it with
            every figure.
        origin: where the text came from.
        licence: its licence, as far as it is known.
        left_out: the number of bad lines that were skipped (`on_bad="skip"`).
    """

    name: str
    train: str = field(repr=False)
    validation: str = field(repr=False)
    sha256: str
    origin: str
    licence: str
    left_out: int = 0


def load(
    name: Any,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    expect: type | tuple[type, ...] = object,
    **options: Any,
) -> Any:
    """Loads a dataset by its name.

    Args:
        name: one of `list_datasets()`; `tfds:NAME` loads NAME from
            tensorflow-datasets, and `hf:NAME` or `hf:NAME:CONFIG` from Hugging Face's
            `datasets`. Or the data themselves: a `pandas.DataFrame`, a
            `datasets.Dataset`, or a dict of such tables by part, `train`, `validation`
            and `test`.
        data_dir: the file or folder to read from, for datasets that take one.
        expect: the dataset classes that the caller can use.
        **options: options of the dataset: `size` and `channels` for `images` and
            `unpaired`, `most` for all images, the columns for `tsv` and `conll`,
            `language` for `xquad`, `source`, `target` and `test` for `multi30k` and
            `parallel`, those of `load_tfds` for `tfds:NAME`, of
            `zoo.data.huggingface.load_datasets` for `hf:NAME`, and of
            `zoo.data.frames.load_frame` for tables of pandas. All datasets made of
            lines or questions take `on_bad`, which says what to do with unusable ones:
            "error" raises at the first and names its file and line; "skip" leaves them
            out, counts them in `left_out`, and warns with the count and the first.

    Returns:
        A `TextDataset`, `TaskDataset`, `ParallelText`, `ImageDataset` or
        `UnpairedDataset`, depending on the name; for `tfds:NAME` and `hf:NAME`, on its
        features.

    Raises:
        ValueError: the name is unknown, the data is empty or damaged, or the dataset
            is not one of the expected classes.
        TypeError: the dataset does not take an option.
        FileNotFoundError: `data_dir` does not hold the dataset.
    """
    on_bad = options.pop("on_bad", "error")
    folder = None if data_dir is None else Path(data_dir).expanduser()
    if not isinstance(name, str):
        found = _of_tables(name, folder, on_bad, **options)
        _check_kind(found.name, type(found), expect)
        return found
    if name.startswith(huggingface.PREFIX) and name != huggingface.PREFIX:
        data = huggingface.read(name.removeprefix(huggingface.PREFIX), folder)
        found = _of_datasets(name, data, on_bad, **options)
        _check_kind(name, type(found), expect)
        return found
    if name.startswith("tfds:") and name != "tfds:":
        found = load_tfds(name.removeprefix("tfds:"), folder, on_bad, **options)
        _check_kind(name, type(found), expect)
        return found
    check_name(name)
    loader = LOADERS[name]
    # Before anything is read, and before options of another kind are refused.
    _check_kind(name, get_type_hints(loader)["return"], expect)
    if "on_bad" in inspect.signature(loader).parameters:
        options["on_bad"] = on_bad
    else:
        _refuse_skipping(name, on_bad)
    return loader(folder, **options)


def check_name(name: str) -> None:
    """Raises ValueError unless there may be a dataset of that name."""
    prefixes = ("tfds:", huggingface.PREFIX)
    if name in LOADERS or (name.startswith(prefixes) and name not in prefixes):
        return
    hint = nearest_hint(name, list_datasets())
    raise ValueError(
        f"name must be one of {', '.join(list_datasets())}, got {name!r}.{hint} "
        "For your own files use load('text', data_dir=FILE_OR_FOLDER) or "
        "load('images', data_dir=FOLDER)."
    )


def _of_tables(data: Any, folder: Path | None, on_bad: OnBad, **options: Any) -> Any:
    """The dataset in tables of pandas or of `datasets`."""
    if folder is not None:
        raise ValueError("data_dir is for names, and the data themselves were given.")
    if frames.is_frame(data) or frames.is_parts_of_frames(data):
        return frames.load_frame(data, on_bad=on_bad, **options)
    if huggingface.is_dataset(data):
        return _of_datasets("datasets", data, on_bad, **options)
    raise TypeError(
        "Data must be a name, a pandas.DataFrame, a datasets.Dataset, or a dict of "
        f"such tables, got {data!r:.80}."
    )


def _of_datasets(name: str, data: Any, on_bad: OnBad, **options: Any) -> Any:
    bad = BadLines(on_bad)
    found = huggingface.load_datasets(name, data, bad, **options)
    if not isinstance(found, dict):
        return found
    held_out = found.get("validation", found.get("test"))
    joined = BLANK_LINE.join(found["train"])
    if held_out is None:
        parts = _first_nine_tenths(joined, repr(name))
    else:
        parts = joined, BLANK_LINE.join(held_out)
    return _dataset(
        name,
        *parts,
        bad=bad,
        origin=f"datasets: {name}",
        licence="unknown",
    )


def _refuse_skipping(name: str, on_bad: OnBad) -> None:
    if on_bad != "error":
        raise ValueError(
            "on_bad applies to lines of text files and tables, which "
            f"{name!r} does not read, got {on_bad!r}. Leave it out."
        )


def _check_kind(name: str, kind: type, expect: type | tuple[type, ...]) -> None:
    if not issubclass(kind, expect):
        kinds = expect if isinstance(expect, tuple) else (expect,)
        raise ValueError(
            f"The dataset must be of {' or '.join(kind.__name__ for kind in kinds)}, "
            f"got {name!r} of {kind.__name__}."
        )


def list_datasets() -> list[str]:
    """Returns the dataset names that `load` accepts."""
    return [*LOADERS, "hf:NAME", "tfds:NAME"]


def load_docs(data_dir: Path | None = None) -> TextDataset:
    """Loads the text of Python's manual that `help()` shows; no download needed.

    The manual repeats itself, so only the first occurrence of each paragraph is kept,
    with topics in the order of their names. A whole topic goes to validation if
    validation then makes up at most a tenth of the text so far. The text differs
    between Python versions.
    """
    from pydoc_data.topics import topics

    if data_dir is not None:
        raise ValueError(
            f"'docs' comes with Python and does not read data_dir={str(data_dir)!r}. "
            "For your own files use load('text', data_dir=FILE_OR_FOLDER)."
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

    The text is read from `data_dir` if that is a file, else from `data_dir/input.txt`
    or `data_dir/tinyshakespeare/input.txt`. Without `data_dir` it is downloaded once
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
                "There is no tinyshakespeare text: no file "
                f"{' or '.join(map(str, candidates))}. Pass its path as data_dir, or "
                "leave data_dir out to download it."
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
    """Loads a text file, or all `*.txt` files of a folder in the order of their names.

    Files are joined by blank lines. The first nine tenths of the characters are
    for training.

    Args:
        data_dir: the file or folder.
        on_bad: what to do with lines that are not UTF-8 or hold NUL characters:
            "error" raises at the first, "skip" leaves them out.
    """
    if data_dir is None:
        raise ValueError(
            "'text' reads your own files. Pass data_dir=FILE or a folder of *.txt."
        )
    if data_dir.is_dir():
        paths = sorted(path for path in data_dir.glob("*.txt") if path.is_file())
        if not paths:
            raise FileNotFoundError(
                f"The folder {data_dir} holds no *.txt file. Pass a text file or a "
                "folder that holds some."
            )
    elif data_dir.is_file():
        paths = [data_dir]
    else:
        raise FileNotFoundError(
            f"There is no file or folder {data_dir}. Pass a text file or a folder of "
            "*.txt as data_dir."
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
    """Loads a dataset from tensorflow-datasets, preparing it if necessary.

    A dataset with an image feature becomes an `ImageDataset` unless `text_key` asks
    for its text (file names are text features too); any other becomes a `TextDataset`.

    Args:
        name: the dataset, such as `lm1b`, optionally with its config and version.
        data_dir: the folder of prepared datasets; the default of tensorflow-datasets
            if None.
        on_bad: what to do with texts that are not UTF-8: "error" raises at the first,
            "skip" leaves them out.
        **options: for text, `text_key="text"`, the feature to read; for images, see
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
    """Joins the examples of each split by blank lines.

    Validation is the split `validation`, else `test`, else the last tenth of the
    characters of `train`.
    """
    texts = tfds.features(builder, "Text")
    if text_key not in texts:
        raise ValueError(
            f"text_key must be a text feature of 'tfds:{name}', one of "
            f"{texts or 'none: it holds no text'}, got {text_key!r}."
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
            raise ValueError(f"The {part} text of {name!r} ({origin}) is empty.")
    digest = hashlib.sha256((train + validation).encode("utf-8")).hexdigest()
    bad.warn(name)
    return TextDataset(name, train, validation, digest, origin, licence, bad.count)


def _paragraphs(text: str) -> list[str]:
    return [p for p in re.split(r"\n{2,}", text.strip("\n")) if p.strip()]


def _first_nine_tenths(text: str, origin: str) -> tuple[str, str]:
    if len(text) < 2:
        raise ValueError(
            f"{origin} is empty: a text of {len(text)} characters can't be split into "
            "training and validation. Pass a longer text."
        )
    cut = int(len(text) * 0.9)  # nanoGPT's
    return text[:cut], text[cut:]
