"""Labelled texts, tagged words and questions from files, and errors for bad ones."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from zoo.data import LabelledText, TaggedWords, load

pytestmark = pytest.mark.host

DATA = Path(os.environ.get("ZOO_DATA", Path(__file__).parents[3] / "shared" / "data"))


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_bytes(text.encode())
    return folder


def test_tables_by_number(tmp_path):
    write(
        tmp_path,
        train__tsv='good "film\tgood\r\nbad\u2028film\tbad\n',
        dev__tsv="film\tgood",
        test__tsv="",
    )
    (tmp_path / "test.tsv").unlink()
    dataset = load("tsv", data_dir=tmp_path)
    assert dataset.class_names == ("bad", "good")
    assert dataset.train == (
        LabelledText('good "film', 1),
        LabelledText("bad\u2028film", 0),
    )
    assert dataset.validation == (LabelledText("film", 1),)
    assert dataset.test == ()
    content = (tmp_path / "train.tsv").read_bytes() + (
        tmp_path / "dev.tsv"
    ).read_bytes()
    assert dataset.sha256 == hashlib.sha256(content).hexdigest()
    assert dataset.origin == str(tmp_path)
    assert dataset == load("tsv", data_dir=str(tmp_path))
    assert len(repr(dataset)) < 300


def test_tables_by_name(tmp_path):
    header = "index\tsentence1\tsentence2\tscore\n"
    write(
        tmp_path,
        train__tsv=header + "0\ta\tb\t2.5\n1\tc\td\t0\n",
        dev__tsv=header + "0\te\tf\t1\n",
        test__tsv="index\tsentence1\tsentence2\n0\tg\th\n",
    )
    columns = {"text": "sentence1", "pair": "sentence2", "label": "score"}
    values = load("tsv", data_dir=tmp_path, regression=True, **columns)
    assert values.class_names == ()
    assert values.train[0] == LabelledText("a", 2.5, "b")
    assert values.test == (LabelledText("g", None, "h"),)
    (tmp_path / "dev.tsv").unlink()
    write(tmp_path, train__tsv=header + "0\ta\tb\t1\n" * 20)
    classes = load("tsv", data_dir=tmp_path, **columns)
    assert (len(classes.train), len(classes.validation)) == (18, 2)
    assert classes.test == (LabelledText("g", None, "h"),)


def test_tables_refuse(tmp_path):
    with pytest.raises(ValueError, match="Pass data_dir=FOLDER"):
        load("tsv")
    with pytest.raises(FileNotFoundError, match=r"holds no train\.tsv"):
        load("tsv", data_dir=tmp_path)
    write(tmp_path, train__tsv="a\t0\nb\n")
    with pytest.raises(ValueError, match=r"line 2 of .*train\.tsv must have 2 .*got 1"):
        load("tsv", data_dir=tmp_path)
    write(tmp_path, train__tsv="a\t0\n")
    with pytest.raises(ValueError, match="and for validation, got 1 and 0"):
        load("tsv", data_dir=tmp_path)
    write(tmp_path, dev__tsv="a\t1\n")
    with pytest.raises(ValueError, match=r"label in .*dev\.tsv .*\('0',\), got '1'"):
        load("tsv", data_dir=tmp_path)
    with pytest.raises(ValueError, match=r"a column 'text', got \['a', '0'\]"):
        load("tsv", data_dir=tmp_path, text="text", label="0")
    write(tmp_path, train__tsv="text\tlabel\na\t0\nb\t0\n")
    with pytest.raises(ValueError, match="the only one of the class 'label'. If it "):
        load("tsv", data_dir=tmp_path)
    for value in ("x", "nan", "inf"):
        write(tmp_path, train__tsv=f"a\t0.5\nb\t{value}\n")
        with pytest.raises(ValueError, match=f"label .* a number, got '{value}'"):
            load("tsv", data_dir=tmp_path, regression=True)
    (tmp_path / "dev.tsv").write_bytes(b"\xff\t1")
    with pytest.raises(ValueError, match=r"dev\.tsv is not UTF-8"):
        load("tsv", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a\t1.5\nb\t0\nc\t1.5\nd\t0\n", r"label in line 1 .* got '1.5'.*--regression"),
        ("a\t0\nb\tnan\nc\t0\nd\t0\n", "label in line 2 .* a class.* got 'nan'"),
        ("a\t0\nb\t0\nc\t \nd\t0\n", r"line 3 of .*train\.tsv must have a label"),
        ("a\t0\nb\tx\t0\nc\t0\n", r"line 2 of .* must have 2 columns .*got 3"),
    ],
)
def test_labels_that_are_no_classes(tmp_path, rows, message):
    write(tmp_path, train__tsv=rows, dev__tsv="a\t0\n")
    with pytest.raises(ValueError, match=message):
        load("tsv", data_dir=tmp_path)


def test_classes_may_be_whole_numbers_or_names_with_dots(tmp_path):
    write(tmp_path, train__tsv="a\t1.0\nb\t0.0\n" * 2, dev__tsv="a\t0.0\n")
    assert load("tsv", data_dir=tmp_path).class_names == ("0.0", "1.0")
    write(tmp_path, train__tsv="a\t3.5\nb\t4-turbo\n" * 2, dev__tsv="a\t3.5\n")
    assert load("tsv", data_dir=tmp_path).class_names == ("3.5", "4-turbo")


def test_columns_that_are_twice_or_not_there(tmp_path):
    write(tmp_path, train__tsv="text\tlabel\tlabel\na\t0\t1\n", dev__tsv="a\t0\n")
    with pytest.raises(ValueError, match=r"train\.tsv must .* column 'label', got 2"):
        load("tsv", data_dir=tmp_path, text="text", label="label")
    for column in (3, -1):
        with pytest.raises(ValueError, match=f"one of the 3 in .*, got {column}"):
            load("tsv", data_dir=tmp_path, label=column)
    write(tmp_path, train__tsv="text\tlabel\n", dev__tsv="text\tlabel\na\t0\n")
    with pytest.raises(ValueError, match=r"train\.tsv must have rows, got none"):
        load("tsv", data_dir=tmp_path, text="text", label="label")


def test_some_labels_are_not_enough(tmp_path):
    rows = "a\t0\nb\t1\nc\t0\nd\t1\n"
    write(tmp_path, train__tsv=rows, dev__tsv=rows, test__tsv="e\t-1\nf\t1\n")
    with pytest.raises(ValueError, match=r"test.tsv must .*got 1 of 2 lines without"):
        load("tsv", data_dir=tmp_path)


def test_minus_one_is_a_class_where_training_has_it(tmp_path):
    rows = "a\t-1\nb\t1\nc\t-1\nd\t1\n"
    write(tmp_path, train__tsv=rows, dev__tsv=rows, test__tsv="e\t-1\n")
    dataset = load("tsv", data_dir=tmp_path)
    assert dataset.class_names == ("-1", "1")
    assert [example.label for example in dataset.validation] == [0, 1, 0, 1]
    values = load("tsv", data_dir=tmp_path, regression=True)
    assert [example.label for example in values.test] == [-1.0]
    assert values.tested == "test"


def test_sst2_in_both_forms(tmp_path):
    plain = write(
        tmp_path / "sst2", train__tsv="a b\t1\nc\t0", dev__tsv="d\t0", test__tsv="e\t1"
    )
    glue = write(
        tmp_path / "glue",
        train__tsv="sentence\tlabel\na b\t1\nc\t0\n",
        dev__tsv="sentence\tlabel\nd\t0\n",
        test__tsv="index\tsentence\n0\te\n",
    )
    dataset, other = load("sst2", data_dir=tmp_path), load("sst2", data_dir=glue)
    assert dataset.origin == str(plain)
    assert (
        dataset.train == other.train == (LabelledText("a b", 1), LabelledText("c", 0))
    )
    assert (dataset.test[0].label, other.test[0].label) == (1, None)
    assert (dataset.tested, other.tested) == ("test", "validation")
    write(glue, train__tsv="sentence\tlabel\tidx\na b\t1\t0\nc\t0\t1\n")
    assert load("sst2", data_dir=glue).train == dataset.train


def test_mrpc_in_both_forms(tmp_path):
    header = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    rows = "".join(f"{i % 2}\t1\t2\tfirst {i}\tsecond {i}\n" for i in range(20))
    write(
        tmp_path,
        msr_paraphrase_train__txt=header + rows,
        msr_paraphrase_test__txt=header + rows[:23],
    )
    dataset = load("mrpc", data_dir=tmp_path)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (
        18,
        2,
        1,
    )
    assert LabelledText("first 0", 0, "second 0") in dataset.train + dataset.validation
    glue = write(
        tmp_path / "mrpc", train__tsv=header + rows, dev__tsv=header + rows[:23]
    )
    assert len(load("mrpc", data_dir=glue).train) == 20


def test_tagged_words(tmp_path):
    write(
        tmp_path,
        train__txt="-DOCSTART- -X- O\n\nEU NNP B-ORG\nsaid VBD O\n"
        "-DOCSTART- O\n. . O\n",
        valid__txt="Bonn\tB-LOC\nam\tI-LOC\n \nRhein\tO",
    )
    dataset = load("conll", data_dir=tmp_path)
    assert dataset.class_names == ("O", "B-LOC", "B-ORG", "I-LOC")
    assert dataset.train == (
        TaggedWords(("EU", "said"), (2, 0)),
        TaggedWords((".",), (0,)),
    )
    assert dataset.validation[0] == TaggedWords(("Bonn", "am"), (1, 3))
    for line in ("word", "word LOC", "word B-", " word O"):
        write(tmp_path, train__txt=f"a O\n{line}\n")
        with pytest.raises(ValueError, match=f"line 2 of .*txt must .* got '{line}'"):
            load("conll", data_dir=tmp_path)


CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

# # O O
. . O O
"""
GERMEVAL = """#\thttp://de.wikipedia.org/wiki/Bonn [2009-10-17]
1\tNew York\tB-LOC\tO
2\tist\tO\tO

#\tn-tv.de vom 26.02.2005
1\tBonner\tB-LOCderiv\tB-LOC
"""
UNIVERSAL_NER = """# newdoc id = 1
# text = zum Bonner
1-2\tzum\tO\t-\t-
1\tzu\tO\t-\t-
2\tdem\tO\t-\t-
2.1\tgeht\tO\t-\t-
3\tBonner\tB-LOC\t-\t-
"""
MULTICONER = """# id 5239d808\tdomain=en
their _ _ O
# _ _ O
king _ _ B-PER
"""
LAYOUTS = {
    "CoNLL-2000": ("EU NNP B-NP\nsaid VBD B-VP\n", {}, ["EU said"]),
    "CoNLL-2003": (CONLL_2003, {}, ["EU rejects", "# ."]),
    "WNUT-17": ("New York\tB-location\n10 000\tO\n", {}, ["New York 10 000"]),
    "GermEval": (GERMEVAL, {"word": 1, "tag": 2}, ["New York ist", "Bonner"]),
    "UNER": (UNIVERSAL_NER, {"word": 1, "tag": 2}, ["zu dem Bonner"]),
    "MultiCoNER": (MULTICONER, {}, ["their # king"]),
    "tags first": ("B-ACTOR\tsteve\n", {"word": 1, "tag": 0}, ["steve"]),
    "indented": ("a\t\tO\t\n", {}, ["a"]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_tagged_words(tmp_path, layout):
    text, columns, sentences = LAYOUTS[layout]
    write(tmp_path, train__conll=text, dev__conll=text)
    found = load("conll", data_dir=tmp_path, **columns).train
    assert [" ".join(sentence.words) for sentence in found] == sentences


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (GERMEVAL, {}, r"first column of .*their numbers: '1\\tNew York.*Set word"),
        (UNIVERSAL_NER, {}, "must hold words, got their numbers"),
        (UNIVERSAL_NER, {"word": 1}, r"line 3 of .*'1-2|line 4 of .*word and a tag"),
        ("B-ACTOR\tsteve\n", {}, "line 1 of .* tag that is O.*word and tag .*-column"),
        ("a O\nNew York B-LOC\n", {}, "line 2 of .*must have 2 .*separated by blanks"),
        ("a b\tO\nc O\n", {}, "line 2 of .*must have 2 columns separated by tabs"),
        ("a O\n", {"word": 2}, "word must be one of the 2 columns in .*got 2"),
        ("a O\n", {"tag": -3}, "tag must be one of the 2 columns in .*got -3"),
        ("# a comment\n\n", {}, "must have sentences, .*got none"),
        ("a O\n# O c\n", {}, "line 2 of "),
    ],
)
def test_other_layouts_are_refused(tmp_path, text, columns, message):
    write(tmp_path, train__conll=text, dev__conll=text)
    with pytest.raises(ValueError, match=message):
        load("conll", data_dir=tmp_path, **columns)


