"""Two domains of images between which there are no pairs.

Shapes: N images of A, M of B, B batch, H height, W width, C channels.
"""

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from zoo.data.image_batches import ImageBatches
from zoo.data.images import ImageDataset, hold_out_a_tenth, subset_of
from zoo.data.pictures import Picture, by_class, decode, is_picture
from zoo.data.updates import Updates

PARTS = ("trainA", "trainB", "testA", "testB")


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
        """From the four arrays, in the order of `PARTS`, and the other attributes."""
        digest = hashlib.sha256()
        for part, pixels in zip(PARTS, parts, strict=True):
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

    It holds the folders trainA, trainB, testA and testB, by themselves or in one
    folder; or two folders of any names, A and B in their order, of each of which a
    tenth, drawn always alike, is for testing.

    Args:
        data_dir: The folder or archive.
        size: H and W to bring pictures to, by a square crop of the centre and
            resizing; None if they are all of one size.
        channels: C, 1 for grey or 3 for red, green and blue.
        most: At most so many images of each part, chosen by `fixed_subset`; others
            are not decoded. None for all.

    Raises:
        FileNotFoundError: There is no such file or folder, or no picture in it.
        ValueError: Its folders are others, or a picture is damaged.
    """
    if data_dir is None:
        raise ValueError(
            "'unpaired' reads your own pictures: pass data_dir=FOLDER or an archive"
        )
    if not data_dir.exists():
        raise FileNotFoundError(
            f"there is no folder or archive {data_dir}; pass one as data_dir"
        )
    found = _in_folder(data_dir) if data_dir.is_dir() else _in_archive(data_dir)
    if set(found) == set(PARTS):
        pictures, domains = found, ("A", "B")
    elif len(found) == 2:
        first, second = sorted(found)
        pictures, domains = {}, (first, second)
        for letter, name in zip("AB", domains, strict=True):
            train, test = hold_out_a_tenth(found[name], f"{data_dir}/{name}")
            pictures |= {f"train{letter}": train, f"test{letter}": test}
    else:
        raise ValueError(
            f"{data_dir} holds pictures in {sorted(found)}; expected the folders "
            f"{', '.join(PARTS)}, or two folders"
        )
    return UnpairedDataset.of(
        "unpaired",
        [decode(subset_of(pictures[part], most), size, channels) for part in PARTS],
        paired_test=False,
        domains=domains,
        origin=str(data_dir),
        licence="unknown",
    )


def _in_folder(folder: Path) -> dict[str, list[Picture]]:
    """Pictures by subfolder; of a folder with one subfolder, that one's."""
    found = by_class(folder)
    if len(found) == 1 and (only := next(iter(found))):
        return _in_folder(folder / only)
    return {
        name: [Picture(path, str(path), 0) for path in paths]
        for name, paths in found.items()
    }


def _in_archive(archive: Path) -> dict[str, list[Picture]]:
    """Likewise, of an archive; its pictures are read into memory."""
    try:
        with zipfile.ZipFile(archive) as opened:
            names = sorted(n for n in opened.namelist() if is_picture(PurePosixPath(n)))
            files = {name: opened.read(name) for name in names}
    except zipfile.BadZipFile as error:
        raise ValueError(f"{archive} is not a .zip archive: {error}") from error
    if not files:
        raise FileNotFoundError(f"{archive} holds no picture")
    found: dict[str, list[Picture]] = {}
    for name, content in files.items():
        folder = PurePosixPath(name).parent.name
        found.setdefault(folder, []).append(Picture(content, f"{archive}:{name}", 0))
    return found


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
