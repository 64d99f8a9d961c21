"""Tokenizers: exact ids, lossless round trips, files, and clear errors."""

import json
import random
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import tokenizers as hugging_face

from zoo.data import Tokenizer, load, spelled
from zoo.tokenizers import pieces as pieces_module
from zoo.tokenizers import tokenizer as tokenizers

pytestmark = pytest.mark.host

TEXT = "Hello, world!\nHello again: naïve café — 東京 🎉\n\n\tIt's what they've said.\n"
ODDITIES = [
    "",
    " ",
    "\n\n \n",
    "a\r\nb\u2028c\u0085d\u00a0e\u3000f",
    "don't  we'll   I'd\t\t'S",
    "123 456²½ ٣",
    "👩\u200d👩\u200d👧 \u0301 \ufeff \x00 \x1c\x1f",
    "<|endoftext|> <|endoftext",
]


@pytest.fixture(scope="module")
def docs() -> str:
    return load("docs").validation


@pytest.fixture(scope="module")
def bpe(docs: str) -> Tokenizer:
    return Tokenizer.train_bpe(docs, vocab_size=700)


def test_characters_are_nanogpts():
    tokenizer = Tokenizer.characters("hello\nabc")
    ids = tokenizer.encode("ab\nhello")
    assert ids.dtype == np.int32
    assert ids.tolist() == [1, 2, 0, 5, 4, 6, 6, 7]
    assert tokenizer.vocab_size == 8
    assert tokenizer.end_of_text_id is None
    assert tokenizer.token_to_id("h") == 5
    assert tokenizer.token_to_id("z") is None
    assert tokenizer.id_to_token(0) == "\n"
    assert tokenizer.id_to_token(8) is None


def test_characters_round_trip():
    tokenizer = Tokenizer.characters(TEXT)
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    assert tokenizer.encode("").shape == (0,)
    assert tokenizer.encode("").dtype == np.int32
    assert tokenizer.decode([]) == ""
    batch = tokenizer.encode_batch(["naïve", "", "🎉"])
    assert [len(ids) for ids in batch] == [5, 0, 1]
    assert tokenizer.decode_batch(batch) == ["naïve", "", "🎉"]


def test_characters_agree_with_the_library():
    tokenizer = Tokenizer.characters(TEXT)
    assert tokenizer.encode(TEXT).tolist() == tokenizer.backend.encode(TEXT).ids
    assert tokenizer.backend.decode(tokenizer.encode(TEXT).tolist()) == TEXT


@pytest.mark.parametrize("character", ["x", "é", "\U0010ffff", "\ud800"])
def test_characters_name_the_unknown_one(character):
    tokenizer = Tokenizer.characters("abc")
    code = rf"U\+{ord(character):04X}"
    with pytest.raises(ValueError, match=rf"{code}\) at position 2 .* 3\."):
        tokenizer.encode(f"ab{character}c")


def test_characters_of_nothing():
    with pytest.raises(ValueError, match="empty"):
        Tokenizer.characters("")


@pytest.mark.parametrize("text", [TEXT, *ODDITIES])
def test_bpe_is_lossless(bpe, text):
    assert bpe.decode(bpe.encode(text)) == text


def test_bpe_is_lossless_on_any_unicode(bpe):
    rng = random.Random(0)
    points = [p for p in range(0x110000) if not 0xD800 <= p < 0xE000]
    text = "".join(map(chr, rng.sample(points, 20_000)))
    assert bpe.decode(bpe.encode(text)) == text


def test_bpe_vocabulary(bpe):
    assert bpe.vocab_size == 700
    assert bpe.end_of_text_id == bpe.token_to_id("<|endoftext|>") == 0
    assert bpe.encode("a<|endoftext|>b")[1] == 0
    assert len(bpe.encode("This is the statement")) < 10


