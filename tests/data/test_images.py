"""Image datasets: what they hold, how they split, and what they refuse."""

import gzip
import hashlib
import io
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data import ImageDataset, TextDataset, list_datasets, load
from zoo.data.images import loading as images
from zoo.data.images.idx import read_idx

DATA = Path(os.environ.get("ZOO_DATA", Path(__file__).parents[3] / "shared" / "data"))
RNG = np.random.default_rng(0)


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def random_pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, np.uint8)


def sha256(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


MNIST = {
    "train-images-idx3-ubyte": random_pixels(6, 4, 5),
    "train-labels-idx1-ubyte": np.arange(6),
    "t10k-images-idx3-ubyte": random_pixels(2, 4, 5),
    "t10k-labels-idx1-ubyte": np.array([9, 0]),
}


def write_mnist(folder: Path, zipped: bool = True, dotted: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in MNIST.items():
        name = name.replace("-idx", ".idx") if dotted else name
        data = idx(array)
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)
    return folder


# === IDX ===


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("shape", [(3,), (3, 4, 5), (0, 2, 2)])
def test_idx_round_trip(tmp_path, pack, shape):
    array = random_pixels(*shape)
    path = tmp_path / "array"
    path.write_bytes(pack(idx(array)))
    read = read_idx(path, num_axes=len(shape))
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.uint8
    assert read.flags.writeable


WHOLE = idx(random_pixels(3, 4, 5))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (WHOLE[:-1], r"truncated or too long: 60 bytes must .*\(3, 4, 5\), got 59"),
        (WHOLE + b"\0", "60 bytes must follow its header .*got 61"),
        (WHOLE[:10], "truncated: it must have a header of 16 bytes, got 10"),
        (b"", r"must begin with 0x00000803, .*got 0x\.$"),
        (idx(np.arange(3)), "must begin with 0x00000803, .*got 0x00000801"),
        (b"\0\0\x0d\x03" + WHOLE[4:], "must begin with .*got 0x00000d03"),
        (b"<html>", "must begin with .*got 0x3c68746d"),
        (gzip.compress(WHOLE)[:-9], "damaged gzip file"),
        (gzip.compress(WHOLE)[:20] + b"\0" * 40, "damaged gzip file"),
    ],
)
def test_idx_refuses_what_is_not_whole(tmp_path, data, message):
    path = tmp_path / "train-images"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"train-images.*{message}"):
        read_idx(path, num_axes=3)


