"""Added tokens of Hugging Face folders get the same ids as in `transformers`."""

import json

import pytest

from zoo.data import Tokenizer
from zoo.tokenizers.tokenizer import ROBERTA_TOKENS
from zoo.tokenizers.wordpiece import BERT_TOKENS

pytestmark = pytest.mark.host

PIECES = [*BERT_TOKENS, *"hello world new ##word ##s < > url a é ##b".split()]
TEXTS = [
    "hello <url> [ENT] world",
    "HELLO<URL>world",
    "newword newwords NewWord",
    "  <url>  x [ENT]",
    "hello[ENT]world [BOS] <|im_start|>hi",
    "é É <É> <é>",
    "a\n<url>\nb",
    "[SEP] </s> a <mask> b",
    "",
]


def token(content, **flags):
    plain = dict.fromkeys(("lstrip", "rstrip", "single_word", "normalized"), False)
    return {"content": content, **plain, "special": False, **flags}


# The contents of a folder, by file; ids are relative to the end of its vocabulary.
FOLDERS = {
    "added_tokens": {"added_tokens.json": {"<url>": 0, "[ENT]": 1}},
    "added_tokens, some of them special": {
        "added_tokens.json": {"[ENT]": 1, "<url>": 0, "NewWord": 2},
        "special_tokens_map.json": {"additional_special_tokens": ["[ENT]"]},
    },
    "special_tokens_map alone": {
        "special_tokens_map.json": {
            "additional_special_tokens": ["[ENT]", "<url>"],
            "bos_token": "[BOS]",
            "sep_token": token("[SEP]", lstrip=True),
        },
    },
    "added_tokens_decoder": {
        "tokenizer_config.json": {
            "added_tokens_decoder": {
                "0": token("<url>", normalized=True),
                "1": token("[ENT]", special=True, lstrip=True, rstrip=True),
                "2": token("newword", single_word=True),
            },
            "additional_special_tokens": ["[ENT]"],
        },
        # Ignored beside it.
        "added_tokens.json": {"x": 7},
        "special_tokens_map.json": {"bos_token": "hello"},
    },
    "added_tokens_decoder with accents": {
        "tokenizer_config.json": {
            "added_tokens_decoder": {
                "0": token("É!", normalized=True),
                "1": token("<É>"),
                "2": token("NEWWORD", normalized=True, single_word=True),
            },
            "additional_special_tokens": ["<É>"],
        },
    },
    "tokenizer_config alone": {
        "tokenizer_config.json": {
            "image_token": "<url>",
            "additional_special_tokens": [
                "<|im_start|>",
                {"__type": "AddedToken", **token("[ENT]", rstrip=True)},
            ],
            "eos_token": {"__type": "AddedToken", **token("[BOS]", special=True)},
        },
    },
    "tokens by names": {
        "tokenizer_config.json": {"extra_special_tokens": {"image_token": "<url>"}},
    },
    "none": {},
}


# `transformers` 5 overlooks that this [ENT] is special, and lowercases it.
UNCASED = "added_tokens, some of them special"


@pytest.fixture(scope="module")
def pairs() -> dict[str, Tokenizer]:
    text = "hello world new words a b url é " * 30
    special = {"gpt2": ("<|endoftext|>",), "roberta": ROBERTA_TOKENS}
    return {
        name: Tokenizer.train_bpe(text, 300, special_tokens=tokens)
        for name, tokens in special.items()
    }