def assert_trained_alike_anywhere(train, vocab_size):
    """Compares two processes with different string hashes."""
    code = (
        "from zoo.data import *; import hashlib;"
        f"t = Tokenizer.{train}(load('docs').validation, {vocab_size});"
        "print(hashlib.sha256(t.backend.to_str().encode()).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1


@pytest.mark.slow
def test_bpe_training_is_deterministic(bpe, docs):
    assert Tokenizer.train_bpe([docs], vocab_size=700) == bpe
    assert Tokenizer.train_bpe(iter([docs]), vocab_size=700) == bpe
    assert_trained_alike_anywhere("train_bpe", 700)


def test_bpe_other_special_tokens(docs):
    tokenizer = Tokenizer.train_bpe(docs, 300, special_tokens=("<a>", "<b>"))
    assert tokenizer.encode("<b>x<a>")[[0, -1]].tolist() == [1, 0]
    assert tokenizer.end_of_text_id is None


def test_bpe_needs_room_for_the_bytes():
    with pytest.raises(ValueError, match="at least 257 .*got 256"):
        Tokenizer.train_bpe(TEXT, 256)


def test_pieces_give_the_same_ids(bpe, docs, monkeypatch):
    rng = random.Random(1)
    spaces = [chr(p) for p in range(0x110000) if chr(p).isspace()]
    words = ["one", "don't", "12", "?!", "<|endoftext|>", "é", *ODDITIES]
    soup = "".join(rng.choice(spaces + ["\n"] * 30 + words) for _ in range(5_000))
    for text in (docs, soup):
        whole = bpe.backend.encode(text, add_special_tokens=False).ids
        for size in (1, 7, 100, 4096):
            monkeypatch.setattr(pieces_module, "PIECE", size)
            pieces = list(pieces_module.pieces(text))
            assert "".join(pieces) == text
            assert len(pieces) > len(text) / (size + 1000)
            assert bpe.encode(text).tolist() == whole


def test_pieces_cut_only_where_the_pattern_does():
    """Python's white space includes all of Unicode's, which the BPE pattern uses."""
    white = "\t\n\v\f\r \u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000"
    white += "".join(map(chr, range(0x2000, 0x200B)))
    assert all(c.isspace() for c in white)
    separators = (
        chr(p) for p in range(0x110000) if unicodedata.category(chr(p))[0] == "Z"
    )
    assert set(separators) <= set(white)


def test_other_byte_level_rules_are_not_cut(docs, monkeypatch):
    backend = hugging_face.Tokenizer(hugging_face.models.BPE())
    backend.pre_tokenizer = hugging_face.pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = hugging_face.trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=hugging_face.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([docs], trainer)
    monkeypatch.setattr(pieces_module, "PIECE", 10)
    expected = backend.encode(docs).ids
    assert Tokenizer(backend).encode(docs).tolist() == expected


@pytest.mark.parametrize("kind", ["characters", "bpe"])
def test_save_and_load(tmp_path, bpe, kind):
    tokenizer = bpe if kind == "bpe" else Tokenizer.characters(TEXT)
    tokenizer.save(tmp_path / "made" / "here")
    assert [p.name for p in (tmp_path / "made" / "here").iterdir()] == [
        "tokenizer.json"
    ]
    file = tmp_path / "made" / "here" / "tokenizer.json"
    for loaded in (
        Tokenizer.load(file),
        Tokenizer.load(str(file.parent)),
        Tokenizer.from_preset(file.parent),
    ):
        assert loaded == tokenizer
        assert hash(loaded) == hash(tokenizer)
        assert loaded.encode(TEXT).tolist() == tokenizer.encode(TEXT).tolist()
        assert loaded.end_of_text_id == tokenizer.end_of_text_id
    foreign = hugging_face.Tokenizer.from_file(str(file))
    assert foreign.encode(TEXT).ids == tokenizer.encode(TEXT).tolist()


def test_equality(bpe):
    assert Tokenizer.characters("ab") == Tokenizer.characters("ba")
    assert Tokenizer.characters("ab") != Tokenizer.characters("abc")
    assert bpe != "bpe"
    assert "vocab_size=2" in repr(Tokenizer.characters("ab"))


def test_gpt2_files(tmp_path):
    """A folder in the format of GPT-2's release, with the end-of-text token last."""
    alphabet = sorted(hugging_face.pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, "Ġa", "ll", "Ġall", "<|endoftext|>"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nĠ a\nl l\nĠa ll\n")
    tokenizer = Tokenizer.from_preset(tmp_path)
    assert tokenizer.vocab_size == 260
    assert tokenizer.end_of_text_id == 259
    ids = tokenizer.encode("x all<|endoftext|>")
    assert ids.tolist() == [vocabulary["x"], 258, 259]
    assert tokenizer.decode(ids) == "x all<|endoftext|>"


def test_truncation_and_padding_are_ignored(bpe, tmp_path):
    bpe.save(tmp_path)
    backend = hugging_face.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    backend.enable_truncation(3)
    backend.enable_padding(length=10)
    assert Tokenizer(backend) == bpe
    assert Tokenizer(backend).encode(TEXT).tolist() == bpe.encode(TEXT).tolist()


def test_checkpoints_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tokenizers, "PRETRAINED", (tmp_path / "none", tmp_path))
    tokenizer = Tokenizer.characters("abc")
    tokenizer.save(tmp_path / "gpt.abc")
    assert Tokenizer.from_preset("gpt.abc") == tokenizer
    with pytest.raises(FileNotFoundError, match=r"'gpt2'.*merges\.txt.*: gpt\.abc"):
        Tokenizer.from_preset("gpt2")


def test_load_refuses_what_is_no_tokenizer(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no tokenizer"):
        Tokenizer.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="missing holds no tokenizer"):
        Tokenizer.load(tmp_path / "missing")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="does not hold a tokenizer"):
        Tokenizer.load(tmp_path)