HUGE = WHOLE[:4] + b"\xff" * 12
LARGE = WHOLE[:4] + np.array([90, 1000, 1000], ">u4").tobytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        # A header that claims more than the file may hold, and a file that holds more.
        (gzip.compress(HUGE), r"at most .* bytes .*, got .* for the shape .* Unzip it"),
        (gzip.compress(LARGE), "must unzip to at most .*, got 90,000,000"),
        (gzip.compress(WHOLE + bytes(10**7)), "truncated or too long: .*got 61"),
        (HUGE, "truncated or too long: .* must follow its header .*got 0"),
        (WHOLE + bytes(10**6), "truncated or too long: .*got 1000060"),
    ],
    ids=["huge claim", "large claim", "large rest", "huge, not zipped", "rest"],
)
def test_idx_costs_no_more_than_its_size_allows(tmp_path, data, message):
    path = tmp_path / "train-images"
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=f"train-images.*{message}"):
        read_idx(path, num_axes=3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # kB


def test_idx_reads_no_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe must be an IDX file, got no regular"):
        read_idx(tmp_path / "pipe", num_axes=3)


# === MNIST ===


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dotted", [True, False])
@pytest.mark.parametrize("place", ["", "mnist"])
def test_mnist_is_read_in_any_spelling(tmp_path, zipped, dotted, place):
    write_mnist(tmp_path / place, zipped, dotted)
    mnist = load("mnist", data_dir=str(tmp_path))
    arrays = list(MNIST.values())
    np.testing.assert_array_equal(mnist.train_images, arrays[0][..., None])
    np.testing.assert_array_equal(mnist.train_labels, arrays[1])
    np.testing.assert_array_equal(mnist.test_images, arrays[2][..., None])
    np.testing.assert_array_equal(mnist.test_labels, arrays[3])
    assert mnist.train_images.shape == (6, 4, 5, 1)
    assert (mnist.train_images.dtype, mnist.train_labels.dtype) == (np.uint8, np.int32)
    assert mnist.origin == str(tmp_path)
    # These are not MNIST.
    assert mnist.class_names == tuple(f"class {i}" for i in range(10))
    assert (mnist.name, mnist.licence) == ("idx", "unknown")
    labels = [array.astype("<i4") for array in arrays[1::2]]
    assert mnist.sha256 == sha256(arrays[0], labels[0], arrays[2], labels[1])


def test_mnist_refuses_what_does_not_fit(tmp_path):
    with pytest.raises(FileNotFoundError, match="no MNIST file train-images-idx3"):
        load("mnist", data_dir=tmp_path)
    write_mnist(tmp_path, zipped=False)
    labels = tmp_path / "t10k-labels-idx1-ubyte"
    labels.write_bytes(idx(np.arange(3)))
    with pytest.raises(ValueError, match="2 test images and 3 labels"):
        load("mnist", data_dir=tmp_path)
    labels.write_bytes(idx(np.array([3, 10])))
    assert len(load("mnist", data_dir=tmp_path).class_names) == 11
    labels.write_bytes(idx(random_pixels(2, 4, 5)))
    with pytest.raises(ValueError, match="must begin with .*got 0x00000803"):
        load("mnist", data_dir=tmp_path)
    labels.unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte\.gz"):
        load("mnist", data_dir=tmp_path)
    for name in MNIST:
        empty = np.zeros((0, 4, 4) if "images" in name else 0)
        (tmp_path / name).write_bytes(idx(empty))
    with pytest.raises(ValueError, match="must have training images, got none"):
        load("mnist", data_dir=tmp_path)


def test_mnist_download_is_verified(tmp_path, monkeypatch):
    import keras

    write_mnist(tmp_path)
    calls = {}

    def get_file(name, url, file_hash, hash_algorithm):
        calls[url] = (file_hash, hash_algorithm)
        return str(tmp_path / name.removeprefix("mnist-"))

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    mnist = load("mnist")
    assert mnist.origin == images.MNIST_URL
    assert mnist.sha256 == load("mnist", data_dir=tmp_path).sha256
    assert calls == {
        f"{images.MNIST_URL}{name}.gz": (sha, "sha256")
        for name, sha in images.MNIST_FILES.items()
    }

    def offline(*args, **kwargs):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.utils, "get_file", offline)
    with pytest.raises(ConnectionError, match="pass data_dir=FOLDER"):
        load("mnist")


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the data folder, see ZOO_DATA")
def test_mnist_is_lecuns():
    mnist = load("mnist", data_dir=DATA)
    assert mnist.train_images.shape == (60_000, 28, 28, 1)
    assert mnist.test_images.shape == (10_000, 28, 28, 1)
    header = bytes([0, 0, 8, 3, 0, 0, 234, 96, 0, 0, 0, 28, 0, 0, 0, 28])
    md5 = hashlib.md5(header + mnist.train_images.tobytes()).hexdigest()
    assert md5 == "6bbc9ace898e44ae57da46a324031adb"
    sha = "bab833be44432887b8367c256dc3f6f37f73632c1eabcb1cbc894e04f779a312"
    assert mnist.sha256 == sha
    assert mnist.class_names == tuple("0123456789")
    assert (mnist.name, mnist.licence) == ("mnist", "CC BY-SA 3.0")


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the data folder, see ZOO_DATA")
def test_fashion_mnist_is_not_taken_for_mnist():
    fashion = load("mnist", data_dir=DATA / "fashion_mnist")
    assert (fashion.name, fashion.licence) == ("fashion_mnist", "MIT")
    assert fashion.class_names[0] == "T-shirt/top" and len(fashion.class_names) == 10
    some = load("mnist", data_dir=DATA / "fashion_mnist", most=50)
    assert len(some.train_images) == len(some.test_images) == 50
    assert some.class_names == fashion.class_names
    outlines = load("digit_outlines", data_dir=DATA / "fashion_mnist", most=50)
    assert (outlines.domains[0], outlines.licence) == ("images", "MIT")


