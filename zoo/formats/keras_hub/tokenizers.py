"""Writes tokenizers for Keras Hub's presets: a `tokenizer.json` and its assets."""

import json
from typing import Any

from zoo.tokenizers.tokenizer import END_OF_TEXT
from zoo.tokenizers.wordpiece import BERT_TOKENS, KERAS_HUB_VOCABULARY, UNK

ASSETS = KERAS_HUB_VOCABULARY.parent.as_posix()
# All files that these functions can write, so that those of other tokenizers go.
NAMES = ("tokenizer.json", *(f"{ASSETS}/{x}" for x in ("vocabulary.txt",
         "vocabulary.json", "merges.txt")))  # fmt: skip
INT32 = {
    "module": "keras",
    "class_name": "DTypePolicy",
    "config": {"name": "int32"},
    "registered_name": None,
}


def files(tokenizer: Any, module: str) -> dict[str, Any]:
    """The contents of a tokenizer's files by name; None for files to remove.

    Args:
        tokenizer: our tokenizer, or None.
        module: "gpt2" or "bert".

    Raises:
        ValueError: Keras Hub's tokenizer would split texts differently.
    """
    found: dict[str, Any] = dict.fromkeys(NAMES)
    if tokenizer is None:
        return found
    described = json.loads(tokenizer.backend.to_str())
    vocabulary = described["model"]["vocab"]
    if len(vocabulary) != tokenizer.vocab_size:
        raise ValueError(
            f"Keras Hub's tokenizers need one token for each id, but this one has "
            f"{len(vocabulary)} for {tokenizer.vocab_size} ids: tokens were added, or "
            "are twice in its vocabulary. model.tokenizer = None writes the weights "
            "without it."
        )
    made = _bpe(described) if module == "gpt2" else _wordpiece(described)
    return found | made


def _bpe(described: dict[str, Any]) -> dict[str, Any]:
    """The files of a byte-level BPE tokenizer, as GPT-2's."""
    model, cutter = described["model"], described["pre_tokenizer"] or {}
    byte_level = cutter.get("type") == "ByteLevel" and not cutter["add_prefix_space"]
    if model["type"] != "BPE" or not byte_level or END_OF_TEXT not in model["vocab"]:
        raise ValueError(
            f"Keras Hub's GPT2Tokenizer needs byte-level pairs with {END_OF_TEXT}, but "
            "this model's tokenizer has others. model.tokenizer = None writes the "
            "weights without it."
        )
    config = {
        "config_file": "tokenizer.json",
        "sequence_length": None,
        "add_prefix_space": False,
        "unsplittable_tokens": [END_OF_TEXT],
    }
    merges = [x if isinstance(x, str) else " ".join(x) for x in model["merges"]]
    return {
        "tokenizer.json": _serialized("gpt2", "GPT2Tokenizer", config),
        f"{ASSETS}/vocabulary.json": json.dumps(model["vocab"], ensure_ascii=False),
        f"{ASSETS}/merges.txt": "".join(f"{merge}\n" for merge in merges),
    }


def _wordpiece(described: dict[str, Any]) -> dict[str, Any]:
    """The files of BERT's tokenizer; Keras Hub's always splits Chinese characters."""
    model, rules = described["model"], described["normalizer"] or {}
    usual = rules.get("type") == "BertNormalizer" and rules["handle_chinese_chars"]
    if model["type"] != "WordPiece" or not usual:
        raise ValueError(
            "Keras Hub's BertTokenizer needs BERT's WordPiece, but this model's "
            "tokenizer is another. model.tokenizer = None writes the weights without "
            "it."
        )
    lowercase, strip = rules["lowercase"], rules["strip_accents"]
    config = {
        "config_file": "tokenizer.json",
        "vocabulary": None,
        "sequence_length": None,
        "lowercase": lowercase,
        "strip_accents": lowercase if strip is None else strip,
        "split": True,
        "suffix_indicator": "##",
        "oov_token": UNK,
        "special_tokens": None,
        "special_tokens_in_strings": False,
    }
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    if missing := [x for x in BERT_TOKENS if x not in model["vocab"]]:
        raise ValueError(
            "The vocabulary must have BERT's special tokens, but lacks "
            f"{', '.join(missing)}."
        )
    return {
        "tokenizer.json": _serialized("bert", "BertTokenizer", config),
        f"{ASSETS}/vocabulary.txt": "".join(f"{token}\n" for token in tokens),
    }


def _serialized(module: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
    file = f"{module}_tokenizer"
    return {
        "module": f"keras_hub.src.models.{module}.{file}",
        "class_name": name,
        "config": {"name": file, "trainable": True, "dtype": INT32, **config},
        "registered_name": f"keras_hub>{name}",
    }