def test_wrong_arguments(bpe):
    for wrong in (b"bytes", ["a", "list"], None):
        with pytest.raises(TypeError, match="encode takes a string"):
            bpe.encode(wrong)
    with pytest.raises(TypeError, match="encode_batch a list"):
        bpe.encode_batch("one text")
    for tokenizer in (bpe, Tokenizer.characters("ab")):
        for wrong in ([tokenizer.vocab_size], [0, -1]):
            with pytest.raises(ValueError, match=rf"got {wrong[-1]}\.$"):
                tokenizer.decode(wrong)
        with pytest.raises(ValueError, match=r"shape \(1, 2\).*decode_batch"):
            tokenizer.decode([[0, 1]])
        with pytest.raises(ValueError, match="float64"):
            tokenizer.decode(np.array([0.5]))


def test_import_is_light():
    code = (
        "import sys, zoo.tokenizers.tokenizer as t;"
        "import zoo.data.text.crops, zoo.data.datasets;"
        "heavy = {'grain', 'tokenizers', 'tensorflow_datasets'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wordpiece_cuts_as_the_original(tmp_path):
    """The reference is `transformers`' tokenizer in plain Python."""
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    text = load("docs").validation[:20_000]
    for lowercase in (True, False):
        tokenizer = Tokenizer.train_wordpiece(text, 400, lowercase=lowercase)
        vocabulary = [tokenizer.id_to_token(i) for i in range(tokenizer.vocab_size)]
        folder = tmp_path / str(lowercase)
        folder.mkdir()
        (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
        config = {"do_lower_case": lowercase}
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        reference = BertTokenizerLegacy(
            folder / "vocab.txt", do_lower_case=lowercase, model_max_length=10**6
        )
        loaded = Tokenizer.load(folder)
        for sample in (text, TEXT, "[CLS] Ünïcode 東京x\u0301 [MASK]", *ODDITIES[:6]):
            tokens = reference.tokenize(sample)
            expected = reference.convert_tokens_to_ids(tokens)
            assert tokenizer.encode(sample).tolist() == expected
            assert loaded.encode(sample).tolist() == expected
        with_special = loaded.backend.encode("the", "is").ids
        assert with_special == reference("the", "is")["input_ids"]


def test_wordpiece_vocabulary(docs):
    tokenizer = Tokenizer.train_wordpiece(docs, 500)
    assert tokenizer.vocab_size == 500
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert [tokenizer.id_to_token(i) for i in range(5)] == specials
    ids = [getattr(tokenizer, f"{name}_id") for name in ("pad", "unk", "cls", "sep")]
    assert (
        [*ids, tokenizer.mask_id] == tokenizer.special_ids.tolist() == [0, 1, 2, 3, 4]
    )
    continues = [i for i in range(500) if tokenizer.id_to_token(i).startswith("##")]
    assert np.flatnonzero(tokenizer.continuations).tolist() == continues
    assert 50 < len(continues) < 450
    assert tokenizer.decode(tokenizer.encode("The statement is")) == "the statement is"
    with pytest.raises(ValueError, match=r"at least 1\d+ .*got 20"):
        Tokenizer.train_wordpiece(docs, 20)


@pytest.mark.slow
def test_wordpiece_training_is_deterministic(docs):
    assert_trained_alike_anywhere("train_wordpiece", 900)


def test_wordpiece_save_and_load(tmp_path, docs):
    tokenizer = Tokenizer.train_wordpiece(docs, 300)
    tokenizer.save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert loaded == tokenizer
    assert loaded.special_ids.tolist() == [0, 1, 2, 3, 4]
    foreign = hugging_face.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert foreign.encode("the", "is").tokens == "[CLS] the [SEP] is [SEP]".split()


def test_offsets_point_into_the_text(docs):
    tokenizer = Tokenizer.train_wordpiece(docs, 500)
    text = "  Thé statements,\tétc. 東京!"
    ids, offsets = tokenizer.encode_with_offsets(text)
    assert ids.tolist() == tokenizer.encode(text).tolist()
    for token_id, (begin, end) in zip(ids, offsets, strict=True):
        token = tokenizer.id_to_token(token_id).removeprefix("##")
        plain = unicodedata.normalize("NFD", text[begin:end]).lower()
        plain = "".join(c for c in plain if unicodedata.category(c) != "Mn")
        assert token in (plain, "[UNK]")
    assert tokenizer.encode_with_offsets("")[1].shape == (0, 2)


def test_vocabularies_need_their_special_tokens(tmp_path, bpe):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\nthe\n")
    with pytest.raises(ValueError, match=r"has no \[SEP\], \[MASK\]"):
        Tokenizer.load(tmp_path)
    with pytest.raises(ValueError, match=r"no token '\[MASK\]' \(or '<mask>'\)"):
        _ = bpe.mask_id
    with pytest.raises(ValueError, match="no token that begins with '##'"):
        _ = bpe.continuations


def test_robertas_vocabulary_in_two_files(tmp_path, docs):
    special = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    whole = Tokenizer.train_bpe(docs, 300, special_tokens=special)
    whole.backend.model.save(str(tmp_path))
    parts = Tokenizer.load(tmp_path)
    assert parts.special_ids.tolist() == whole.special_ids.tolist() == [*range(5)]
    assert parts.encode("a <mask>").tolist() == whole.encode("a <mask>").tolist()


def test_robertas_special_tokens(docs):
    names = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    tokenizer = Tokenizer.train_bpe(docs, 300, special_tokens=names)
    ids = (tokenizer.cls_id, tokenizer.pad_id, tokenizer.sep_id, tokenizer.unk_id)
    assert (*ids, tokenizer.mask_id) == (0, 1, 2, 3, 4)


def test_a_repeated_line_of_a_vocabulary(tmp_path):
    """As in `transformers`, the last place counts; the other id belongs to no token."""
    from transformers import BertTokenizer
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    lines = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "a", "##c", "d"]
    (tmp_path / "vocab.txt").write_text("\n".join(lines) + "\n")
    tokenizer = Tokenizer.load(tmp_path)
    ids = tokenizer.encode("abc d")
    assert ids.tolist() == [7, 6, 8, 9]
    for kind in (BertTokenizer, BertTokenizerLegacy):
        reference = kind.from_pretrained(tmp_path)
        tokens = reference.tokenize("abc d")
        assert reference.convert_tokens_to_ids(tokens) == ids.tolist()
    assert tokenizer.vocab_size == 10
    assert np.flatnonzero(tokenizer.continuations).tolist() == [6, 8]
    assert tokenizer.decode(ids) == "abc d"
    assert tokenizer.id_to_token(5) is None
    assert tokenizer.decode([5, 9]) == "d"
    tokenizer.save(tmp_path / "saved")
    loaded = Tokenizer.load(tmp_path / "saved")
    assert (loaded.vocab_size, loaded.encode("abc d").tolist()) == (10, ids.tolist())


HALF = json.loads(r'"ok \ud83d"')


def test_half_of_a_surrogate_pair_is_refused_wherever_text_enters(bpe, words_of_text):
    message = r"half of a surrogate pair \(U\+D83D\) at position 3"
    for use in (
        bpe.encode,
        bpe.encode_with_offsets,
        lambda text: words_of_text.encode_words([text]),
        Tokenizer.characters,
        lambda text: Tokenizer.train_bpe([text], 300),
        lambda text: Tokenizer.train_wordpiece(text, 300),
        lambda text: Tokenizer.train_words([text], 300),
        lambda text: spelled([text], 10),
    ):
        with pytest.raises(ValueError, match=message):
            use(HALF)
    with pytest.raises(ValueError, match="text 1 has half"):
        bpe.encode_batch(["whole", HALF])
    both = "\ud83c\udf89"
    assert both.encode("utf-16", "surrogatepass").decode("utf-16") == "🎉"


@pytest.fixture(scope="module")
def words_of_text() -> Tokenizer:
    return Tokenizer.train_words(TEXT, 50)


def test_texts_without_words_train_no_vocabulary():
    for train in (Tokenizer.train_wordpiece, Tokenizer.train_words):
        with pytest.raises(ValueError, match="must have words"):
            train([" ", "\n"], 100)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_with_marks_of_byte_order(tmp_path, bpe, words_of_text, encoding):
    def marked(folder, name, text):
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(text.encode(encoding))

    bpe.save(tmp_path)
    whole = (tmp_path / "tokenizer.json").read_text("utf-8")
    marked(tmp_path / "json", "tokenizer.json", whole)
    assert Tokenizer.load(tmp_path / "json") == bpe
    model = json.loads(whole)["model"]
    marked(tmp_path / "pairs", "vocab.json", json.dumps(model["vocab"]))
    merges = "\r\n".join(" ".join(pair) for pair in model["merges"])
    marked(tmp_path / "pairs", "merges.txt", merges)
    pairs = Tokenizer.load(tmp_path / "pairs")
    assert pairs.encode(TEXT).tolist() == bpe.encode(TEXT).tolist()
    names = [words_of_text.id_to_token(i) for i in range(words_of_text.vocab_size)]
    marked(tmp_path / "words", "vocab.txt", "\r\n".join(names))
    marked(tmp_path / "words", "tokenizer_config.json", '{"do_lower_case": true}')
    loaded = Tokenizer.load(tmp_path / "words")
    assert loaded.encode(TEXT).tolist() == words_of_text.encode(TEXT).tolist()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.txt", b"[PAD]\n\xff\n", r"line 2 of .*vocab\.txt is not UTF-8"),
        ("vocab.txt", b"", r"has no \[PAD\]"),
        (
            "vocab.json",
            b'{"a": 0, "b": 0}',
            r"vocab\.json must .* got 0 for 'a' and for 'b",
        ),
        ("vocab.json", b'{"a": -1}', r"vocab\.json must .* got -1 for the token 'a'"),
        ("vocab.json", b'{"a": 4294967296}', "from 0 to 16,777.*got 4294967296"),
        ("vocab.json", b'["a"]', r"vocab\.json is damaged"),
        ("vocab.json", b"[" * 100_000, r"vocab\.json is damaged.* nested too deep"),
        ("vocab.json", rb'{"\ud800": 0}', "does not hold a tokenizer"),
        ("merges.txt", b"a b\na b c\n", r"line 2 of .*merges\.txt must .* got 'a b c'"),
        ("merges.txt", b"a x\n", "does not hold a tokenizer"),
        ("tokenizer.json", b"[" * 100_000, "does not hold a tokenizer"),
        ("tokenizer.json", rb'{"version": "\ud800"}', "does not hold a tokenizer"),
    ],
)
def test_damaged_vocabularies(tmp_path, name, content, message):
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}')
    (tmp_path / "merges.txt").write_text("a b\n")
    if name == "vocab.txt":
        (tmp_path / "vocab.json").unlink()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Tokenizer.load(tmp_path)