def test_a_sentence_without_one_of_its_words_is_left_out(tmp_path):
    text = "1 O\n2 O\n\na O\nb\nc O\n\nd O\n"
    write(tmp_path, train__conll=text, dev__conll="a O\n")
    with pytest.warns(
        UserWarning, match=r"1 bad .* line 5 of .*train.conll .* got 'b'"
    ):
        found = load("conll", data_dir=tmp_path, on_bad="skip")
    assert [sentence.words for sentence in found.train] == [("1", "2"), ("d",)]


def test_wikiann_drops_the_language(tmp_path):
    write(tmp_path, train__conll="en:a\tO\nen::\tB-PER\n\n" * 10)
    dataset = load("wikiann", data_dir=tmp_path)
    assert dataset.train[0] == TaggedWords(("a", ":"), (0, 1))
    assert len(dataset.validation) == 1
    write(tmp_path, train__conll="London\tO\n")
    with pytest.raises(ValueError, match=r"line 1 .* as in en:London"):
        load("wikiann", data_dir=tmp_path)


def squad(*articles: list[dict]) -> str:
    context = "In Bonn, Beethoven was born."
    return json.dumps(
        {"data": [{"paragraphs": [{"context": context, "qas": q}]} for q in articles]}
    )


def asked(name: str, text: str = "Bonn", start: int = 3, **more) -> dict:
    answers = [{"text": text, "answer_start": start}]
    return {"id": name, "question": "Where?", "answers": answers, **more}