def write(folder, kind, said, pairs, **settings):
    """A folder of files as `transformers` reads it."""
    folder.mkdir()
    files = json.loads(json.dumps(said))
    config = {**files.pop("tokenizer_config.json", {}), **settings}
    if kind == "bert":
        size = len(PIECES)
        (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", "utf-8")
    else:
        size = pairs[kind].vocab_size
        model = json.loads(pairs[kind].backend.to_str())["model"]
        (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
        merges = "\n".join(" ".join(merge) for merge in model["merges"])
        (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", "utf-8")
    if decoder := config.get("added_tokens_decoder"):
        decoder = {str(int(number) + size): x for number, x in decoder.items()}
        config["added_tokens_decoder"] = decoder
    if added := files.get("added_tokens.json"):
        files["added_tokens.json"] = {x: size + number for x, number in added.items()}
    files |= {"tokenizer_config.json": config, "config.json": {"model_type": kind}}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), "utf-8")
    return folder


@pytest.mark.parametrize("case", FOLDERS)
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("bert", {"do_lower_case": True}),
        ("bert", {"do_lower_case": False}),
        ("gpt2", {}),
        ("gpt2", {"add_prefix_space": True}),
        ("roberta", {}),
    ],
)
def test_ids_are_those_of_transformers(tmp_path, pairs, case, kind, settings):
    import transformers

    folder = write(tmp_path / "folder", kind, FOLDERS[case], pairs, **settings)
    names = {"bert": "Bert", "gpt2": "GPT2", "roberta": "Roberta"}
    reference = getattr(transformers, f"{names[kind]}Tokenizer").from_pretrained(folder)
    found = Tokenizer.load(folder)
    assert found.vocab_size == len(reference)
    assert found.special_ids.tolist() == sorted(reference.all_special_ids)
    for text in TEXTS:
        expected = reference(text, add_special_tokens=False)["input_ids"]
        assert found.encode(text).tolist() == expected, text
        assert found.encode_with_offsets(text)[0].tolist() == expected, text
        decoded = reference.decode(expected)
        if case == UNCASED:
            decoded = decoded.replace("[ent]", "[ENT]")
        assert found.decode(expected) == decoded, text
    # Our file keeps all of it.
    found.save(tmp_path / "saved")
    assert Tokenizer.load(tmp_path / "saved") == found


def test_tokens_may_stand_beside_tokenizer_json(tmp_path, pairs):
    said = FOLDERS["added_tokens, some of them special"]
    folder = write(tmp_path / "folder", "gpt2", said, pairs)
    pairs["gpt2"].save(folder)
    size = pairs["gpt2"].vocab_size
    found = Tokenizer.load(folder)
    assert found.encode("[ENT]<url>").tolist() == [size + 1, size]
    found.save(folder)
    assert Tokenizer.load(folder) == found


def test_the_slow_tokenizer_agrees(tmp_path, pairs):
    """The original in plain Python, which wrote many such folders."""
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    said = FOLDERS["added_tokens, some of them special"]
    folder = write(tmp_path / "folder", "bert", said, pairs, do_lower_case=True)
    reference = BertTokenizerLegacy.from_pretrained(folder)
    found = Tokenizer.load(folder)
    assert found.vocab_size == len(reference)
    # It matches added tokens before lowercasing, the fast one after.
    for text in ("hello <url> [ENT] world", "  <url>  x[ENT]world", "a NewWord b"):
        expected = reference.convert_tokens_to_ids(reference.tokenize(text))
        assert found.encode(text).tolist() == expected, text


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("added_tokens.json", {"<x>": 99}, r"'<x>' .* must have the id 16, got 99"),
        ("added_tokens.json", {"<x>": 5}, "id 16, got 5.* 5 is the id of 'hello'"),
        ("added_tokens.json", {"hello": 16}, "'hello' .* must have the id 5, got 16"),
        (
            "added_tokens.json",
            {"<x>": "16"},
            r"added_tokens\.json is damaged.* '16'",
        ),
        ("added_tokens.json", ["<x>"], r"added_tokens\.json is damaged.*JSON object"),
        ("special_tokens_map.json", {"bos_token": {}}, r"map\.json is damaged"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"16": {}}}, "decoder"),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"x": {"content": "<x>"}}},
            "tokenizer_config.json is damaged.*objects with content, by their ids",
        ),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"16": {"content": "<x>", "lstrip": 3}}},
            "lstrip must be true or false, got 3",
        ),
        ("tokenizer_config.json", {"do_lower_case": "yes"}, "does not hold a token"),
        (
            "tokenizer_config.json",
            {"tokenizer_class": "BertJapaneseTokenizer"},
            "config.json must be one of Bert, .* got 'BertJapaneseTokenizer'",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, file, content, message):
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n", "utf-8")
    (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        Tokenizer.load(tmp_path)