def test_idx_datasets_are_recognised_by_their_content(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    found = load("mnist", data_dir=tmp_path)
    known = images.Known("letters", tuple("abcdefghij"), "CC0")
    monkeypatch.setitem(images.IDX_DATASETS, found.sha256, known)
    for most in (None, 1):
        letters = load("mnist", data_dir=tmp_path, most=most)
        assert (letters.name, letters.licence) == ("letters", "CC0")
        assert letters.class_names == known.class_names


# === Digits ===


def test_digits_need_nothing_and_are_a_stratified_split():
    from sklearn.datasets import load_digits

    digits = load("digits")
    assert digits == load("digits")
    # Another split would make figures incomparable.
    sha = "1db30feabbed48d497849a1020246fc5a82fed4ffa914616c8f91dabd3abf0c1"
    assert digits.sha256 == sha
    assert digits.train_images.shape == (1500, 8, 8, 1)
    assert digits.test_images.shape == (297, 8, 8, 1)
    assert set(np.bincount(digits.test_labels)) == {29, 30}
    both = np.concatenate([digits.train_images, digits.test_images])
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    levels, expected = load_digits(return_X_y=True)
    ours = np.column_stack([both.reshape(-1, 64), labels])
    theirs = np.column_stack([np.round(levels / 16 * 255), expected])
    np.testing.assert_array_equal(
        ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)]
    )


def test_digits_refuse_a_folder(tmp_path):
    with pytest.raises(ValueError, match="does not read data_dir"):
        load("digits", data_dir=tmp_path)


def test_repr_is_short_and_equality_is_of_checksums():
    digits = load("digits")
    assert len(repr(digits)) < 300
    assert "array" not in repr(digits)
    assert isinstance(digits, ImageDataset)


def test_list_names_the_image_datasets():
    assert {"mnist", "digits", "images", "tfds:NAME"} <= set(list_datasets())
    with pytest.raises(ValueError, match="Did you mean 'mnist'"):
        load("mnits")
    with pytest.raises(TypeError, match="size"):
        load("mnist", size=32)


# === Folders ===


def write_picture(path: Path, pixels: np.ndarray) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def test_folder_without_classes_holds_out_a_tenth(tmp_path):
    pixels = [
        write_picture(tmp_path / f"{i:02}.png", random_pixels(4, 6, 3))
        for i in range(20)
    ]
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / ".hidden.png").write_bytes(b"nor is this")
    dataset = load("images", data_dir=tmp_path)
    assert dataset == load("images", data_dir=tmp_path)
    assert dataset.train_images.shape == (18, 4, 6, 3)
    assert dataset.test_images.shape == (2, 4, 6, 3)
    assert dataset.train_labels is dataset.test_labels is None
    assert dataset.class_names == ()
    both = [*dataset.train_images, *dataset.test_images]
    assert {p.tobytes() for p in both} == {p.tobytes() for p in pixels}
    assert dataset.sha256 == sha256(dataset.train_images, dataset.test_images)
    train = [p.tobytes() for p in dataset.train_images]
    assert train == [p.tobytes() for p in pixels if p.tobytes() in train]


def test_subfolders_are_classes(tmp_path):
    shades = {}
    for label, name in enumerate(("deer", "horse", "ox")):
        for i in range(4):
            shade = 10 * i + label
            write_picture(
                tmp_path / name / f"deeper{i}" / "it.PNG",
                np.full((2, 2, 3), shade, np.uint8),
            )
            shades[shade] = label
    (tmp_path / "empty").mkdir()
    dataset = load("images", data_dir=tmp_path)
    assert dataset.class_names == ("deer", "horse", "ox")
    assert len(dataset.train_labels) == 11
    assert len(dataset.test_labels) == 1
    pixels = np.concatenate([dataset.train_images, dataset.test_images])[:, 0, 0, 0]
    labels = np.concatenate([dataset.train_labels, dataset.test_labels])
    assert dict(zip(pixels.tolist(), labels.tolist(), strict=True)) == shades


def test_folders_train_and_test_are_the_split(tmp_path):
    for place, shade in (
        ("train/a", 1),
        ("train/b", 2),
        ("train/c", 3),
        ("test/c", 4),
        ("test/a", 5),
    ):
        pixels = np.full((3, 3), shade, np.uint8)
        write_picture(tmp_path / place / "1.png", pixels)
    dataset = load("images", data_dir=tmp_path, channels=1)
    assert dataset.train_images[:, 1, 1, 0].tolist() == [1, 2, 3]
    assert dataset.train_labels.tolist() == [0, 1, 2]
    assert dataset.test_images[:, 1, 1, 0].tolist() == [5, 4]
    assert dataset.test_labels.tolist() == [0, 2]
    write_picture(tmp_path / "test" / "d" / "1.png", pixels)
    with pytest.raises(ValueError, match=r"test must have subfolders .*also \['d'\]"):
        load("images", data_dir=tmp_path)


