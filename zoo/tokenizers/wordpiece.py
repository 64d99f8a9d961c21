"""WordPiece as in BERT: trained, and read from the files it is published in."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.files.limits import MAX_CONFIG_BYTES, MAX_TOKENIZER_BYTES
from zoo.files.text_files import read_whole
from zoo.tokenizers.added_tokens import settings

if TYPE_CHECKING:
    import tokenizers

PAD, UNK, CLS, SEP, MASK = BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUATION = "##"
ALPHABET = 1000  # most characters in a vocabulary; others are [UNK]
NO_WORDS = "The texts must have words to train on, got none"
KERAS_HUB_VOCABULARY = Path("assets", "tokenizer", "vocabulary.txt")


def trained(
    texts: Sequence[str], vocab_size: int, lowercase: bool
) -> "tokenizers.Tokenizer":
    """Trains the tokenizer of `zoo.Tokenizer.train_wordpiece`."""
    from tokenizers import models, trainers

    backend = _wordpiece(models.WordPiece(unk_token=UNK), lowercase)
    first, inner = _characters(texts, backend)
    # Passed as special tokens, continuing characters get fixed ids. The trainer breaks
    # ties between pairs by id, and ids otherwise differ from run to run.
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=[*BERT_TOKENS, *(CONTINUATION + c for c in inner)],
        initial_alphabet=first,
        limit_alphabet=len(first),
        continuing_subword_prefix=CONTINUATION,
        show_progress=False,
    )
    if not first:
        raise ValueError(NO_WORDS)
    backend.train_from_iterator(texts, trainer)
    vocabulary = backend.get_vocab()
    if len(vocabulary) > vocab_size:
        raise ValueError(
            f"vocab_size must be at least {len(vocabulary)} ({len(BERT_TOKENS)} "
            "special tokens, and the texts' characters at the start of words and "
            f"inside), got {vocab_size}."
        )
    model = models.WordPiece(vocabulary, unk_token=UNK)
    return _with_bert_tokens(_wordpiece(model, lowercase))


def trained_words(
    texts: Sequence[str], vocab_size: int, lowercase: bool
) -> "tokenizers.Tokenizer":
    """Makes the tokenizer of `zoo.Tokenizer.train_words`."""
    from tokenizers import models, trainers

    if vocab_size <= len(BERT_TOKENS):
        raise ValueError(
            f"vocab_size must be more than the {len(BERT_TOKENS)} special tokens, got "
            f"{vocab_size}."
        )
    backend = _wordpiece(models.WordLevel(unk_token=UNK), lowercase)
    trainer = trainers.WordLevelTrainer(
        vocab_size=vocab_size, special_tokens=[*BERT_TOKENS], show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    if backend.get_vocab_size() == len(BERT_TOKENS):
        raise ValueError(NO_WORDS)
    return _with_bert_tokens(backend)


def _wordpiece(
    model: "tokenizers.models.Model",
    lowercase: bool,
    strip_accents: bool | None = None,
    chinese_characters: bool = True,
) -> "tokenizers.Tokenizer":
    """Makes a tokenizer by BERT's rules.

    By default (`strip_accents=None`), accents are stripped if letters are lowercased.
    """
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers

    backend = Tokenizer(model)
    backend.normalizer = normalizers.BertNormalizer(
        lowercase=lowercase,
        strip_accents=strip_accents,
        handle_chinese_chars=chinese_characters,
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix=CONTINUATION)
    return backend


def _with_bert_tokens(backend: "tokenizers.Tokenizer") -> "tokenizers.Tokenizer":
    """Adds special tokens, and the rule by which other programs frame a text."""
    from tokenizers import processors

    ids = backend.get_vocab()
    if missing := [token for token in BERT_TOKENS if token not in ids]:
        raise ValueError(
            f"The vocabulary must hold {', '.join(BERT_TOKENS)}, got one that has no "
            f"{', '.join(missing)}."
        )
    backend.add_special_tokens(list(BERT_TOKENS))
    backend.post_processor = processors.BertProcessing((SEP, ids[SEP]), (CLS, ids[CLS]))
    return backend


def _characters(
    texts: Iterable[str], backend: "tokenizers.Tokenizer"
) -> tuple[list[str], list[str]]:
    """Finds the most frequent characters of words, and which of them continue one."""
    words: Counter[str] = Counter()
    for text in texts:
        words.update(backend.normalizer.normalize_str(text).split())
    counts: Counter[str] = Counter()
    inner: set[str] = set()
    for text, count in words.items():
        for word, _ in backend.pre_tokenizer.pre_tokenize_str(text):
            counts.update(dict.fromkeys(word, count))
            inner.update(word[1:])
    kept = sorted(counts, key=lambda c: (-counts[c], c))[:ALPHABET]
    return sorted(kept), sorted(inner.intersection(kept))


def from_vocabulary(folder: Path) -> "tokenizers.Tokenizer":
    """Reads a folder in BERT's form: vocab.txt and maybe tokenizer_config.json.

    The folders of BERT's authors do not say whether to lowercase letters; this is
    inferred from the vocabulary.
    """
    config, tokens = settings(folder), _tokens(folder / "vocab.txt")
    if (lowercase := config.get("do_lower_case")) is None:
        lowercase = _is_lowercase(tokens)
    return _of_tokens(
        tokens,
        lowercase,
        config.get("strip_accents"),
        config.get("tokenize_chinese_chars", True),
    )


def _is_lowercase(tokens: Sequence[str]) -> bool:
    """Tells whether fewer than 1 % of the ordinary tokens have capitals."""
    ordinary = [token for token in tokens if not re.fullmatch(r"\[.*\]", token)]
    return sum(token != token.lower() for token in ordinary) < 0.01 * len(tokens)


def from_keras_hub(folder: Path) -> "tokenizers.Tokenizer":
    """Reads a preset of Keras Hub's WordPiece."""
    config = json.loads(read_whole(folder / "tokenizer.json", MAX_CONFIG_BYTES))[
        "config"
    ]
    tokens = _tokens(folder / KERAS_HUB_VOCABULARY)
    return _of_tokens(tokens, config["lowercase"], config["strip_accents"])


