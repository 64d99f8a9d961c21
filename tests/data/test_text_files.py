"""Text files: encodings, byte order marks, and one policy for bad lines."""

import gzip
import json
import os

import pytest

from zoo.data import load
from zoo.files.text_files import BadLines, read_lines, read_text, read_whole

pytestmark = pytest.mark.host

TEXT = "naïve 東京 🎉\r\nsecond line\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be", "utf-32-be"]
)
def test_marks_of_byte_order_are_no_part_of_the_text(tmp_path, encoding):
    file = tmp_path / "a.txt"
    text = "\ufeff" + TEXT if encoding.endswith("be") else TEXT
    file.write_bytes(text.encode(encoding))
    assert read_text(file, BadLines()) == read_whole(file) == TEXT
    assert read_lines(file, BadLines()) == ["naïve 東京 🎉", "second line"]


BAD = [
    (b"a\nb\xff\nc\n", "line 2 of .* is not UTF-8 text: its byte 1 .0xff"),
    (b"a\n\xed\xa0\xbd\nc\n", "line 2 of .* is not UTF-8 text: its byte 0 .0xed"),
    (b"a\n\0b\nc\n", "line 2 of .* has a NUL character after 0 others"),
    (
        b"\xff\xfe" + b"a\0\n\0\x3d\xd8\n\0c\0\n\0",
        r"line 2 of .* has half of a surrogate pair \(U\+D83D\)",
    ),
]


@pytest.mark.parametrize(("data", "message"), BAD)
def test_bad_lines(tmp_path, data, message):
    file = tmp_path / "a.txt"
    file.write_bytes(data)
    for read in (read_text, read_lines):
        with pytest.raises(ValueError, match=rf"{message}.*\. on_bad=.skip. \(--on-"):
            read(file, BadLines())
        bad = BadLines("skip")
        found = read(file, bad)
        assert found == ("a\nc\n" if read is read_text else ["a", None, "c"])
        assert (bad.count, "line 2 of" in bad.first) == (1, True)
    with pytest.raises(ValueError, match=message):
        read_whole(file)


def test_text_of_16_bits_without_a_mark_or_cut_is_refused(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("hello".encode("utf-16-le"))
    with pytest.raises(ValueError, match="UTF-16 without a byte order mark"):
        load("text", file)
    file.write_bytes("hello".encode("utf-16")[:-1])
    with pytest.raises(ValueError, match=r"a.txt starts as UTF-16 text.*truncated"):
        load("text", file)


def test_compressed_files_grow_within_limits(tmp_path):
    file = tmp_path / "a.gz"
    file.write_bytes(gzip.compress(b"a\nb\n"))
    assert read_lines(file, BadLines()) == ["a", "b"]
    file.write_bytes(gzip.compress(bytes(80 << 20)))
    with pytest.raises(ValueError, match="grows to more than .*Decompress it first"):
        read_lines(file, BadLines())
    file.write_bytes(gzip.compress(b""))
    with pytest.raises(ValueError, match="a.gz is empty"):
        read_lines(file, BadLines())


def test_another_policy_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"on_bad must be one of .*, got 'ignore'"):
        load("text", tmp_path, on_bad="ignore")
    for name in ("docs", "digits", "animal_sentences"):
        with pytest.raises(
            ValueError, match=f"on_bad .* which '{name}' does.*got 'skip'"
        ):
            load(name, on_bad="skip")
        load(name, on_bad="error")


ANSWER = {"text": "b", "answer_start": 2}


def questions(*entries):
    paragraph = {"context": "a b c", "qas": list(entries)}
    return json.dumps({"data": [{"paragraphs": [paragraph]}]})