def test_squad_of_both_versions(tmp_path):
    impossible = asked("2", is_impossible=True, plausible_answers=[])
    write(
        tmp_path,
        **{
            "train-v2__0__json": squad([asked("1", is_impossible=False), impossible]),
            "dev-v2__0__json": squad([asked("3")]),
        },
    )
    dataset = load("squad", data_dir=tmp_path)
    first, second = dataset.train
    assert (first.name, first.question, first.answers) == ("1", "Where?", ("Bonn",))
    assert first.context[first.starts[0] :].startswith("Bonn,")
    assert (second.answers, second.starts) == ((), ())
    assert dataset.validation[0].name == "3"
    write(tmp_path, **{"dev-v1__1__json": squad([asked("4")])})
    with pytest.raises(FileNotFoundError, match=r"got \['dev-v1.1.json', 'dev-v2"):
        load("squad", data_dir=tmp_path)


def test_squad_refuses(tmp_path):
    folder = tmp_path / "squad"
    write(folder, **{"train-v1__1__json": squad([asked("7", start=4)])})
    with pytest.raises(FileNotFoundError, match=r"must hold one dev-v1.*got \[\]"):
        load("squad", data_dir=tmp_path)
    write(folder, **{"dev-v1__1__json": squad([asked("8")])})
    with pytest.raises(ValueError, match="question 7 .* 'Bonn' at 4 .*got 'onn,'"):
        load("squad", data_dir=tmp_path)
    entry = '{"data": [{"paragraphs": [{"context": "a", "qas": [[]]}]}]}'
    for content in ("{", "[]", '{"data": [{}]}', '{"data": 3}', entry):
        write(folder, **{"train-v1__1__json": content})
        with pytest.raises(
            ValueError, match="not in the format of SQuAD|must have an id"
        ):
            load("squad", data_dir=tmp_path)
    write(folder, **{"train-v1__1__json": '{"data": []}'})
    with pytest.raises(ValueError, match="must hold questions, got none"):
        load("squad", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": None}, "question None of .* an id that is a string, got None"),
        ({"question": None}, "text as its question, got None"),
        ({"question": " "}, "text as its question, got ' '"),
        ({"question": "\ud83d?"}, "half of a surrogate pair in its question at 0"),
        ({"answers": None}, "a list of answers, got None"),
        ({"answers": [3]}, "text and the answer_start where it begins, got 3"),
        ({"answers": [{"text": "Bonn"}]}, "text and the answer_start .*got"),
        ({"answers": [{"text": "Bonn", "answer_start": -25}]}, "text and the .*-25"),
        ({"answers": [{"text": "Bonn", "answer_start": 3.0}]}, r"text and the .*3\.0"),
    ],
)
def test_bad_questions(tmp_path, changes, message):
    files = {"dev-v1__1__json": squad([asked("8")])}
    files["train-v1__1__json"] = squad([{**asked("7"), **changes}, asked("9")])
    write(tmp_path, **files)
    with pytest.raises(ValueError, match=message):
        load("squad", data_dir=tmp_path)
    with pytest.warns(UserWarning, match=message):
        found = load("squad", data_dir=tmp_path, on_bad="skip")
    assert [question.name for question in found.train] == ["9"]