def test_size_crops_the_centre_and_resizes(tmp_path):
    # A black square between red ends, in a tall and in a wide picture.
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, :4] = wide[:, 12:] = (255, 0, 0)
    write_picture(tmp_path / "1.png", wide)
    write_picture(tmp_path / "2.png", wide.transpose(1, 0, 2).copy())
    write_picture(tmp_path / "3.png", np.full((4, 4, 3), 7, np.uint8))
    dataset = load("images", data_dir=tmp_path, size=4)
    pixels = np.concatenate([dataset.train_images, dataset.test_images])
    assert pixels.shape == (3, 4, 4, 3)
    assert sorted(p.max() for p in pixels) == [0, 0, 7]
    grey = load("images", data_dir=tmp_path, size=5, channels=1)
    assert grey.train_images.shape == (2, 5, 5, 1)
    with pytest.raises(
        ValueError, match="16 x 8 pixels in .*2.png and 8 x 16 in .*1.png.*size="
    ):
        load("images", data_dir=tmp_path)


def test_pictures_of_every_kind(tmp_path):
    """Transparency becomes white, palettes their colours, and rotation is followed."""
    clear = np.zeros((2, 3, 4), np.uint8)
    clear[0, 0] = (1, 2, 3, 255)
    write_picture(tmp_path / "1.png", clear)
    palette = Image.new("P", (3, 2), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    palette.save(tmp_path / "2.png", transparency=b"\xff\xff")
    turned = Image.fromarray(np.full((3, 2, 3), 50, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    turned.save(tmp_path / "3.jpg", exif=exif)
    write_picture(tmp_path / "4.png", np.full((2, 3), 77, np.uint8))
    dataset = load("images", data_dir=tmp_path)
    pixels = [*dataset.train_images, *dataset.test_images]
    assert sorted(p[0, 0].tolist() for p in pixels) == [
        [1, 2, 3],
        [9, 8, 7],
        [50, 50, 50],
        [77, 77, 77],
    ]
    (first,) = (p for p in pixels if p[0, 0, 0] == 1)
    assert first[1, 2].tolist() == [255, 255, 255]


def test_folders_refuse_what_they_cannot_read(tmp_path):
    with pytest.raises(ValueError, match="Pass data_dir=FOLDER"):
        load("images")
    with pytest.raises(FileNotFoundError, match="no folder .*missing"):
        load("images", data_dir=tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="holds no picture"):
        load("images", data_dir=tmp_path)
    write_picture(tmp_path / "a" / "1.png", random_pixels(4, 4, 3))
    with pytest.raises(ValueError, match="at least 2 pictures, .*got 1"):
        load("images", data_dir=tmp_path)
    for option in ({"size": 0}, {"channels": 2}, {"channels": 4}):
        ((name, value),) = option.items()
        write_picture(tmp_path / "a" / "2.png", random_pixels(4, 4, 3))
        with pytest.raises(ValueError, match=f"{name} must be .*got {value}"):
            load("images", data_dir=tmp_path, **option)
    loose = tmp_path / "loose.png"
    write_picture(loose, random_pixels(4, 4, 3))
    with pytest.raises(ValueError, match=r"loose\.png lies beside .*\['a'\]"):
        load("images", data_dir=tmp_path)
    loose.unlink()
    bad = tmp_path / "a" / "3.png"
    whole = (tmp_path / "a" / "2.png").read_bytes()
    for data in (b"not a picture", whole[: len(whole) // 2]):
        bad.write_bytes(data)
        with pytest.raises(ValueError, match=r"3\.png is damaged: expected a picture"):
            load("images", data_dir=tmp_path)
    write_picture(bad, np.full((4, 4), 3000, np.uint16))
    with pytest.raises(ValueError, match=r"3\.png must have 8 bits per value"):
        load("images", data_dir=tmp_path)


# === tensorflow-datasets ===


def png(pixels: np.ndarray) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, format="png")
    file.seek(0)
    return file


def write_tfds(folder: Path, name: str, features, splits: dict[str, list]) -> None:
    """Writes a prepared dataset as tensorflow-datasets would, without TensorFlow."""
    tfds = pytest.importorskip("tensorflow_datasets")
    from array_record.python.array_record_module import ArrayRecordWriter

    folder = folder / name / "1.0.0"
    folder.mkdir(parents=True)
    features = tfds.features.FeaturesDict(features)
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder, dataset_name=name, filetype_suffix="array_record"
    )
    infos = []
    for split, examples in splits.items():
        path = folder / f"{name}-{split}.array_record-00000-of-00001"
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for example in examples:
            encoded = features.encode_example(example)
            writer.write(features.serialize_example(encoded))
        writer.close()
        infos.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[len(examples)],
                num_bytes=path.stat().st_size,
                filename_template=template,
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features,
        split_infos=infos,
        filename_template=template,
        check_data=False,
    )


def labelled(pixels: np.ndarray, first: int = 0) -> list[dict]:
    return [
        {"image": png(p), "label": (first + i) % 3, "file_name": f"{i}.png"}
        for i, p in enumerate(pixels)
    ]


@pytest.fixture
def features():
    f = pytest.importorskip("tensorflow_datasets").features
    return {
        "image": f.Image(shape=(4, 4, 1)),
        "label": f.ClassLabel(names=["ape", "bee", "cat"]),
        "file_name": f.Text(),
    }


def test_tfds_reads_images_and_classes(tmp_path, features):
    train, test = random_pixels(5, 4, 4, 1), random_pixels(2, 4, 4, 1)
    splits = {
        "validation": labelled(train[:1]),
        "train": labelled(train),
        "test": labelled(test, 1),
    }
    write_tfds(tmp_path, "tiny_images", features, splits)
    dataset = load("tfds:tiny_images", data_dir=tmp_path)
    assert isinstance(dataset, ImageDataset)
    assert dataset.name == "tfds:tiny_images"
    np.testing.assert_array_equal(dataset.train_images, train)
    np.testing.assert_array_equal(dataset.test_images, test)
    assert dataset.train_labels.tolist() == [0, 1, 2, 0, 1]
    assert dataset.test_labels.tolist() == [1, 2]
    assert dataset.class_names == ("ape", "bee", "cat")
    assert "tiny_images/1.0.0" in dataset.origin
    options = {"size": 2, "channels": 3}
    small = load("tfds:tiny_images", data_dir=tmp_path, **options)
    assert small.train_images.shape == (5, 2, 2, 3)
    for option in ({"image_key": "label"}, {"label_key": "image"}):
        with pytest.raises(ValueError, match=f"{list(option)[0]} must be .*, one of"):
            load("tfds:tiny_images", data_dir=tmp_path, **option)


def test_tfds_gives_the_text_beside_images_when_asked(tmp_path, features):
    splits = {"train": labelled(random_pixels(3, 4, 4, 1))}
    write_tfds(tmp_path, "captioned", features, splits)
    text = load("tfds:captioned", data_dir=tmp_path, text_key="file_name")
    assert isinstance(text, TextDataset)
    assert (text.train + text.validation) == "0.png\n\n1.png\n\n2.png"


def test_tfds_holds_out_a_split_or_a_tenth(tmp_path, features):
    features = {"image": features["image"]}
    pixels = random_pixels(12, 4, 4, 1)
    examples = [{"image": png(p)} for p in pixels]
    splits = {"train": examples[:11], "validation": examples[11:]}
    write_tfds(tmp_path, "validated", features, splits)
    dataset = load("tfds:validated", data_dir=tmp_path)
    np.testing.assert_array_equal(dataset.test_images, pixels[11:])
    assert dataset.train_labels is None
    for example in examples:
        example["image"].seek(0)
    write_tfds(tmp_path, "alone", features, {"train": examples})
    alone = load("tfds:alone", data_dir=tmp_path)
    assert (len(alone.train_images), len(alone.test_images)) == (11, 1)
    for example in examples:
        example["image"].seek(0)
    write_tfds(tmp_path, "trainless", features, {"test": examples})
    with pytest.raises(ValueError, match=r"a split 'train', got only \['test'\]"):
        load("tfds:trainless", data_dir=tmp_path)


def test_tfds_refuses_pixels_of_other_types(tmp_path):
    f = pytest.importorskip("tensorflow_datasets").features
    deep = {"image": f.Image(shape=(4, 4, 1), dtype=np.uint16)}
    write_tfds(tmp_path, "deep", deep, {"train": []})
    with pytest.raises(ValueError, match="'image' of 'tfds:deep' .*got uint16"):
        load("tfds:deep", data_dir=tmp_path)
