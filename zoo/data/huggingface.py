"""Access to Hugging Face's `datasets`: texts, labelled texts and images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.data.images import loading as images
from zoo.data.images.pictures import Picture
from zoo.data.tasks.columns import Columns, labelled_texts, parts_named
from zoo.data.tasks.labelled import TaskDataset
from zoo.extras import installed_by
from zoo.files.text_files import BadLines

PREFIX = "hf:"
# What `save_to_disk` writes into the folder of a dataset, or of several by split.
SAVED = ("state.json", "dataset_dict.json")


def read(name: str, data_dir: Path | None) -> Any:
    """Reads a dataset from the hub, its cache, or a folder.

    Args:
        name: `owner/name`, optionally followed by `:config`.
        data_dir: a folder that `Dataset.save_to_disk` wrote, or the folder of the
            cache; that of `datasets` if None.

    Raises:
        ModuleNotFoundError: `datasets` is not installed.
        FileNotFoundError: there is no such dataset, or the hub can't be reached.
        ValueError: the dataset has several configurations, or not this one.
    """
    datasets = _library(name)
    if data_dir is not None and any((data_dir / file).is_file() for file in SAVED):
        return datasets.load_from_disk(str(data_dir))
    path, _, config = name.partition(":")
    cache = None if data_dir is None else str(data_dir)
    try:
        return datasets.load_dataset(path, config or None, cache_dir=cache)
    except (OSError, datasets.exceptions.DatasetsError) as error:
        raise FileNotFoundError(
            f"'{PREFIX}{name}' is neither in the cache nor could it be downloaded: "
            f"{error}. Without a network, pass data_dir=FOLDER, written by "
            "Dataset.save_to_disk where there is one."
        ) from error


def _library(name: str) -> Any:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"'{PREFIX}{name}' needs datasets. Run: {installed_by('datasets')}"
        ) from error
    return datasets


def is_dataset(data: Any) -> bool:
    """Whether this is a `datasets.Dataset`, or several by split."""
    if isinstance(data, Mapping):
        return bool(data) and all(map(is_dataset, data.values()))
    return hasattr(data, "features") and hasattr(data, "cast_column")


def load_datasets(
    name: str,
    data: Any,
    bad: BadLines,
    *,
    text: str | None = None,
    pair: str | None = None,
    label: str | None = None,
    image: str | None = None,
    regression: bool = False,
    **options: Any,
) -> Any:
    """Makes a dataset of a `datasets.Dataset`, or of several by split.

    Columns that are not named are found by their types: an image, else a text with a
    label, else a text.

    Args:
        name: its name.
        data: a `Dataset`, of which a tenth is held out, or a `DatasetDict` with the
            splits `train`, and `validation` or `test`, or both.
        bad: what to do with rows without a text or a label.
        text: the column of the text; by default `text`, or the only one of texts.
        pair: the column of a second text, or None.
        label: the column of the label; by default `label`, if there is one.
        image: the column of the images; by default `image`, or the only one of images.
        regression: whether labels are values instead of classes.
        options: for images, `size`, `channels` and `most` of `load("images")`.

    Returns:
        An `ImageDataset`, a `TaskDataset`, or the texts of each part.

    Raises:
        ValueError: a column is missing or of another type, or a row is bad.
    """
    origin = f"datasets: {name}"
    given = dict(data) if isinstance(data, Mapping) else {"train": data}
    parts = parts_named(given, origin)
    columns = parts["train"].features
    pictures = [key for key, kind in columns.items() if _is(kind, "Image")]
    if image is not None or (pictures and text is None):
        if bad.on_bad != "error":
            raise ValueError(f"on_bad applies to texts, and {name!r} holds images.")
        image = _chosen("image", image, pictures, "image", origin)
        return _images(name, parts, image, label, origin, **options)
    if options:
        raise TypeError(f"{name!r} holds texts, which take no {sorted(options)}.")
    texts = [key for key, kind in columns.items() if _is_text(kind)]
    text = _chosen("text", text, texts, "text", origin)
    if pair is not None:
        _chosen("text", pair, texts, "pair", origin)
    if label is None and "label" in columns and "label" != text:
        label = "label"
    if label is not None and label not in columns:
        raise ValueError(
            f"label must be one of {[*columns]} of {origin}, got {label!r}."
        )
    if label is None:
        if pair is not None:
            raise ValueError(f"Pairs of texts need label=, one of {[*columns]}.")
        return {part: _texts(x, text, part, bad, origin) for part, x in parts.items()}
    return _labelled(name, parts, text, pair, label, regression, bad, origin)


def _labelled(
    name: str,
    parts: dict[str, Any],
    text: str,
    pair: str | None,
    label: str,
    regression: bool,
    bad: BadLines,
    origin: str,
) -> TaskDataset:
    kind = parts["train"].features[label]
    return labelled_texts(
        name,
        {
            part: Columns(
                list(x[text]),
                None if pair is None else list(x[pair]),
                list(x[label]) if label in x.features else None,
            )
            for part, x in parts.items()
        },
        class_names=tuple(getattr(kind, "names", ())),
        regression=regression,
        bad=bad,
        origin=origin,
        licence=_licence(parts["train"]),
    )


def _texts(data: Any, text: str, part: str, bad: BadLines, origin: str) -> list[str]:
    found = []
    for row, value in enumerate(data[text]):
        if isinstance(value, str):
            found.append(value)
        else:
            bad.found(f"row {row} of {part!r} in {origin} must have a text")
    return found


def _images(
    name: str,
    parts: dict[str, Any],
    image: str,
    label: str | None,
    origin: str,
    size: int | None = None,
    channels: int = 3,
    most: int | None = None,
) -> images.ImageDataset:
    columns = parts["train"].features
    classes = [key for key, kind in columns.items() if _is(kind, "ClassLabel")]
    if label is not None or "label" in classes:
        label = _chosen("class", label, classes, "label", origin)
    test = next((part for part in ("test", "validation") if part in parts), None)
    pictures = []
    for part in filter(None, ("train", test)):
        # Files are decoded by our reader, which checks them first.
        data = parts[part].cast_column(image, type(columns[image])(decode=False))
        labels = list(data[label]) if label else [0] * len(data)
        pictures.append(
            [
                Picture(
                    value["bytes"] if value["bytes"] else Path(value["path"]),
                    f"image {row} of {part!r} of {name!r}",
                    int(labels[row]),
                )
                for row, value in enumerate(data[image])
            ]
        )
    return images.from_pictures(
        name,
        pictures,
        tuple(columns[label].names) if label else (),
        size,
        channels,
        most,
        origin=origin,
        licence=_licence(parts["train"]),
    )


def _chosen(
    kind: str, given: str | None, found: list[str], usual: str, origin: str
) -> str:
    """A column of a kind: the given one, else the usual one, else the only one."""
    if given is None and usual in found:
        return usual
    if given is None and len(found) == 1:
        return found[0]
    if given not in found:
        raise ValueError(
            f"{usual} must be a column of {origin} of the type {kind}, one of "
            f"{found or 'none'}, got {given!r}."
        )
    return given


def _is(kind: Any, name: str) -> bool:
    return type(kind).__name__ == name


def _is_text(kind: Any) -> bool:
    return _is(kind, "Value") and kind.dtype in ("string", "large_string")


def _licence(data: Any) -> str:
    return data.info.license or "unknown"
