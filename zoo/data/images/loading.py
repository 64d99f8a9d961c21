"""Images by name, held in memory: MNIST, digits, your pictures, tensorflow-datasets.

Shapes: N images, H height, W width, C channels.
"""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo.data import tfds
from zoo.data.images.idx import read_idx
from zoo.data.images.picture_files import by_folder, by_part, picture_files
from zoo.data.images.pictures import Picture, decode
from zoo.data.subsets import fixed_subset
from zoo.files.downloads import downloaded

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
CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


class Known(NamedTuple):
    """The facts of a dataset that is recognised by its content."""

    name: str
    class_names: tuple[str, ...]
    licence: str


# By the `sha256` of the `ImageDataset`, since the files have the same names.
IDX_DATASETS = {
    "bab833be44432887b8367c256dc3f6f37f73632c1eabcb1cbc894e04f779a312": Known(
        "mnist", DIGITS, "CC BY-SA 3.0"
    ),
    "09627107dde20800f249b90a3b80609822fbaf088555476bb02aea854423a846": Known(
        "fashion_mnist", CLOTHES, "MIT"
    ),
}


@dataclass(frozen=True)
class ImageDataset:
    """Images in a training and a test part; `==` compares checksums, not arrays.

    Attributes:
        name: the name passed to `load`; "fashion_mnist" or "idx" for IDX files other
            than MNIST's.
        train_images: the images to train on, uint8 of shape (N, H, W, C).
        train_labels: their classes, int32 of shape (N,), or None.
        test_images: the images to evaluate on, uint8 of shape (N, H, W, C).
        test_labels: their classes, int32 of shape (N,), or None.
        class_names: the names of the classes, indexed by label; empty without labels.
        sha256: the hash of pixels and labels (int32, little-endian), train then test.
            Report it with every figure.
        origin: where the images came from.
        licence: their licence, as far as it is known.
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

    The four IDX files are read from `data_dir` or `data_dir/mnist`, gzipped or not,
    under their original names or with a dot before `idx`. Without `data_dir` they are
    downloaded once and their checksums verified. Fashion-MNIST (Xiao et al. 2017),
    whose files have the same names, is recognised. For any other files the licence is
    unknown and the classes are numbered.

    Args:
        data_dir: the folder.
        most: as in `load_images`.
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
    images, labels = [array[..., None] for array in arrays[::2]], arrays[1::2]
    origin = MNIST_URL if data_dir is None else str(data_dir)
    classes = 1 + max(int(part.max(initial=0)) for part in labels)
    numbered = tuple(f"class {number}" for number in range(classes))
    found = _dataset("idx", images, labels, numbered, origin=origin, licence="unknown")
    if known := IDX_DATASETS.get(found.sha256):
        found = replace(found, **known._asdict())
    return _subset(found, most)


def load_digits(data_dir: Path | None = None, most: int | None = None) -> ImageDataset:
    """Loads scikit-learn's 1,797 handwritten digits of 8 x 8; no download needed.

    Their levels 0 to 16 are scaled to 0 to 255. The test images are a fixed stratified
    sample of 297.

    Args:
        data_dir: must be None.
        most: as in `load_images`.
    """
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    if data_dir is not None:
        raise ValueError(
            "'digits' comes with scikit-learn and does not read "
            f"data_dir={str(data_dir)!r}. For your own pictures use "
            "load('images', data_dir=FOLDER)."
        )
    levels, labels = datasets.load_digits(return_X_y=True)
    pixels = np.round(levels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    train_images, test_images, train_labels, test_labels = train_test_split(
        pixels, labels, test_size=297, stratify=labels, random_state=0
    )
    digits = _dataset(
        "digits",
        [train_images, test_images],
        [train_labels, test_labels],
        DIGITS,
        origin="sklearn.datasets.load_digits",
        licence="CC BY 4.0",
    )
    return _subset(digits, most)


def load_images(
    data_dir: Path | None = None,
    size: int | None = None,
    channels: int = 3,
    most: int | None = None,
) -> ImageDataset:
    """Loads pictures from a folder or a `.zip` archive.

    The folders `train` and `test` (or `val`) in it are the parts; without a test
    folder, a fixed random tenth is held out. The subfolders of a part, if any, are the
    classes. See `zoo.data.images.picture_files` for how files are found.

    Args:
        data_dir: the folder or archive.
        size: H and W in pixels; pictures are cropped to the central square and resized.
            None if they all have one size.
        channels: C, 1 for grey or 3 for red, green and blue.
        most: the most images of each part, chosen by `fixed_subset`; others are not
            decoded. None for all.

    Raises:
        FileNotFoundError: there is no such folder or archive, or no picture in it.
        ValueError: a picture is damaged, differs in size from the first, or lies beside
            the class folders; or `test` has classes that `train` lacks.
    """
    if data_dir is None:
        raise ValueError(
            "'images' reads your own pictures. Pass data_dir=FOLDER or an archive."
        )
    with picture_files(data_dir) as found:
        parts = {name: by_folder(part) for name, part in by_part(found, data_dir)}
        (first, train), (last, test) = (list(parts.items())[i] for i in (0, -1))
        classes = list(train)
        if unknown := sorted(set(test) - set(classes)):
            raise ValueError(
                f"{data_dir}/{last} must have subfolders that {data_dir}/{first} has "
                f"too, {classes}, got also {unknown}."
            )
        return from_pictures(
            "images",
            [
                [
                    picture._replace(label=classes.index(name))
                    for name, pictures in part.items()
                    for picture in pictures.values()
                ]
                for part in parts.values()
            ],
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

    The test images are the split `test`, else `validation`, else a fixed random tenth
    of `train`.

    Args:
        name: the dataset.
        builder: its builder.
        size: as in `load_images`.
        channels: as in `load_images`; None takes the number from the dataset.
        most: as in `load_images`.
        image_key: the feature that holds the images.
        label_key: the feature that holds the classes; None takes `label` if there is
            one.
    """
    pictures = tfds.features(builder, "Image")
    if image_key not in pictures:
        raise ValueError(
            f"image_key must be an image feature of 'tfds:{name}', one of {pictures}, "
            f"got {image_key!r}."
        )
    labels = tfds.features(builder, "ClassLabel")
    if label_key is None and "label" in labels:
        label_key = "label"
    if label_key is not None and label_key not in labels:
        raise ValueError(
            f"label_key must be a class feature of 'tfds:{name}', one of "
            f"{labels or 'none: it holds no classes'}, got {label_key!r}."
        )
    feature = builder.info.features[image_key]
    if feature.np_dtype != np.uint8:  # such files hold something other than colours
        raise ValueError(
            f"{image_key!r} of 'tfds:{name}' must be uint8, got {feature.np_dtype}."
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
    return from_pictures(
        f"tfds:{name}",
        parts,
        tuple(builder.info.features[label_key].names) if label_key else (),
        size,
        channels or feature.shape[-1],
        most,
        **tfds.provenance(builder),
    )


def from_pictures(
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
    """Decodes pictures in two parts, or in one from which a tenth is held out.

    Args:
        name: the name of the dataset.
        parts: the pictures to train on and, if there are such, those for test.
        class_names: the names of the classes, by label; empty if there are none.
        size: as in `load_images`.
        channels: as in `load_images`.
        most: as in `load_images`.
        origin: where the pictures came from.
        licence: their licence.
    """
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
    """Splits pictures into training and test; a fixed random tenth is for test."""
    if len(pictures) < 2:
        raise ValueError(
            f"{origin} must hold at least 2 pictures, to split into training and test, "
            f"got {len(pictures)}."
        )
    held_out = set(fixed_subset(len(pictures), max(1, len(pictures) // 10)).tolist())
    test = [picture for i, picture in enumerate(pictures) if i in held_out]
    train = [picture for i, picture in enumerate(pictures) if i not in held_out]
    return train, test


def subset_of(pictures: list[Picture], most: int | None) -> list[Picture]:
    """Returns at most `most` of the pictures, chosen by `fixed_subset`."""
    return [pictures[row] for row in fixed_subset(len(pictures), most)]


def _dataset(
    name: str,
    images: list[np.ndarray],
    labels: list[Any],
    class_names: tuple[str, ...],
    *,
    origin: str,
    licence: str,
) -> ImageDataset:
    """Checks and hashes the two parts; without class names, labels are None."""
    digest = hashlib.sha256()
    parts: list[tuple[np.ndarray, np.ndarray | None]] = []
    for part, pixels, classes in zip(("training", "test"), images, labels, strict=True):
        if not pixels.size:
            raise ValueError(f"{name!r} ({origin}) must have {part} images, got none.")
        if len(pixels) != len(classes):
            raise ValueError(
                f"{name!r} ({origin}) must have as many labels as images, got "
                f"{len(pixels)} {part} images and {len(classes)} labels."
            )
        digest.update(pixels.reshape(-1).data)
        if not class_names:
            parts.append((pixels, None))
            continue
        numbers = np.asarray(classes, "<i4")
        if numbers.max() >= len(class_names):
            raise ValueError(
                f"The {part} labels of {name!r} ({origin}) must be at most "
                f"{len(class_names) - 1}, got {numbers.max()}."
            )
        digest.update(numbers.data)
        parts.append((pixels, numbers))
    train, test = parts
    return ImageDataset(
        name, *train, *test, class_names, digest.hexdigest(), origin, licence
    )


def _subset(data: ImageDataset, most: int | None) -> ImageDataset:
    """Takes at most `most` images of each part of a dataset with labels."""
    if most is None:
        return data
    train, test = (
        fixed_subset(len(images), most)
        for images in (data.train_images, data.test_images)
    )
    return _dataset(
        data.name,
        [data.train_images[train], data.test_images[test]],
        [np.asarray(data.train_labels)[train], np.asarray(data.test_labels)[test]],
        data.class_names,
        origin=data.origin,
        licence=data.licence,
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
        f"There is no MNIST file {name} or {name}.gz in {folder} or in "
        f"{folder / 'mnist'}. Pass the folder of the four IDX files as data_dir, or "
        "leave data_dir out to download them."
    )
