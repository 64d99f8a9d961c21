"""Two domains of images without pairs between them.

Shapes: N images of A, M of B, B batch, H height, W width, C channels.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zoo.data.images.batches import ImageBatches
from zoo.data.images.loading import ImageDataset, hold_out_a_tenth, subset_of
from zoo.data.images.picture_files import (
    PARTS,
    UNPAIRED,
    Found,
    by_folder,
    by_part,
    picture_files,
)
from zoo.data.images.pictures import Picture, decode
from zoo.data.updates import Updates
from zoo.files.damaged import printable


@dataclass(frozen=True)
class UnpairedDataset:
    """Images of two domains, A and B; `==` compares checksums, not arrays.

    Attributes:
        name: the name passed to `load`.
        train_a: images of A to train on, uint8 of shape (N, H, W, C).
        train_b: images of B to train on, uint8 of shape (M, H, W, C).
        test_a: images of A to evaluate on.
        test_b: images of B to evaluate on.
        paired_test: whether `test_a[i]` and `test_b[i]` show the same thing, an answer
            to evaluate with; training does not use it.
        domains: the names of A and B.
        sha256: the hash of the pixels, in the order of the attributes.
        origin: where the images came from.
        licence: their licence, as far as it is known.
    """

    name: str
    train_a: np.ndarray = field(repr=False, compare=False)
    train_b: np.ndarray = field(repr=False, compare=False)
    test_a: np.ndarray = field(repr=False, compare=False)
    test_b: np.ndarray = field(repr=False, compare=False)
    paired_test: bool
    domains: tuple[str, str]
    sha256: str
    origin: str
    licence: str

    @classmethod
    def of(cls, name: str, parts: Sequence[np.ndarray], **about) -> "UnpairedDataset":
        """Makes a dataset of four arrays, in the order of `UNPAIRED`.

        Args:
            name: the name of the dataset.
            parts: the arrays, uint8 of shape (images, H, W, C).
            **about: the other attributes.

        Raises:
            ValueError: a part has no images.
        """
        digest = hashlib.sha256()
        for part, pixels in zip(UNPAIRED, parts, strict=True):
            if not pixels.size:
                raise ValueError(f"{name!r} must have images in {part}, got none.")
            digest.update(np.ascontiguousarray(pixels).data)
        train_a, train_b, test_a, test_b = parts
        return cls(
            name, train_a, train_b, test_a, test_b, sha256=digest.hexdigest(), **about
        )

    def labelled(self) -> ImageDataset:
        """Returns both domains as one dataset of two classes: 0 for A, 1 for B."""
        images, labels = [], []
        for a, b in ((self.train_a, self.train_b), (self.test_a, self.test_b)):
            images.append(np.concatenate([a, b]))
            labels.append(np.repeat(np.arange(2, dtype="int32"), [len(a), len(b)]))
        return ImageDataset(
            self.name,
            images[0],
            labels[0],
            images[1],
            labels[1],
            self.domains,
            self.sha256,
            self.origin,
            self.licence,
        )


def load_unpaired(
    data_dir: Path | None = None,
    size: int | None = None,
    channels: int = 3,
    most: int | None = None,
) -> UnpairedDataset:
    """Loads two domains of pictures from a folder or a `.zip` archive.

    It must hold the folders trainA, trainB, testA and testB; or two folders of any
    names, A and B in the order of their names, in both train and test (or val); or
    only these two folders: then a fixed random tenth of each is for testing.
    Subfolders belong to these folders. See `zoo.data.images.picture_files` for how
    files are found.

    Args:
        data_dir: the folder or archive.
        size: H and W in pixels; pictures are cropped to the central square and resized.
            None if they all have one size.
        channels: C, 1 for grey or 3 for red, green and blue.
        most: the most images of each part, chosen by `fixed_subset`; others are not
            decoded. None for all.

    Raises:
        FileNotFoundError: there is no such folder or archive, or no picture in it.
        ValueError: the folders are different ones, or a picture is damaged.
    """
    if data_dir is None:
        raise ValueError(
            "'unpaired' reads your own pictures. Pass data_dir=FOLDER or an archive."
        )
    with picture_files(data_dir) as found:
        parts = [by_folder(part) for _, part in by_part(found, data_dir)]
        pictures, domains = _domains(parts, data_dir)
        return UnpairedDataset.of(
            "unpaired",
            [decode(subset_of(part, most), size, channels) for part in pictures],
            paired_test=False,
            domains=domains,
            origin=str(data_dir),
            licence="unknown",
        )


def _domains(
    parts: list[dict[str, Found]], place: Path
) -> tuple[list[list[Picture]], tuple[str, str]]:
    """Returns the pictures of each of `UNPAIRED`, and the names of the domains."""
    train, *held_out = parts
    names = sorted(train)
    if names == sorted(UNPAIRED):
        return [list(train[name].values()) for name in UNPAIRED], ("A", "B")
    # Two parts of one domain are not two domains.
    one = set(names) <= PARTS and names != ["trainA", "trainB"]
    if len(names) != 2 or one or any(set(part) != set(train) for part in held_out):
        folders = sorted({name for part in parts for name in part if name})
        raise ValueError(
            f"{place} must hold pictures in the folders {', '.join(UNPAIRED)}, or in "
            f"two folders, got {folders or 'no folder'}."
        )
    domains = [list(train[name].values()) for name in names]
    if held_out:
        tests = [list(held_out[0][name].values()) for name in names]
    else:
        split = [
            hold_out_a_tenth(pictures, f"{place}/{printable(name)}")
            for name, pictures in zip(names, domains, strict=True)
        ]
        domains, tests = ([pair[i] for pair in split] for i in (0, 1))
    return [*domains, *tests], (names[0], names[1])


class UnpairedBatches(Updates):
    """Batches of both domains, each in an order of its own in every epoch.

    Args:
        a: uint8 of shape (N, H, W, C).
        b: uint8 of shape (M, H, W, D).
        batch_size: B, for each domain.
        crop: the side, in pixels, of a square cut out at a random place; None for whole
            images.
        flip: whether to mirror each image left to right with probability 1/2.
        seed: a non-negative integer that determines the orders and all other
            randomness.

    Attributes:
        steps_per_epoch: the number of batches until the larger domain has been seen
            once.
    """

    def __init__(
        self,
        a: np.ndarray,
        b: np.ndarray,
        batch_size: int,
        *,
        crop: int | None = None,
        flip: bool = False,
        seed: int = 0,
    ) -> None:
        """Checks the arguments; raises ValueError naming the one at fault."""
        # Different seeds, so that domains of the same size get different orders.
        self._domains = [
            ImageBatches(x, batch_size, crop=crop, flip=flip, seed=2 * seed + index)
            for index, x in enumerate((a, b))
        ]
        self.steps_per_epoch = max(x.steps_per_epoch for x in self._domains)

    def batch(self, update: int) -> tuple[np.ndarray, ...]:
        """Returns an update's (images of A, images of B), float32 in [0, 1]."""
        return tuple(domain.batch(update)[0] for domain in self._domains)
