"""Two domains of images between which there are no pairs.

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
    """Images of two domains. `==` compares checksums in place of arrays.

    Attributes:
        name: The name that `load` was given.
        train_a: Images of A to train on, uint8 of shape (N, H, W, C).
        train_b: Images of B to train on, of shape (M, H, W, C).
        test_a: Images of A to evaluate on.
        test_b: Images of B to evaluate on.
        paired_test: Whether `test_a[i]` shows what `test_b[i]` does: a known answer,
            which training has no use of.
        domains: What A and B are called.
        sha256: Of the pixels, in the order of the attributes.
        origin: Where the images came from.
        licence: What is known of their licence.
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
        """From four arrays, in the order of `UNPAIRED`, and the other attributes."""
        digest = hashlib.sha256()
        for part, pixels in zip(UNPAIRED, parts, strict=True):
            if not pixels.size:
                raise ValueError(f"{name!r} has no images in {part}")
            digest.update(np.ascontiguousarray(pixels).data)
        train_a, train_b, test_a, test_b = parts
        return cls(
            name, train_a, train_b, test_a, test_b, sha256=digest.hexdigest(), **about
        )

    def labelled(self) -> ImageDataset:
        """Both domains in one dataset, whose classes they are: 0 for A, 1 for B."""
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

    It holds the folders trainA, trainB, testA and testB; or two folders of any names, A
    and B in their order, within train and within test (or val), or by themselves: then
    a tenth of each, drawn always alike, is for testing. What lies deeper belongs to
    these folders. How files are found says `zoo.data.images.picture_files`.

    Args:
        data_dir: The folder or archive.
        size: H and W to bring pictures to, by a square crop of the centre and
            resizing; None if they are all of one size.
        channels: C, 1 for grey or 3 for red, green and blue.
        most: At most so many images of each part, chosen by `fixed_subset`; others
            are not decoded. None for all.

    Raises:
        FileNotFoundError: There is no such place, or no picture in it.
        ValueError: Its folders are others, or a picture is damaged.
    """
    if data_dir is None:
        raise ValueError(
            "'unpaired' reads your own pictures: pass data_dir=FOLDER or an archive"
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
    """The pictures of each of `UNPAIRED`, and what the domains are called."""
    train, *held_out = parts
    names = sorted(train)
    if names == sorted(UNPAIRED):
        return [list(train[name].values()) for name in UNPAIRED], ("A", "B")
    # Two parts of one domain are not two domains.
    one = set(names) <= PARTS and names != ["trainA", "trainB"]
    if len(names) != 2 or one or any(set(part) != set(train) for part in held_out):
        folders = sorted({name for part in parts for name in part if name})
        raise ValueError(
            f"{place} holds pictures in {folders or 'no folder'}; expected the folders "
            f"{', '.join(UNPAIRED)}, or two folders"
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
    """Batches of both domains, each in an order of its own every epoch.

    Args:
        a: uint8 of shape (N, H, W, C).
        b: uint8 of shape (M, H, W, D).
        batch_size: B, of each domain.
        crop: Side of a square that is cut out at random; None for whole images.
        flip: Mirror half of the images left to right.
        seed: A non-negative integer that selects the orders and all chance.

    Attributes:
        steps_per_epoch: Batches until the larger domain has been seen once.
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
        # Seeds that differ, so that domains of one size are not in one order.
        self._domains = [
            ImageBatches(x, batch_size, crop=crop, flip=flip, seed=2 * seed + index)
            for index, x in enumerate((a, b))
        ]
        self.steps_per_epoch = max(x.steps_per_epoch for x in self._domains)

    def batch(self, update: int) -> tuple[np.ndarray, ...]:
        """One update's (images of A, images of B), float32 in [0, 1]."""
        return tuple(domain.batch(update)[0] for domain in self._domains)
