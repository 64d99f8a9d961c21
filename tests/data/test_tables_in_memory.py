"""Tables of pandas and of Hugging Face's `datasets`, without a network."""

import sys

import numpy as np
import pytest

from zoo.data import ImageDataset, LabelledText, load
from zoo.data.datasets import TextDataset

pytestmark = pytest.mark.host
ROWS = {"review": ["good", "bad", "fine", "poor"], "stars": ["up", "down"] * 2}


def parts_of(data):
    return [*data.train, *data.validation]


def test_pandas_table():
    pd = pytest.importorskip("pandas")
    train, dev = pd.DataFrame(ROWS), pd.DataFrame(ROWS).iloc[:2]
    data = load({"train": train, "dev": dev}, text="review", label="stars")
    assert data.class_names == ("down", "up")
    assert data.train[:2] == (LabelledText("good", 1), LabelledText("bad", 0))
    assert data.validation == data.train[:2] and data.test == ()
    by_number = load({"train": train, "dev": dev}, text=0, label=1)
    assert by_number == data and by_number.train == data.train
    alone = load(pd.concat([train] * 3), text="review", label="stars")
    assert (len(alone.train), len(alone.validation)) == (11, 1)


def test_pandas_labels():
    pd = pytest.importorskip("pandas")
    order = pd.CategoricalDtype(["up", "down", "so-so"])
    table = pd.DataFrame(ROWS).astype({"stars": order})
    parts = {"train": table, "validation": table, "test": table[["review"]]}
    data = load(parts, text="review", label="stars")
    assert data.class_names == ("up", "down", "so-so")
    assert [x.label for x in data.train] == [0, 1, 0, 1]
    assert [x.label for x in data.test] == [None] * 4 and data.tested == "validation"
    table = pd.DataFrame(
        {"text": list("abcd"), "label": [10, 9, 10, 9], "b": list("efgh")}
    )
    data = load({"train": table, "dev": table}, pair="b")
    assert data.class_names == ("9", "10")
    assert data.train[0] == LabelledText("a", 1, "e")
    values = load({"train": table, "dev": table}, regression=True)
    assert values.train[0].label == 10.0 and not values.class_names


def test_pandas_rows_that_are_refused():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"text": ["a", None, "c"], "label": ["x", "y", None]})
    both = {"train": table, "dev": table.iloc[:1]}
    with pytest.raises(
        ValueError, match="row 1 of 'train' in a pandas table must have"
    ):
        load(both)
    with pytest.warns(UserWarning, match="2 bad lines or entries"):
        data = load(both, on_bad="skip")
    assert data.train == (LabelledText("a", 0),) and data.left_out == 2
    for options, message in (
        ({"text": "words"}, "one column 'words', got"),
        ({"label": 7}, "one column 7"),
        ({"data_dir": "x"}, "data_dir is for names"),
    ):
        with pytest.raises(ValueError, match=message):
            load(both, **options)
    halves = table.assign(label=[0.5, 1.0, 1.5])
    with pytest.raises(ValueError, match="got 0.5. To learn values, set regression"):
        load({"train": halves.iloc[[0, 2]], "dev": halves})
    with pytest.raises(ValueError, match="a part 'train', got only \\['dev'\\]"):
        load({"dev": table})
    with pytest.raises(TypeError, match="Data must be a name"):
        load([1, 2])


def test_datasets_of_labelled_texts(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        sentence=datasets.Value("string"),
        label=datasets.ClassLabel(names=["neg", "pos"]),
    )
    rows = {"sentence": ["a", "b", "c"], "label": [1, 0, 1]}
    train = datasets.Dataset.from_dict(rows, features)
    test = datasets.Dataset.from_dict({**rows, "label": [-1] * 3}, features)
    both = datasets.DatasetDict(train=train, validation=train, test=test)
    data = load(both)
    assert data.class_names == ("neg", "pos") and data.train[0] == LabelledText("a", 1)
    assert [example.label for example in data.test] == [None] * 3
    both.save_to_disk(str(tmp_path / "saved"))
    again = load("hf:some/name", data_dir=tmp_path / "saved")
    assert again.sha256 == data.sha256 and again.name == "hf:some/name"
    with pytest.raises(ValueError, match="must be of ImageDataset, got 'hf:some/name'"):
        load("hf:some/name", data_dir=tmp_path / "saved", expect=ImageDataset)
    with pytest.raises(ValueError, match=r"one of \['sentence'\], got 'words'"):
        load(both, text="words")
    with pytest.raises(TypeError, match=r"take no \['size'\]"):
        load(both, size=8)


def test_datasets_of_texts():
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"text": ["one two", "three"] * 5})
    found = load({"train": data, "validation": data.select([0])})
    assert isinstance(found, TextDataset) and found.validation == "one two"
    assert found.train.startswith("one two\n\nthree\n\n")
    assert load(data).validation
    holes = datasets.Dataset.from_dict({"text": ["a", None, "bc"]})
    with pytest.raises(ValueError, match="row 1 of 'train' in datasets: datasets must"):
        load(holes)
    with pytest.warns(UserWarning, match="1 bad lines or entries"):
        assert load(holes, on_bad="skip").left_out == 1
    several = datasets.Dataset.from_dict({"a": ["x"], "b": ["y"]})
    with pytest.raises(ValueError, match=r"one of \['a', 'b'\], got None"):
        load(several)


def test_datasets_of_images(tmp_path):
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), "uint8")
    rows = {"image": [Image.fromarray(x) for x in pixels], "label": [0, 1, 1, 0]}
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog"])
    )
    data = datasets.Dataset.from_dict(rows, features)
    found = load(datasets.DatasetDict(train=data, test=data.select([1])))
    assert (found.train_images == pixels).all()  # PNG loses nothing
    assert found.class_names == ("cat", "dog")
    assert found.test_labels.tolist() == [1]
    assert load(data, size=4, channels=1).train_images.shape == (3, 4, 4, 1)


def test_datasets_that_are_not_there(monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def offline(*args, **kwargs):
        raise ConnectionError("Couldn't reach 'no/where' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(FileNotFoundError, match="neither in the cache.*Couldn't reach"):
        load("hf:no/where:config", data_dir=tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"'hf:no/where' needs datasets.*pip"):
        load("hf:no/where")
