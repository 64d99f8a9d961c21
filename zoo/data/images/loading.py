"""Images by name, whole in memory: MNIST, digits, your pictures, tfds.

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
    """What is known of a dataset whose content is recognised."""

    name: str
    class_names: tuple[str, ...]
    licence: str


# By the `sha256` of an `ImageDataset`, since their files have the same names.
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
    """Images in two parts. `==` compares checksums in place of arrays.

    Attributes:
        name: The name that `load` was given; of other IDX files than MNIST's what they
            are, "fashion_mnist" or "idx".
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
    once and their checksums verified. Fashion-MNIST's files (Xiao et al. 2017), which
    have the same names, are recognised. Of any others the licence is not known, and
    the classes are numbered.

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
    images, labels = [array[..., None] for array in arrays[::2]], arrays[1::2]
    origin = MNIST_URL if data_dir is None else str(data_dir)
    classes = 1 + max(int(part.max(initial=0)) for part in labels)
    numbered = tuple(f"class {number}" for number in range(classes))
    found = _dataset("idx", images, labels, numbered, origin=origin, licence="unknown")
    if known := IDX_DATASETS.get(found.sha256):
        found = replace(found, **known._asdict())
    return _subset(found, most)


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

    Its folders `train` and `test` (or `val`) are the parts; without a folder to test on
    a tenth, drawn always alike, is held out. The subfolders of a part are classes, if
    it has any. How files are found says `zoo.data.images.picture_files`.

    Args:
        data_dir: The folder or archive.
        size: H and W to bring pictures to, by a square crop of the centre and
            resizing; None if they are all of one size.
        channels: C, 1 for grey or 3 for red, green and blue.
        most: At most so many images of each part, chosen by `fixed_subset`; others
            are not decoded. None for all.

    Raises:
        FileNotFoundError: There is no such place, or no picture in it.
        ValueError: A picture is damaged, of another size than the first, or beside the
            folders of the classes; or `test` has classes that `train` has not.
    """
    if data_dir is None:
        raise ValueError(
            "'images' reads your own pictures: pass data_dir=FOLDER or an archive"
        )
    with picture_files(data_dir) as found:
        parts = {name: by_folder(part) for name, part in by_part(found, data_dir)}
        (first, train), (last, test) = (list(parts.items())[i] for i in (0, -1))
        classes = list(train)
        if unknown := sorted(set(test) - set(classes)):
            raise ValueError(
                f"{data_dir}/{last} has pictures of the classes {unknown}, and "
                f"{data_dir}/{first} of {classes} only; expected the same subfolders "
                "in both"
            )
        return _from_pictures(
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
    *,
    origin: str,
    licence: str,
) -> ImageDataset:
    """Checks and hashes the two parts; without class names there are no labels."""
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
        digest.update(pixels.reshape(-1).data)
        if not class_names:
            parts.append((pixels, None))
            continue
        numbers = np.asarray(classes, "<i4")
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


def _subset(data: ImageDataset, most: int | None) -> ImageDataset:
    """At most so many of each part of a dataset with labels."""
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
        f"there is no MNIST file {name} or {name}.gz in {folder} nor in "
        f"{folder / 'mnist'}; pass the folder of the four IDX files as data_dir, or "
        "none to download them"
    )
