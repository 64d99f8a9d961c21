"""Access to tensorflow-datasets, for any content; TensorFlow itself is not needed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zoo.extras import installed_by


def prepared(name: str, data_dir: Path | None) -> Any:
    """Returns the builder of a dataset, after preparing the dataset if necessary.

    Args:
        name: the dataset, such as `lm1b`, optionally with its config and version.
        data_dir: the folder of prepared datasets; the default of tensorflow-datasets
            if None.

    Raises:
        ModuleNotFoundError: tensorflow-datasets is not installed.
        ValueError: there is no such dataset.
    """
    try:
        import tensorflow_datasets as tfds
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"'tfds:{name}' needs tensorflow-datasets. Run: "
            f"{installed_by('tensorflow-datasets')}"
        ) from error

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        raise ValueError(
            f"tensorflow-datasets has no dataset {name!r}, and there is none under "
            f"data_dir={str(data_dir)!r}. tfds.list_builders() lists all names."
        ) from None
    if not builder.is_prepared():
        builder.download_and_prepare(file_format="array_record")
    return builder


def features(builder: Any, kind: str) -> list[str]:
    """Returns the names of all features of a kind: `Text`, `Image` or `ClassLabel`."""
    import tensorflow_datasets as tfds

    wanted = getattr(tfds.features, kind)
    return [k for k, v in dict(builder.info.features).items() if isinstance(v, wanted)]


def held_out(builder: Any, name: str, choices: tuple[str, ...]) -> str | None:
    """Returns the first of `choices` that is a split beside `train`, or None.

    Raises:
        ValueError: there is no split `train`.
    """
    splits = list(builder.info.splits)
    if "train" not in splits:
        raise ValueError(f"'tfds:{name}' must have a split 'train', got only {splits}.")
    return next((s for s in choices if s in splits), None)


def examples(builder: Any, split: str, encoded: str | None = None) -> Iterable[Any]:
    """Returns the examples of a split, dictionaries of NumPy values.

    Args:
        builder: the builder of a prepared dataset.
        split: the name of the split.
        encoded: an image feature to leave encoded, as the bytes of its file.
    """
    import tensorflow_datasets as tfds

    decoders = {encoded: tfds.decode.SkipDecoding()} if encoded else None
    try:
        return builder.as_data_source(split, decoders=decoders)
    except NotImplementedError:  # prepared as TFRecords, which need TensorFlow
        return tfds.as_numpy(builder.as_dataset(split=split, decoders=decoders))


def provenance(builder: Any) -> dict[str, str]:
    """Returns the `origin` and `licence` of a dataset."""
    return {
        "origin": f"tensorflow-datasets: {builder.info.full_name}",
        "licence": builder.info.redistribution_info.license or "unknown",
    }