def test_ids_of_a_tokenizer_are_limited(tmp_path):
    model = hugging_face.models.WordLevel({"a": 2**30, "[UNK]": 0}, unk_token="[UNK]")
    hugging_face.Tokenizer(model).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="from 0 to 16,77.*got 1073741824 for"):
        Tokenizer.load(tmp_path)


def test_pieces_need_their_unknown_token(tmp_path):
    model = hugging_face.models.WordPiece({"a": 0, "[UNK]": 1}, unk_token="<unk>")
    hugging_face.Tokenizer(model).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="must hold its unk_token '<unk>'.*Add it"):
        Tokenizer.load(tmp_path)


def test_what_the_library_raises_is_a_value_error():
    """A vocabulary of words without [UNK], and a panic of Rust."""
    backend = hugging_face.Tokenizer(hugging_face.models.WordLevel({"a": 0}))
    with pytest.raises(ValueError, match=r"can't encode a text.*\[UNK\]"):
        Tokenizer(backend).encode("b")

    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})

    class Backend:
        def __getattr__(self, name):
            return getattr(backend, name)

        def encode_batch(self, *args, **kwargs):
            raise panic("index out of bounds")

    tokenizer = Tokenizer(backend)
    tokenizer.backend = Backend()
    with pytest.raises(ValueError, match="can't encode a text: Panic.*out of bounds"):
        tokenizer.encode("a")


def test_tokens_added_to_characters_are_found():
    tokenizer = Tokenizer.characters("abc")
    tokenizer.backend.add_tokens(["<x>"])
    tokenizer = Tokenizer(tokenizer.backend)
    assert tokenizer.encode("a<x>b").tolist() == [0, 3, 1]
    assert tokenizer.decode([0, 3, 1]) == "a<x>b"
