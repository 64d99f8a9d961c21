"""The tokenizer in a GGUF file: byte-level BPE, with llama.cpp's names of its rules."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.files.gguf_files import GGUF

if TYPE_CHECKING:
    import tokenizers

# llama.cpp's kinds of tokens that are never split: control and user-defined ones.
CONTROL, USER_DEFINED = 3, 4
# How texts are cut into words before BPE, by `tokenizer.ggml.pre`.
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}"
    r"\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
RULES = ("gpt-2", "smollm", "llama-bpe", "qwen2")


def from_gguf(file: Path) -> "tokenizers.Tokenizer":
    """Reads the tokenizer of a GGUF file.

    Raises:
        ValueError: it is not byte-level BPE, or splits texts by unknown rules.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models

    found = GGUF(file)
    kind, rule = found.get("tokenizer.ggml.model"), found.get("tokenizer.ggml.pre")
    if kind != "gpt2" or rule not in RULES:
        raise ValueError(
            f"{file} has a tokenizer that zoo can't read: tokenizer.ggml.model must be "
            f"'gpt2' and tokenizer.ggml.pre one of {RULES}, got {kind!r:.80} and "
            f"{rule!r:.80}. Load the model's own tokenizer.json, by "
            "zoo.Tokenizer.load, and set model.tokenizer."
        )
    tokens = found.get("tokenizer.ggml.tokens", [])
    kinds = found.get("tokenizer.ggml.token_type", [])
    merges = [tuple(x.split(" ")) for x in found.get("tokenizer.ggml.merges", [])]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = _rule(rule)
    backend.decoder = decoders.ByteLevel()
    if found.get("tokenizer.ggml.add_bos_token", False):
        from tokenizers.processors import TemplateProcessing

        first = tokens[found.get("tokenizer.ggml.bos_token_id")]
        backend.post_processor = TemplateProcessing(
            single=f"{first} $A",
            pair=f"{first} $A $B",
            special_tokens=[(first, vocabulary[first])],
        )
    whole = [
        AddedToken(token, normalized=False, special=kind == CONTROL)
        for token, kind in zip(tokens, kinds, strict=False)
        if kind in (CONTROL, USER_DEFINED)
    ]
    backend.add_special_tokens([token for token in whole if token.special])
    backend.add_tokens([token for token in whole if not token.special])
    return backend


def _rule(name: str) -> Any:
    from tokenizers import Regex, pre_tokenizers

    if name in ("gpt-2", "smollm"):
        bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
        if name == "gpt-2":
            return bytes_
        digits = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([digits, bytes_])
    pattern = Regex(LLAMA3 if name == "llama-bpe" else QWEN2)
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
