"""Text to token ids and back, on the `tokenizers` library."""

import functools
import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.files.atomic import replacing, unchanged
from zoo.files.surrogates import refuse_halves
from zoo.store import names
from zoo.store.manifest import PRETRAINED, checking
from zoo.tokenizers import bpe, characters, loading, wordpiece
from zoo.tokenizers.bpe import END_OF_TEXT, ROBERTA_TOKENS
from zoo.tokenizers.characters import Alphabet
from zoo.tokenizers.library import library_errors, pre_tokenizer
from zoo.tokenizers.pieces import all_pieces, cuts_safely, pieces
from zoo.tokenizers.wordpiece import BERT_TOKENS, CLS, CONTINUATION, MASK, PAD, SEP, UNK

if TYPE_CHECKING:
    import tokenizers


class Tokenizer:
    """Text to token ids and back.

    Args:
        backend: a tokenizer of the `tokenizers` library. Its truncation and padding
            are switched off. The class methods are the usual ways to get a tokenizer.
    """

    def __init__(self, backend: "tokenizers.Tokenizer") -> None:
        """Wraps a tokenizer of the `tokenizers` library."""
        backend.no_truncation()
        backend.no_padding()
        self.backend = backend

    @classmethod
    def characters(cls, text: str) -> "Tokenizer":
        """Makes a tokenizer with one id for each distinct character, in sorted order.

        It has no token for unknown characters: `encode` raises on them.

        Raises:
            ValueError: the text is empty.
        """
        return cls(characters.of_text(text))

    @classmethod
    def train_bpe(
        cls,
        texts: str | Iterable[str],
        vocab_size: int,
        special_tokens: Sequence[str] = (END_OF_TEXT,),
    ) -> "Tokenizer":
        """Trains byte-level BPE as in GPT-2, which encodes any text without loss.

        Args:
            texts: one or more texts.
            vocab_size: the number of tokens, special ones included. There will be
                fewer if the texts do not repeat enough.
            special_tokens: tokens that are never split. They get the first ids.

        Raises:
            ValueError: `vocab_size` has no room for the 256 bytes.
        """
        return cls(bpe.trained(texts, vocab_size, special_tokens))

    @classmethod
    def train_wordpiece(
        cls, texts: str | Iterable[str], vocab_size: int, lowercase: bool = True
    ) -> "Tokenizer":
        """Trains WordPiece as in BERT, with BERT's special tokens as ids 0 to 4.

        Control characters are removed and runs of white space become one blank. Words
        are split at punctuation and around each Chinese character.

        Args:
            texts: one or more texts.
            vocab_size: the number of tokens, special ones included. There will be
                fewer if the texts do not repeat enough.
            lowercase: whether to lowercase letters and strip their accents
                ("uncased").

        Raises:
            ValueError: `vocab_size` has no room for the texts' characters.
        """
        return cls(wordpiece.trained([*all_pieces(texts)], vocab_size, lowercase))

    @classmethod
    def train_words(
        cls, texts: str | Iterable[str], vocab_size: int, lowercase: bool = True
    ) -> "Tokenizer":
        """Takes the most frequent words, split as in BERT; all others are [UNK].

        The special tokens are those of `train_wordpiece`, with ids 0 to 4.

        Args:
            texts: one or more texts.
            vocab_size: the number of tokens, special ones included. There will be
                fewer if the texts have fewer words.
            lowercase: whether to lowercase letters and strip their accents
                ("uncased").

        Raises:
            ValueError: `vocab_size` has no room for a word.
        """
        return cls(wordpiece.trained_words([*all_pieces(texts)], vocab_size, lowercase))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Tokenizer":
        """Loads a tokenizer from a file or folder.

        Args:
            path: a `tokenizer.json`, or a folder that holds one, GPT-2's `vocab.json`
                and `merges.txt`, or BERT's `vocab.txt`. In such a folder,
                `tokenizer_config.json` may say how text is normalized, and tokens may
                be added in the files of `transformers` (`added_tokens.json`, or fields
                of `tokenizer_config.json` and `special_tokens_map.json`). Or a BERT or
                GPT-2 preset of Keras Hub, or a GGUF file.

        Raises:
            FileNotFoundError: `path` is none of these.
            ValueError: the file does not describe a tokenizer.
        """
        return cls(loading.loaded(Path(path).expanduser()))

    @classmethod
    def of_file(cls, file: Path) -> "Tokenizer | None":
        """The tokenizer in a GGUF file; None, with a warning, if it can't be read."""
        try:
            return cls.load(file)
        except ValueError as error:
            logging.getLogger(__name__).warning("Loaded without a tokenizer. %s", error)
            return None

    @classmethod
    def from_preset(cls, name: str | os.PathLike[str]) -> "Tokenizer":
        """Loads the tokenizer that belongs to a model.

        Args:
            name: the name of a checkpoint, the folder of a preset or of a Hugging Face
                model, or an address on the hub (`hf://owner/name`).

        Raises:
            FileNotFoundError: the model has no tokenizer.
            ValueError: there is no such checkpoint or folder.
        """
        for folder in (Path(name).expanduser(), *(root / name for root in PRETRAINED)):
            if folder.is_dir():
                with unchanged(folder), checking(folder):
                    return cls.load(folder)
        if (fetched := names.folder_of(name)) is not None:
            return cls.load(fetched)
        files = (file for root in PRETRAINED for file in root.glob("*/tokenizer.json"))
        known = ", ".join(sorted({file.parent.name for file in files})) or "none"
        raise FileNotFoundError(
            f"There is no tokenizer {os.fspath(name)!r}. Pass a folder that holds "
            "tokenizer.json (or vocab.json and merges.txt, or vocab.txt), or the name "
            f"of a checkpoint that has a tokenizer: {known}"
        )

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Writes `directory/tokenizer.json`, which `tokenizers` can read too."""
        with replacing(Path(directory) / "tokenizer.json") as file:
            file.write(self.backend.to_str(pretty=True).encode("utf-8"))

    def encode(self, text: str) -> np.ndarray:
        """Returns the token ids of a text, int32 of shape (number of tokens,).

        Special tokens spelled out in the text become their ids; none are added.

        Raises:
            ValueError: a character has no token.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the token ids of each text; see `encode`."""
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError(
                "encode takes a string, and encode_batch a list of strings, got "
                f"{texts!r:.80}."
            )
        if self._alphabet is not None:
            return [self._alphabet.encode(text) for text in texts]
        for number, text in enumerate(texts):
            refuse_halves(text, "the text" if len(texts) == 1 else f"text {number}")
        groups = [list(pieces(t)) if self._cuts_safely else [t] for t in texts]
        flat = [piece for group in groups for piece in group]
        with library_errors("encode a text"):
            encoded = self.backend.encode_batch(flat, add_special_tokens=False)
        encodings = iter(encoded)
        return [
            np.concatenate([np.array(next(encodings).ids, np.int32) for _ in group])
            for group in groups
        ]

    def encode_words(self, words: Sequence[str]) -> list[np.ndarray]:
        """Returns the token ids of each word as if it followed a blank."""
        rules = pre_tokenizer(self.backend)
        if rules.get("type") == "ByteLevel" and not rules["add_prefix_space"]:
            words = [f" {word}" for word in words]
        return self.encode_batch(words)

    def encode_with_offsets(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns a text's token ids and the span of characters of each token.

        Returns:
            The ids, int32 of shape (number of tokens,), and the spans, int32 of shape
            (number of tokens, 2): a token is text[begin:end].
        """
        refuse_halves(text)
        with library_errors("encode a text"):
            encoding = self.backend.encode(text, add_special_tokens=False)
        offsets = np.array(encoding.offsets, np.int32).reshape(-1, 2)
        if not text.isascii():
            wordpiece.include_marks(offsets, text)
        return np.array(encoding.ids, np.int32), offsets

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Returns the text of token ids of shape (number of tokens,).

        Raises:
            ValueError: the ids are not a one-dimensional array of integers, or one is
                out of range.
        """
        ids = np.asarray(ids)
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise ValueError(
                "Token ids must be integers in one dimension, got "
                f"{ids.dtype} of shape {ids.shape}. For several texts use decode_batch."
            )
        outside = ids[(ids < 0) | (ids >= self.vocab_size)]
        if outside.size:
            raise ValueError(
                f"Token ids must be from 0 to {self.vocab_size - 1}, the range of this "
                f"tokenizer's vocabulary, got {outside[0]}."
            )
        if self._alphabet is not None:
            return self._alphabet.decode(ids)
        with library_errors("decode ids"):
            return self.backend.decode(ids.tolist(), skip_special_tokens=False)

    def decode_batch(self, batch: Iterable[Sequence[int] | np.ndarray]) -> list[str]:
        """Returns the text of each sequence of token ids; see `decode`."""
        return [self.decode(ids) for ids in batch]

    @functools.cached_property
    def vocab_size(self) -> int:
        """The largest id plus one, added and special tokens included.

        This is the number of tokens, unless a vocabulary file lists a token twice: the
        ids of all its places but the last belong to no token and decode to nothing.
        """
        return 1 + max(self.backend.get_vocab().values(), default=-1)

    @property
    def end_of_text_id(self) -> int | None:
        """The id of `<|endoftext|>`, or None if there is no such token."""
        return self.token_to_id(END_OF_TEXT)

    @functools.cached_property
    def special_ids(self) -> np.ndarray:
        """The ids of all special tokens, in ascending order."""
        added = self.backend.get_added_tokens_decoder().items()
        return np.array(sorted(i for i, token in added if token.special), np.int32)

    @functools.cached_property
    def pad_id(self) -> int:
        """The id of `[PAD]` or `<pad>`; ValueError if there is neither."""
        return self._special_id(PAD)

    @functools.cached_property
    def unk_id(self) -> int:
        """The id of `[UNK]` or `<unk>`; ValueError if there is neither."""
        return self._special_id(UNK)

    @functools.cached_property
    def cls_id(self) -> int:
        """The id of `[CLS]` or `<s>`; ValueError if there is neither."""
        return self._special_id(CLS)

    @functools.cached_property
    def sep_id(self) -> int:
        """The id of `[SEP]` or `</s>`; ValueError if there is neither."""
        return self._special_id(SEP)

    @functools.cached_property
    def mask_id(self) -> int:
        """The id of `[MASK]` or `<mask>`; ValueError if there is neither."""
        return self._special_id(MASK)

    @functools.cached_property
    def separators(self) -> int:
        """The number of separators between two texts: 1 in BERT, 2 in RoBERTa."""
        return 1 if self.token_to_id(SEP) is not None else 2

    @functools.cached_property
    def continuations(self) -> np.ndarray:
        """Whether each token continues a word (`##`), bool of shape (vocab_size,).

        Raises:
            ValueError: none does, so this is not WordPiece.
        """
        continues: np.ndarray = np.zeros(self.vocab_size, bool)
        for token, token_id in self.backend.get_vocab().items():
            continues[token_id] = token.startswith(CONTINUATION)
        if not continues.any():
            raise ValueError(
                f"{self!r} has no token that begins with {CONTINUATION!r}. Only "
                "WordPiece marks where words begin: use one that "
                "Tokenizer.train_wordpiece makes."
            )
        return continues

    def token_to_id(self, token: str) -> int | None:
        """Returns a token's id, or None if there is no such token."""
        return self.backend.token_to_id(token)

    def id_to_token(self, token_id: int) -> str | None:
        """Returns the token of an id, or None if there is no such id."""
        return self.backend.id_to_token(token_id)

    @property
    def sha256(self) -> str:
        """The SHA-256 hash of the vocabulary and the rules."""
        return hashlib.sha256(self.backend.to_str().encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        """Tells whether both have the same vocabulary and rules."""
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return self.backend.to_str() == other.backend.to_str()

    def __hash__(self) -> int:
        """Agrees with `==`."""
        return hash(self.backend.to_str())

    def __repr__(self) -> str:
        """Names the model and the size of the vocabulary."""
        model = type(self.backend.model).__name__
        return f"<Tokenizer {model}, vocab_size={self.vocab_size}>"

    def _special_id(self, token: str) -> int:
        other = ROBERTA_TOKENS[BERT_TOKENS.index(token)]
        for name in (token, other):
            if (found := self.token_to_id(name)) is not None:
                return found
        raise ValueError(f"{self!r} has no token {token!r} (or {other!r}).")

    @functools.cached_property
    def _alphabet(self) -> Alphabet | None:
        return Alphabet.of(self.backend)

    @functools.cached_property
    def _cuts_safely(self) -> bool:
        return cuts_safely(self.backend)