ASKED = {"id": "1", "question": "what", "answers": [ANSWER]}
# Training files with three good entries and a bad one, and the error for the bad one.
DATASETS = {
    "text": ({"a.txt": b"one\n\xe9\ntwo two two\nthree"}, "line 2 of .*a.txt"),
    "tinyshakespeare": ({"input.txt": b"one\n\xe9\ntwo two"}, "line 2 of .*input.txt"),
    "tsv": (
        {"train.tsv": b"a\t0\nb\t0\nc\nd\t1\n", "dev.tsv": b"a\t0\n"},
        "line 3 of .*train.tsv must have 2 columns .*got 1",
    ),
    "sst2": (
        {"train.tsv": b"a\t0\nb\t0\nc\xe9\t1\nd\t1\n", "dev.tsv": b"a\t0\n"},
        "line 3 of .*train.tsv is not UTF-8",
    ),
    "conll": (
        {
            "train.txt": b"a O\n\nb O\n\nx O\ny B\nz O\n\nc O\n",
            "dev.txt": b"a O\n",
        },
        "line 6 of .*train.txt must have a word and a tag .*got 'y B'",
    ),
    "parallel": (
        {
            "train.en": b"a\nb\n\nc\n",
            "train.de": b"A\nB\nX\nC\n",
            "dev.en": b"a\n",
            "dev.de": b"A\n",
        },
        "each line of .*train.en must have a sentence, got none in line 3",
    ),
    "squad": (
        {
            "train-v1.1.json": questions(
                ASKED, ASKED, {**ASKED, "question": None}, ASKED
            ).encode(),
            "dev-v1.1.json": questions(ASKED).encode(),
        },
        "question 1 of .*train-v1.1.json must have text as its question, got None",
    ),
}


@pytest.mark.parametrize("name", DATASETS)
def test_one_bad_line_of_a_dataset(tmp_path, name):
    files, message = DATASETS[name]
    for file, data in files.items():
        (tmp_path / file).write_bytes(data)
    options = {"source": "en", "target": "de"} if name == "parallel" else {}
    with pytest.raises(ValueError, match=rf"{message}.*\. on_bad=.skip."):
        load(name, tmp_path, **options)
    left_out = f"1 bad lines or entries of '{name}' are left out; the first: "
    with pytest.warns(UserWarning, match=left_out + message):
        found = load(name, tmp_path, on_bad="skip", **options)
    assert found.left_out == 1
    if isinstance(found.train, str):
        assert found.train.startswith("one\ntwo")
    else:
        assert (len(found.train), len(found.validation)) == (3, 1)


@pytest.mark.parametrize("name", DATASETS)
def test_nothing_but_bad_lines(tmp_path, name):
    for file, data in DATASETS[name][0].items():
        if file.endswith(".json"):
            data = questions({"id": 3}).encode()
        else:
            data = b"\xff\n" * (data.count(b"\n") + 1)
        (tmp_path / file).write_bytes(data)
    options = {"source": "en", "target": "de"} if name == "parallel" else {}
    with pytest.raises(ValueError, match=r"is empty|must (have|hold) .*got none"):
        load(name, tmp_path, on_bad="skip", **options)


@pytest.mark.parametrize("name", DATASETS)
def test_empty_files_are_refused(tmp_path, name):
    for file in DATASETS[name][0]:
        (tmp_path / file).touch()
    options = {"source": "en", "target": "de"} if name == "parallel" else {}
    with pytest.raises(ValueError, match=str(tmp_path)):
        load(name, tmp_path, **options)


@pytest.mark.parametrize("name", DATASETS)
def test_marks_of_byte_order_in_datasets(tmp_path, name):
    plain, marked = tmp_path / "plain", tmp_path / "marked"
    for folder, mark in ((plain, b""), (marked, b"\xef\xbb\xbf")):
        folder.mkdir()
        for file, data in DATASETS[name][0].items():
            (folder / file).write_bytes(mark + data)
    options = {"source": "en", "target": "de"} if name == "parallel" else {}
    options["on_bad"] = "skip"
    with pytest.warns(UserWarning, match="1 bad lines"):
        first, second = (load(name, x, **options) for x in (plain, marked))
    assert first.train == second.train
    assert first.validation == second.validation


def test_a_name_that_is_not_unicode_is_no_matter(tmp_path):
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)
    with open(folder + b"/a.txt", "wb") as file:
        file.write(b"hello")
    assert load("text", os.fsdecode(folder)).train == "hell"