def test_json_that_is_nested_deep(tmp_path):
    content = "[" * 100_000
    write(tmp_path, **{f"{x}-v1__1__json": content for x in ("train", "dev")})
    with pytest.raises(ValueError, match=r"train-v1.1.json is damaged: .* too deep"):
        load("squad", data_dir=tmp_path)


def test_xquad_is_split_by_article(tmp_path):
    articles = [[asked(f"{i}a"), asked(f"{i}b")] for i in range(20)]
    write(tmp_path, xquad__de__json=squad(*articles))
    dataset = load("xquad", data_dir=tmp_path, language="de")
    parts = [dataset.train, dataset.validation, dataset.test]
    assert [len(part) for part in parts] == [32, 4, 4]
    owners = [{question.name[:-1] for question in part} for part in parts]
    assert len(set.union(*owners)) == sum(map(len, owners)) == 20
    assert dataset == load("xquad", data_dir=tmp_path, language="de")
    with pytest.raises(FileNotFoundError, match=r"xquad\.en\.json"):
        load("xquad", data_dir=tmp_path)


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the data folder, see ZOO_DATA")
@pytest.mark.parametrize(
    ("name", "folder", "sizes"),
    [
        ("sst2", "", (6920, 872, 1821)),
        ("mrpc", "", (3668, 408, 1725)),
        ("wikiann", "wikiann_en", (20_000, 10_000, 10_000)),
        ("xquad", "", (978, 115, 97)),
    ],
)
def test_real_data(name, folder, sizes):
    dataset = load(name, data_dir=DATA / folder)
    parts = (dataset.train, dataset.validation, dataset.test)
    assert tuple(map(len, parts)) == sizes
