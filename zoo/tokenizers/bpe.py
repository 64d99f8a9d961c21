"""Byte-level BPE as in GPT-2: trained, and read from the files it is published in."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.files.damaged import reading
from zoo.files.limits import MAX_TOKENIZER_BYTES
from zoo.files.text_files import read_whole
from zoo.tokenizers.ids import check_ids
from zoo.tokenizers.library import library_errors
from zoo.tokenizers.pieces import all_pieces

if TYPE_CHECKING:
    import tokenizers

END_OF_TEXT = "<|endoftext|>"
# RoBERTa's names for BERT's special tokens.
ROBERTA_TOKENS = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")


def trained(
    texts: str | Iterable[str], vocab_size: int, special_tokens: Sequence[str]
) -> "tokenizers.Tokenizer":
    """Trains the tokenizer of `zoo.Tokenizer.train_bpe`."""
    from tokenizers import models, pre_tokenizers, trainers

    smallest = 256 + len(special_tokens)
    if vocab_size < smallest:
        raise ValueError(
            f"vocab_size must be at least {smallest} (256 bytes and "
            f"{len(special_tokens)} special tokens), got {vocab_size}."
        )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend = _byte_level(models.BPE())
    with library_errors("train on these texts"):
        backend.train_from_iterator(all_pieces(texts), trainer)
    return backend


def from_files(
    vocabulary: Path, merges: Path, add_prefix_space: bool = False
) -> "tokenizers.Tokenizer":
    """Reads GPT-2's vocab.json, which maps tokens to ids, and its merges.txt.

    Args:
        vocabulary: the file of tokens and ids.
        merges: the file of merges, one pair of tokens per line.
        add_prefix_space: whether a blank is put before each text.

    Raises:
        ValueError: a file is damaged.
    """
    from tokenizers import models

    with reading(vocabulary, "an object of tokens and their ids"):
        ids = json.loads(read_whole(vocabulary, MAX_TOKENIZER_BYTES))
        check_ids(vocabulary, ids)
    lines = read_whole(merges, MAX_TOKENIZER_BYTES).removesuffix("\n").split("\n")
    pairs = []
    for number, line in enumerate(lines, 1):
        if line.startswith("#version") or not line.strip():
            continue
        pair = tuple(line.removesuffix("\r").split(" "))
        if len(pair) != 2:
            raise ValueError(
                f"line {number} of {merges} must be two tokens with a blank between, "
                f"got {line!r:.200}."
            )
        pairs.append(pair)
    model = models.BPE(ids, pairs)
    backend = _byte_level(model, add_prefix_space)
    special = (END_OF_TEXT, *ROBERTA_TOKENS)
    backend.add_special_tokens([x for x in special if model.token_to_id(x) is not None])
    return backend


def _byte_level(
    model: "tokenizers.models.BPE", add_prefix_space: bool = False
) -> "tokenizers.Tokenizer":
    from tokenizers import Tokenizer, decoders, pre_tokenizers

    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space)
    backend.decoder = decoders.ByteLevel()
    return backend
