"""Datasets by name: what they hold, how they split, and what they refuse."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from zoo.data import TextDataset, datasets, list_datasets, load

DATA = Path(os.environ.get("ZOO_DATA", Path(__file__).parents[3] / "shared" / "data"))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_docs_needs_nothing_and_is_deterministic():
    docs = load("docs")
    assert docs == load("docs")
    assert docs.sha256 == sha256(docs.train + docs.validation)
    assert "pydoc_data.topics" in docs.origin
    assert docs.licence == "PSF-2.0"
    assert len(docs.train) > 200_000


def test_docs_holds_every_paragraph_once():
    from pydoc_data.topics import topics

    docs = load("docs")
    train = docs.train.split("\n\n")
    validation = docs.validation.split("\n\n")
    assert 0.05 < len(docs.validation) / len(docs.train + docs.validation) <= 0.1
    assert not set(train) & set(validation)
    assert len(set(train)) == len(train)
    lines = {line for topic in topics.values() for line in topic.splitlines()}
    assert set((docs.train + "\n" + docs.validation).splitlines()) == lines


def test_a_dataset_of_another_kind_is_refused():
    assert load("docs", expect=TextDataset).name == "docs"
    with pytest.raises(ValueError, match="TextDataset or .*got 'digits' of ImageD"):
        load("digits", expect=(TextDataset, int))


def test_docs_refuses_a_folder(tmp_path):
    with pytest.raises(ValueError, match="does not read data_dir"):
        load("docs", data_dir=tmp_path)


def test_text_file_splits_at_nine_tenths(tmp_path):
    path = tmp_path / "novel.md"
    path.write_bytes("0123456789\r\nabcdéfgh".encode())
    dataset = load("text", data_dir=str(path))
    assert dataset.train == "0123456789\r\nabcdéf"
    assert dataset.validation == "gh"
    assert dataset.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert dataset.origin == str(path)


def test_text_folder_reads_files_in_order(tmp_path):
    for name, text in (("b.txt", "second"), ("a.txt", "first"), ("c.md", "not")):
        (tmp_path / name).write_text(text)
    dataset = load("text", data_dir=tmp_path)
    assert dataset.train + dataset.validation == "first\n\nsecond"


def test_repr_is_short():
    assert len(repr(TextDataset("a", "x" * 10**6, "y", "0", "here", "none"))) < 200


def test_text_refuses_what_it_cannot_read(tmp_path):
    with pytest.raises(ValueError, match="Pass data_dir=FILE"):
        load("text")
    with pytest.raises(FileNotFoundError, match="no file or folder .*missing"):
        load("text", data_dir=tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match=r"holds no \*\.txt"):
        load("text", data_dir=tmp_path)
    empty = tmp_path / "empty.txt"
    empty.touch()
    with pytest.raises(ValueError, match=r"empty\.txt is empty"):
        load("text", data_dir=empty)
    (tmp_path / "empty_too.txt").touch()
    with pytest.raises(ValueError, match="is empty"):
        load("text", data_dir=tmp_path)
    latin = tmp_path / "latin.txt"
    latin.write_bytes("caf\u00e9 noir".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.txt is not UTF-8.* byte 3 \(0xe9\)"):
        load("text", data_dir=latin)


def test_unknown_names_name_the_closest():
    with pytest.raises(ValueError, match=r"'doc'\. Did you mean 'docs'\?"):
        load("doc")
    with pytest.raises(
        ValueError, match="docs, text, tinyshakespeare, hf:NAME, tfds:NAME"
    ):
        load("qqqq")
    assert "tinyshakespeare" in list_datasets()


def test_unknown_options_raise():
    with pytest.raises(TypeError, match="text_key"):
        load("docs", text_key="text")


def test_tinyshakespeare_from_a_local_file(tmp_path):
    text = "First Citizen:\nBefore we proceed"
    (tmp_path / "input.txt").write_text(text)
    from_folder = load("tinyshakespeare", data_dir=tmp_path)
    assert from_folder == load("tinyshakespeare", data_dir=tmp_path / "input.txt")
    assert from_folder.train == text[: int(len(text) * 0.9)]
    assert from_folder.sha256 == sha256(text)
    with pytest.raises(FileNotFoundError, match=r"nope/input\.txt"):
        load("tinyshakespeare", data_dir=tmp_path / "nope")


def test_tinyshakespeare_download_is_verified(tmp_path, monkeypatch):
    import keras

    calls = []

    def get_file(name, url, file_hash, hash_algorithm):
        calls.append((url, file_hash, hash_algorithm))
        (tmp_path / name).write_text("To be, or not to be")
        return str(tmp_path / name)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    assert load("tinyshakespeare").train == "To be, or not to "
    assert calls == [(datasets.SHAKESPEARE_URL, datasets.SHAKESPEARE_SHA256, "sha256")]

    def offline(*args, **kwargs):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.utils, "get_file", offline)
    with pytest.raises(ConnectionError, match="pass data_dir=FOLDER"):
        load("tinyshakespeare")


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the data folder, see ZOO_DATA")
def test_tinyshakespeare_is_nanogpts():
    dataset = load("tinyshakespeare", data_dir=DATA)
    assert dataset.sha256 == datasets.SHAKESPEARE_SHA256
    assert (len(dataset.train), len(dataset.validation)) == (1_003_854, 111_540)
    assert len(set(dataset.train + dataset.validation)) == 65


def write_tfds(folder: Path, name: str, splits: dict[str, list[str]]) -> None:
    """Writes a prepared dataset as tensorflow-datasets would, without TensorFlow."""
    tfds = pytest.importorskip("tensorflow_datasets")
    from array_record.python.array_record_module import ArrayRecordWriter

    folder = folder / name / "1.0.0"
    folder.mkdir(parents=True)
    features = tfds.features.FeaturesDict(
        {
            "text": tfds.features.Text(),
            "summary": tfds.features.Text(),
            "label": tfds.features.Scalar(np.int64),
        }
    )
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder, dataset_name=name, filetype_suffix="array_record"
    )
    infos = []
    for split, texts in splits.items():
        path = folder / f"{name}-{split}.array_record-00000-of-00001"
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for text in texts:
            example = {"text": text, "summary": text[:1], "label": 0}
            example = features.encode_example(example)
            writer.write(features.serialize_example(example))
        writer.close()
        infos.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[len(texts)],
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


def test_tfds_reads_a_prepared_dataset(tmp_path):
    splits = {"train": ["naïve one", "two"], "test": ["three"], "validation": ["four"]}
    write_tfds(tmp_path, "tiny_text", splits)
    dataset = load("tfds:tiny_text", data_dir=tmp_path)
    assert dataset.name == "tfds:tiny_text"
    assert dataset.train == "naïve one\n\ntwo"
    assert dataset.validation == "four"
    assert "tiny_text/1.0.0" in dataset.origin
    summaries = load("tfds:tiny_text:1.0.0", data_dir=tmp_path, text_key="summary")
    assert summaries.train == "n\n\nt"
    for key in ("label", "nothing"):
        with pytest.raises(
            ValueError, match=f"text feature of .*'summary'.*got '{key}'"
        ):
            load("tfds:tiny_text", data_dir=tmp_path, text_key=key)


def test_tfds_holds_out_a_split_or_a_tenth(tmp_path):
    write_tfds(tmp_path, "tested", {"train": ["a"], "test": ["b"]})
    assert load("tfds:tested", data_dir=tmp_path).validation == "b"
    write_tfds(tmp_path, "alone", {"train": ["01234567", "8901234567"]})
    dataset = load("tfds:alone", data_dir=tmp_path)
    assert (dataset.train, dataset.validation) == ("01234567\n\n89012345", "67")
    write_tfds(tmp_path, "trainless", {"test": ["b"]})
    with pytest.raises(ValueError, match=r"a split 'train', got only \['test'\]"):
        load("tfds:trainless", data_dir=tmp_path)


def test_tfds_unknown_dataset(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(ValueError, match="no dataset 'no_such_text'"):
        load("tfds:no_such_text", data_dir=tmp_path)


def test_tfds_absent_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install .*\[tensorflow"):
        load("tfds:lm1b")