def _tokens(file: Path) -> list[str]:
    """Reads a file that has one token per line."""
    text = read_whole(file, MAX_TOKENIZER_BYTES)
    return [token.rstrip() for token in text.removesuffix("\n").split("\n")]


def _of_tokens(tokens: Sequence[str], *rules: Any) -> "tokenizers.Tokenizer":
    """Makes a tokenizer of these tokens, by the rules that `_wordpiece` takes.

    A token that occurs twice has the id of its last place, as in `transformers`; the id
    of the other place belongs to no token.
    """
    from tokenizers import models

    model = models.WordPiece(
        {token: place for place, token in enumerate(tokens)}, unk_token=UNK
    )
    return _with_bert_tokens(_wordpiece(model, *rules))


def include_marks(offsets: np.ndarray, text: str) -> None:
    """Moves the ends of tokens behind the combining marks of their last character.

    BERT's normalization strips these marks, so a token would end before its own accent.

    Args:
        offsets: the begin and end of each token, of shape (number of tokens, 2),
            changed in place.
        text: the text that they refer to.
    """
    following = np.append(offsets[1:, 0], len(text))
    for place, (end, limit) in enumerate(zip(offsets[:, 1], following, strict=True)):
        while end < limit and unicodedata.category(text[end]) == "Mn":
            end += 1
        offsets[place, 1] = end


def check_unknown(path: Path, backend: "tokenizers.Tokenizer") -> None:
    """Raises a ValueError if a WordPiece vocabulary lacks its own unknown token.

    The library would load it, and fail at the first word that it can't split.
    """
    from tokenizers import models

    if not isinstance(backend.model, models.WordPiece):
        return
    unknown = backend.model.unk_token
    if unknown not in backend.get_vocab(with_added_tokens=False):
        raise ValueError(
            f"{path}: the vocabulary must hold its unk_token {unknown!a:.80}, which "
            "stands for words that can't be split. Add it, or name one that is there."
        )
