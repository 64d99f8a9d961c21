"""Images by name, whole in memory: MNIST, digits, your pictures, tfds.

Shapes: N images, H height, W width, C channels.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data import tfds
from zoo.data.downloads import downloaded
from zoo.data.idx import read_idx
from zoo.data.pictures import Picture, by_class, decode
from zoo.data.subsets import fixed_subset

MNIST_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
MNIST_FILES = {  # sha256 of the gzipped file
    "train-images-idx3-ubyte": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte": (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte": (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}

DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class ImageDataset:
    """Images in two parts. `==` compares checksums in place of arrays.

    Attributes:
        name: The name that `load` was given.
        train_images: The images to train on, uint8 of shape (N, H, W, C).
        train_labels: Their classes, int32 of shape (N,), or None.
        test_images: The images to evaluate on.
        test_labels: Their classes, or None.
        class_names: What the labels count; empty if there are none.
        sha256: Of pixels and labels (int32, little-endian), train then test: report
            it with every figure.
        origin: Where the images came from.
        licence: What is known of their licence.
    """

    name: str
    train_images: np.ndarray = field(repr=False, compare=False)
    train_labels: np.ndarray | None = field(repr=False, compare=False)
    test_images: np.ndarray = field(repr=False, compare=False)
    test_labels: np.ndarray | None = field(repr=False, compare=False)
    class_names: tuple[str, ...] = field(repr=False)
    sha256: str
    origin: str
    licence: str


def load_mnist(data_dir: Path | None = None, most: int | None = None) -> ImageDataset:
    """Loads 60,000 and 10,000 handwritten digits of 28 x 28 (LeCun et al. 1998).

    The four IDX files are in `data_dir` or `data_dir/mnist`, gzipped or not, under
    their own names or with a dot before `idx`; without `data_dir` they are downloaded
    once and their checksums verified.

    Args:
        data_dir: The folder.
        most: As of `load_images`.
    """
    arrays = []
    for name, sha256 in MNIST_FILES.items():
        if data_dir is None:
            path = downloaded(
                f"mnist-{name}.gz",
                f"{MNIST_URL}{name}.gz",
                sha256,
                "put it and MNIST's other files into FOLDER and pass data_dir=FOLDER",
            )
        else:
            path = _find_idx(data_dir, name)
        arrays.append(read_idx(path, num_axes=3 if "images" in name else 1))
    images = [array[..., None] for array in arrays[::2]]
    return _dataset(
        "mnist",
        images,
        arrays[1::2],
        DIGITS,
        most,
        origin=MNIST_URL if data_dir is None else str(data_dir),
        licence="CC BY-SA 3.0",
    )


def load_digits(data_dir: Path | None = None, most: int | None = None) -> ImageDataset:
    """Loads scikit-learn's 1,797 handwritten digits of 8 x 8; it needs no download.

    Their levels 0 to 16 are spread over 0 to 255. The test images are a stratified
    sample of 297, always the same.

    Args:
        data_dir: None; it is refused.
        most: As of `load_images`.
    """
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    if data_dir is not None:
        raise ValueError(
            "'digits' comes with scikit-learn and does not read "
            f"data_dir={str(data_dir)!r}; for your own pictures use "
            "load('images', data_dir=FOLDER)"
        )
    levels, labels = datasets.load_digits(return_X_y=True)
    pixels = np.round(levels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    train_images, test_images, train_labels, test_labels = train_test_split(
        pixels, labels, test_size=297, stratify=labels, random_state=0
    )
    return _dataset(
        "digits",
        [train_images, test_images],
        [train_labels, test_labels],
        DIGITS,
        most,
        origin="sklearn.datasets.load_digits",
        licence="CC BY 4.0",
    )


def load_images(
    data_dir: Path | None = None,
    size: int | None = None,
    channels: int = 3,
    most: int | None = None,
) -> ImageDataset:
    """Loads a folder of pictures.

    Its folders `train` and `test` are the parts if both are there; else a tenth, drawn
    always alike, is for testing. The subfolders of a part are classes, if it has any.

    Args:
        data_dir: The folder.
        size: H and W to bring pictures to, by a square crop of the centre and
            resizing; None if they are all of one size.
        channels: C, 1 for grey or 3 for red, green and blue.
        most: At most so many images of each part, chosen by `fixed_subset`; others
            are not decoded. None for all.

    Raises:
        FileNotFoundError: There is no such folder, or no picture in it.
        ValueError: A picture is damaged, of another size than the first, or beside the
            folders of the classes; or `test` has classes that `train` has not.
    """
    if data_dir is None:
        raise ValueError("'images' reads your own pictures: pass data_dir=FOLDER")
    if not data_dir.is_dir():
        raise FileNotFoundError(
            f"there is no folder {data_dir}; pass a folder of pictures as data_dir"
        )
    folders = [data_dir / "train", data_dir / "test"]
    if not all(folder.is_dir() for folder in folders):
        folders = [data_dir]
    found = [by_class(folder) for folder in folders]
    classes = list(found[0])
    if unknown := sorted(set(found[-1]) - set(classes)):
        raise ValueError(
            f"{folders[-1]} has pictures of the classes {unknown}, and {folders[0]} of "
            f"{classes} only; expected the same subfolders in both"
        )
    parts = [
        [
            Picture(path, str(path), classes.index(name))
            for name, paths in part.items()
            for path in paths
        ]
        for part in found
    ]
    return _from_pictures(
        "images",
        parts,
        () if classes == [""] else tuple(classes),
        size,
        channels,
        most,
        origin=str(data_dir),
        licence="unknown",
    )


def from_tfds(
    name: str,
    builder: Any,
    *,
    size: int | None = None,
    channels: int | None = None,
    most: int | None = None,
    image_key: str = "image",
    label_key: str | None = None,
) -> ImageDataset:
    """Loads the images of a prepared dataset of tensorflow-datasets.

    The test images are the split `test`, else `validation`, else a tenth of `train`
    that is drawn always alike.

    Args:
        name: The dataset.
        builder: Its builder.
        size: As of `load_images`.
        channels: As of `load_images`; if None, what the dataset says.
        most: As of `load_images`.
        image_key: The feature to read.
        label_key: The feature of the classes; if None, `label` where there is one.
    """
    pictures = tfds.features(builder, "Image")
    if image_key not in pictures:
        raise ValueError(
            f"'tfds:{name}' has no image feature {image_key!r}; pass image_key= one of "
            f"{pictures}"
        )
    labels = tfds.features(builder, "ClassLabel")
    if label_key is None and "label" in labels:
        label_key = "label"
    if label_key is not None and label_key not in labels:
        raise ValueError(
            f"'tfds:{name}' has no class feature {label_key!r}; pass label_key= one of "
            f"{labels or 'none: it holds no classes'}"
        )
    feature = builder.info.features[image_key]
    if feature.np_dtype != np.uint8:  # such files hold other bits than colours
        raise ValueError(
            f"{image_key!r} of 'tfds:{name}' is {feature.np_dtype}; expected uint8"
        )
    test = tfds.held_out(builder, name, ("test", "validation"))
    parts = [
        [
            Picture(
                example[image_key],
                f"image {index} of {split!r} of 'tfds:{name}'",
                int(example[label_key]) if label_key else 0,
            )
            for index, example in enumerate(tfds.examples(builder, split, image_key))
        ]
        for split in filter(None, ("train", test))
    ]
    return _from_pictures(
        f"tfds:{name}",
        parts,
        tuple(builder.info.features[label_key].names) if label_key else (),
        size,
        channels or feature.shape[-1],
        most,
        **tfds.provenance(builder),
    )


def _from_pictures(
    name: str,
    parts: list[list[Picture]],
    class_names: tuple[str, ...],
    size: int | None,
    channels: int,
    most: int | None,
    *,
    origin: str,
    licence: str,
) -> ImageDataset:
    train, test = parts if len(parts) == 2 else hold_out_a_tenth(parts[0], origin)
    train, test = subset_of(train, most), subset_of(test, most)
    pixels = decode([*train, *test], size, channels)
    return _dataset(
        name,
        [pixels[: len(train)], pixels[len(train) :]],
        [[picture.label for picture in part] for part in (train, test)],
        class_names,
        origin=origin,
        licence=licence,
    )


def hold_out_a_tenth(
    pictures: list[Picture], origin: str
) -> tuple[list[Picture], list[Picture]]:
    """Pictures to train on, and a tenth to test on; drawn always alike."""
    if len(pictures) < 2:
        raise ValueError(
            f"{origin} holds {len(pictures)} picture, which cannot be split into "
            "training and test; expected at least 2"
        )
    held_out = set(fixed_subset(len(pictures), max(1, len(pictures) // 10)).tolist())
    test = [picture for i, picture in enumerate(pictures) if i in held_out]
    train = [picture for i, picture in enumerate(pictures) if i not in held_out]
    return train, test


def subset_of(pictures: list[Picture], most: int | None) -> list[Picture]:
    """At most so many of them, by `fixed_subset`."""
    return [pictures[row] for row in fixed_subset(len(pictures), most)]


def _dataset(
    name: str,
    images: list[np.ndarray],
    labels: list[Any],
    class_names: tuple[str, ...],
    most: int | None = None,
    *,
    origin: str,
    licence: str,
) -> ImageDataset:
    """Checks and hashes the two parts, or `most` rows of each.

    Without class names there are no labels.
    """
    digest = hashlib.sha256()
    parts: list[tuple[np.ndarray, np.ndarray | None]] = []
    for part, pixels, classes in zip(("training", "test"), images, labels, strict=True):
        if not pixels.size:
            raise ValueError(f"{name!r} ({origin}) has no {part} images")
        if len(pixels) != len(classes):
            raise ValueError(
                f"{name!r} ({origin}) has {len(pixels)} {part} images and "
                f"{len(classes)} labels; expected as many"
            )
        numbers = np.asarray(classes, "<i4")
        if most is not None:
            rows = fixed_subset(len(pixels), most)
            pixels, numbers = pixels[rows], numbers[rows]
        digest.update(pixels.reshape(-1).data)
        if not class_names:
            parts.append((pixels, None))
            continue
        if numbers.max() >= len(class_names):
            raise ValueError(
                f"{name!r} ({origin}) has the {part} label {numbers.max()}; expected "
                f"at most {len(class_names) - 1}"
            )
        digest.update(numbers.data)
        parts.append((pixels, numbers))
    train, test = parts
    return ImageDataset(
        name, *train, *test, class_names, digest.hexdigest(), origin, licence
    )


def _find_idx(folder: Path, name: str) -> Path:
    candidates = [
        place / f"{spelling}{suffix}"
        for place in (folder, folder / "mnist")
        for spelling in (name, name.replace("-idx", ".idx"))
        for suffix in ("", ".gz")
    ]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(
        f"there is no MNIST file {name} or {name}.gz in {folder} nor in "
        f"{folder / 'mnist'}; pass the folder of the four IDX files as data_dir, or "
        "none to download them"
    )
