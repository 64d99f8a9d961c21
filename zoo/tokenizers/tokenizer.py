"""Text to token ids and back, on the `tokenizers` library."""

import contextlib
import functools
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.files.atomic import replacing, unchanged
from zoo.files.damaged import cause, is_panic, reading
from zoo.files.limits import MAX_TOKENIZER_BYTES, MAX_TOKENS
from zoo.files.surrogates import refuse_halves
from zoo.files.text_files import read_whole
from zoo.store import names
from zoo.store.manifest import PRETRAINED, checking
from zoo.tokenizers import wordpiece
from zoo.tokenizers.added_tokens import CONFIG, add, added_tokens, settings
from zoo.tokenizers.wordpiece import BERT_TOKENS, CLS, CONTINUATION, MASK, PAD, SEP, UNK

if TYPE_CHECKING:
    import tokenizers

END_OF_TEXT = "<|endoftext|>"
# RoBERTa's names for BERT's special tokens.
ROBERTA_TOKENS = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")

# Whose tokenizers files without a tokenizer.json are read as, by what `transformers`
# calls them; others cut in other ways, as BertJapanese's by words of a dictionary.
ANY_CLASS = ("PreTrained", "TokenizersBackend")
BYTE_PAIR_CLASSES = ("GPT2", "Roberta", "Bart", "Longformer", "LED", "CodeGen")
WORDPIECE_CLASSES = (
    *("Bert", "BertLegacy", "DistilBert", "Electra", "MobileBert"),
    *("ConvBert", "SqueezeBert", "LayoutLM", "Lxmert", "Splinter"),
)

EVERY_CHARACTER = r"[\s\S]"
CHARACTERS = {
    "type": "Split",
    "pattern": {"Regex": EVERY_CHARACTER},
    "behavior": "Isolated",
    "invert": False,
}

# GPT-2's pattern never joins a character to white space that follows it, so byte-level
# BPE gives the same ids when a text is cut here. Pieces are encoded in parallel.
SAFE_CUT = re.compile(r"(?<=\S)(?=\n)")
PIECE = 1 << 12  # characters, at least


class Tokenizer:
    """Text to token ids and back.

    Args:
        backend: A tokenizer of the `tokenizers` library. Truncation and padding are
            switched off in it. See the class methods for the usual ways to get one.
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
            ValueError: The text is empty.
        """
        from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

        if not text:
            raise ValueError("the text is empty; expected at least one character")
        refuse_halves(text)
        vocabulary = {character: i for i, character in enumerate(sorted(set(text)))}
        backend = Tokenizer(models.WordLevel(vocabulary))
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(EVERY_CHARACTER), "isolated")
        backend.decoder = decoders.Fuse()
        return cls(backend)

    @classmethod
    def train_bpe(
        cls,
        texts: str | Iterable[str],
        vocab_size: int,
        special_tokens: Sequence[str] = (END_OF_TEXT,),
    ) -> "Tokenizer":
        """Trains byte-level BPE as GPT-2 has it: any text decodes to itself.

        Args:
            texts: One text or several.
            vocab_size: Tokens in all, special ones included; fewer result where the
                texts do not repeat enough.
            special_tokens: Tokens that are never split; they get the first ids.

        Raises:
            ValueError: `vocab_size` has no room for the 256 bytes.
        """
        from tokenizers import models, pre_tokenizers, trainers

        smallest = 256 + len(special_tokens)
        if vocab_size < smallest:
            raise ValueError(
                f"vocab_size={vocab_size}; expected at least {smallest}: 256 bytes and "
                f"{len(special_tokens)} special tokens"
            )
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(special_tokens),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        backend = _byte_level(models.BPE())
        with _library("train on these texts"):
            backend.train_from_iterator(_all_pieces(texts), trainer)
        return cls(backend)

    @classmethod
    def train_wordpiece(
        cls, texts: str | Iterable[str], vocab_size: int, lowercase: bool = True
    ) -> "Tokenizer":
        """Trains WordPiece as BERT has it, with its special tokens as ids 0 to 4.

        Control characters vanish and white space becomes one blank; words are cut at
        punctuation and around each Chinese character.

        Args:
            texts: One text or several.
            vocab_size: Tokens in all; fewer result where the texts do not repeat
                enough.
            lowercase: Write all letters small and without accents ("uncased").

        Raises:
            ValueError: `vocab_size` has no room for the texts' characters.
        """
        return cls(wordpiece.trained([*_all_pieces(texts)], vocab_size, lowercase))

    @classmethod
    def train_words(
        cls, texts: str | Iterable[str], vocab_size: int, lowercase: bool = True
    ) -> "Tokenizer":
        """Takes the commonest words, cut as BERT cuts them; others are [UNK].

        Special tokens are `train_wordpiece`'s, with ids 0 to 4.

        Args:
            texts: One text or several.
            vocab_size: Tokens in all; fewer result where there are fewer words.
            lowercase: Write all letters small and without accents ("uncased").

        Raises:
            ValueError: `vocab_size` has no room for a word.
        """
        return cls(
            wordpiece.trained_words([*_all_pieces(texts)], vocab_size, lowercase)
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Tokenizer":
        """Loads a tokenizer from a file or folder.

        Args:
            path: A `tokenizer.json`, or a folder that holds one, GPT-2's `vocab.json`
                and `merges.txt`, or BERT's `vocab.txt`; beside these,
                `tokenizer_config.json` may say how letters are normalized, and tokens
                may be added as `transformers` keeps them (`added_tokens.json`, or
                fields of `tokenizer_config.json` and `special_tokens_map.json`). Or a
                BERT or GPT-2 preset of Keras Hub.

        Raises:
            FileNotFoundError: There is none of them.
            ValueError: The file does not describe a tokenizer.
        """
        path = Path(path).expanduser()
        with reading(path, "a tokenizer", f"{path} does not hold a tokenizer."):
            tokenizer = cls(_loaded(path))
            _check_ids(path, tokenizer.backend.get_vocab())
        return tokenizer

    @classmethod
    def from_preset(cls, name: str | os.PathLike[str]) -> "Tokenizer":
        """Loads the tokenizer that belongs to a model.

        Args:
            name: A checkpoint's name, a preset's or Hugging Face folder, or an address
                of the hub (`hf://owner/name`).

        Raises:
            FileNotFoundError: What it names has no tokenizer.
            ValueError: There is no such checkpoint or folder.
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
            f"there is no tokenizer {os.fspath(name)!r}; pass a folder that holds "
            "tokenizer.json (or vocab.json and merges.txt, or vocab.txt), or the name "
            f"of a checkpoint that has one: {known}"
        )

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Writes `directory/tokenizer.json`, which `tokenizers` reads as well."""
        with replacing(Path(directory) / "tokenizer.json") as file:
            file.write(self.backend.to_str(pretty=True).encode("utf-8"))

    def encode(self, text: str) -> np.ndarray:
        """Returns the token ids of a text, int32 of shape (number of tokens,).

        Special tokens written out in the text become their ids; none are added.

        Raises:
            ValueError: A character has no token.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the token ids of each text; see `encode`."""
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError(
                f"got {texts!r:.80}; encode takes a string and encode_batch a list of "
                "strings"
            )
        if self._alphabet is not None:
            return [self._encode_characters(text) for text in texts]
        for number, text in enumerate(texts):
            refuse_halves(text, "the text" if len(texts) == 1 else f"text {number}")
        groups = [list(_pieces(t)) if self._cuts_safely else [t] for t in texts]
        pieces = [piece for group in groups for piece in group]
        with _library("encode a text"):
            encoded = self.backend.encode_batch(pieces, add_special_tokens=False)
        encodings = iter(encoded)
        return [
            np.concatenate([np.array(next(encodings).ids, np.int32) for _ in group])
            for group in groups
        ]

    def encode_words(self, words: Sequence[str]) -> list[np.ndarray]:
        """Returns the token ids of each word as if a blank stood before it."""
        rules = self._pre_tokenizer
        if rules.get("type") == "ByteLevel" and not rules["add_prefix_space"]:
            words = [f" {word}" for word in words]
        return self.encode_batch(words)

    def encode_with_offsets(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns a text's token ids and where in it each token stands.

        Returns:
            Ids, int32 of shape (number of tokens,), and the characters at which each
            begins and ends: text[begin:end], of shape (number of tokens, 2).
        """
        refuse_halves(text)
        with _library("encode a text"):
            encoding = self.backend.encode(text, add_special_tokens=False)
        offsets = np.array(encoding.offsets, np.int32).reshape(-1, 2)
        if not text.isascii():
            _take_marks_in(offsets, text)
        return np.array(encoding.ids, np.int32), offsets

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Returns the text of token ids of shape (number of tokens,).

        Raises:
            ValueError: The ids are not integers of one dimension, or out of range.
        """
        ids = np.asarray(ids)
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise ValueError(
                f"token ids are {ids.dtype} of shape {ids.shape}; expected integers of "
                "one dimension; decode_batch takes several texts"
            )
        outside = ids[(ids < 0) | (ids >= self.vocab_size)]
        if outside.size:
            raise ValueError(
                f"token id {outside[0]} is not in this tokenizer's vocabulary; "
                f"expected 0 to {self.vocab_size - 1}"
            )
        if self._alphabet is not None:
            return _from_code_points(self._alphabet[ids.astype(np.int64)])
        with _library("decode ids"):
            return self.backend.decode(ids.tolist(), skip_special_tokens=False)

    def decode_batch(self, batch: Iterable[Sequence[int] | np.ndarray]) -> list[str]:
        """Returns the text of each sequence of token ids; see `decode`."""
        return [self.decode(ids) for ids in batch]

    @functools.cached_property
    def vocab_size(self) -> int:
        """One more than the largest id, added and special tokens included.

        That is the number of tokens, unless a vocabulary's file has a token twice: of
        its places but the last, the ids are no token's, and decoded to nothing.
        """
        return 1 + max(self.backend.get_vocab().values(), default=-1)

    @property
    def end_of_text_id(self) -> int | None:
        """The id of `<|endoftext|>`, or None if there is no such token."""
        return self.token_to_id(END_OF_TEXT)

    @functools.cached_property
    def special_ids(self) -> np.ndarray:
        """The ids of all special tokens, in rising order."""
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
        """How many stand between two texts: one `[SEP]`, or two of RoBERTa's `</s>`."""
        return 1 if self.token_to_id(SEP) is not None else 2

    @functools.cached_property
    def continuations(self) -> np.ndarray:
        """Whether each token continues a word (`##`), bool of shape (vocab_size,).

        Raises:
            ValueError: None does: this is not WordPiece.
        """
        continues: np.ndarray = np.zeros(self.vocab_size, bool)
        for token, token_id in self.backend.get_vocab().items():
            continues[token_id] = token.startswith(CONTINUATION)
        if not continues.any():
            raise ValueError(
                f"{self!r} has no token that begins with {CONTINUATION!r}; words are "
                "known of WordPiece alone, such as Tokenizer.train_wordpiece makes"
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
        """Of the vocabulary and the rules."""
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
        raise ValueError(f"{self!r} has no token {token!r} (or {other!r})")

    @functools.cached_property
    def _alphabet(self) -> np.ndarray | None:
        """Each id's code point if this is `characters`, whose lookup NumPy does.

        `tokenizers` takes 2.6 s for a million characters, NumPy some milliseconds.
        """
        if self._pre_tokenizer != CHARACTERS:
            return None
        vocabulary = self.backend.get_vocab()
        characters = sorted(vocabulary, key=vocabulary.__getitem__)
        if [vocabulary[c] for c in characters] != [*range(len(characters))] or any(
            len(c) != 1 for c in characters
        ):
            return None  # tokens were added
        return _code_points("".join(characters))

    @functools.cached_property
    def _ids(self) -> np.ndarray:
        """The id of each code point up to the largest, then -1 for all beyond."""
        assert self._alphabet is not None
        ids = np.full(int(self._alphabet.max()) + 2, -1, np.int32)
        ids[self._alphabet] = np.arange(len(self._alphabet))
        return ids

    def _encode_characters(self, text: str) -> np.ndarray:
        points = _code_points(text)
        ids = self._ids[np.minimum(points, len(self._ids) - 1)]
        if ids.size and ids.min() < 0:
            place = int(np.argmin(ids))
            raise ValueError(
                f"the character {text[place]!r} (U+{points[place]:04X}) at position "
                f"{place} is not one of this tokenizer's {self.vocab_size}; make it "
                "from all the text, drop the character, or use train_bpe, which "
                "encodes any text"
            )
        return ids

    @functools.cached_property
    def _cuts_safely(self) -> bool:
        """Whether the ids stay the same when a text is cut at `SAFE_CUT`."""
        rules = self._pre_tokenizer
        return (
            rules.get("type") == "ByteLevel"
            and not rules["add_prefix_space"]
            and rules.get("use_regex", True)
            and self.backend.normalizer is None
            and not any(
                token.rstrip or "\n" in token.content
                for token in self.backend.get_added_tokens_decoder().values()
            )
        )

    @property
    def _pre_tokenizer(self) -> dict:
        return json.loads(self.backend.to_str())["pre_tokenizer"] or {}


def _loaded(path: Path) -> "tokenizers.Tokenizer":
    """Of a file or folder; see `Tokenizer.load`."""
    from tokenizers import Tokenizer

    vocabulary, merges = path / "vocab.json", path / "merges.txt"
    assets = path / wordpiece.KERAS_HUB_VOCABULARY.parent
    if (path / wordpiece.KERAS_HUB_VOCABULARY).is_file():
        return wordpiece.from_keras_hub(path)
    if (assets / "vocabulary.json").is_file():
        return _byte_pairs(assets / "vocabulary.json", assets / "merges.txt")
    file = path / "tokenizer.json" if path.is_dir() else path
    if file.is_file():
        backend = Tokenizer.from_str(read_whole(file, MAX_TOKENIZER_BYTES))
        has = {x.content for x in backend.get_added_tokens_decoder().values()}
        added = [x for x in added_tokens(file.parent) if x.content not in has]
    elif vocabulary.is_file() and merges.is_file():
        _check_class(path, BYTE_PAIR_CLASSES)
        prefix = settings(path).get("add_prefix_space", False)
        backend = _byte_pairs(vocabulary, merges, prefix)
        added = added_tokens(path)
    elif (path / "vocab.txt").is_file():
        _check_class(path, WORDPIECE_CLASSES)
        backend = wordpiece.from_vocabulary(path)
        added = added_tokens(path)
    else:
        raise FileNotFoundError(
            f"{path} holds no tokenizer; expected a tokenizer.json, or a folder with "
            "tokenizer.json, with GPT-2's vocab.json and merges.txt, or with BERT's "
            "vocab.txt"
        )
    add(backend, added)
    return backend


def _check_class(folder: Path, classes: Sequence[str]) -> None:
    """Raises ValueError if a folder's tokenizer is said to be of another class."""
    name = settings(folder).get("tokenizer_class")
    if name and str(name).removesuffix("Fast").removesuffix("Tokenizer") not in (
        *ANY_CLASS,
        *classes,
    ):
        raise ValueError(
            f"{folder / CONFIG} has the tokenizer_class {name!r:.80}; without a "
            f"tokenizer.json one of {', '.join(classes)} is read. Save it as "
            "tokenizer.json: transformers.AutoTokenizer.from_pretrained(FOLDER)"
            ".save_pretrained(FOLDER) does"
        )


def _byte_pairs(
    vocabulary: Path, merges: Path, add_prefix_space: bool = False
) -> "tokenizers.Tokenizer":
    """Of a file with tokens and their ids, and one with a merge a line."""
    from tokenizers import models

    with reading(vocabulary, "an object of tokens and their ids"):
        ids = json.loads(read_whole(vocabulary, MAX_TOKENIZER_BYTES))
        _check_ids(vocabulary, ids)
    lines = read_whole(merges, MAX_TOKENIZER_BYTES).removesuffix("\n").split("\n")
    pairs = []
    for number, line in enumerate(lines, 1):
        if line.startswith("#version") or not line.strip():
            continue
        pair = tuple(line.removesuffix("\r").split(" "))
        if len(pair) != 2:
            raise ValueError(
                f"line {number} of {merges} is {line!r:.200}; expected two tokens with "
                "a blank between"
            )
        pairs.append(pair)
    model = models.BPE(ids, pairs)
    backend = _byte_level(model, add_prefix_space)
    special = (END_OF_TEXT, *ROBERTA_TOKENS)
    backend.add_special_tokens([x for x in special if model.token_to_id(x) is not None])
    return backend


def _check_ids(file: Path, vocabulary: dict[str, int]) -> None:
    """Raises ValueError if two tokens have one id, or one is no id."""
    tokens: dict[int, str] = {}
    for token, number in vocabulary.items():
        if type(number) is not int or not 0 <= number < MAX_TOKENS:
            raise ValueError(
                f"{file} gives the token {token!r:.80} the id {number!r:.80}; expected "
                f"0 to {MAX_TOKENS - 1:,}"
            )
        if (other := tokens.setdefault(number, token)) != token:
            raise ValueError(
                f"{file} gives the id {number} to {other!r:.80} and to {token!r:.80}"
            )


def _byte_level(
    model: "tokenizers.models.BPE", add_prefix_space: bool = False
) -> "tokenizers.Tokenizer":
    from tokenizers import Tokenizer, decoders, pre_tokenizers

    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space)
    backend.decoder = decoders.ByteLevel()
    return backend


@contextlib.contextmanager
def _library(use: str) -> Iterator[None]:
    """Turns what `tokenizers` raises into a ValueError, its panics too."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, ValueError) or not (
            isinstance(error, Exception) or is_panic(error)
        ):
            raise
        raise ValueError(f"this tokenizer can't {use}: {cause(error)}") from error


def _all_pieces(texts: str | Iterable[str]) -> Iterator[str]:
    for number, text in enumerate([texts] if isinstance(texts, str) else texts):
        refuse_halves(text, f"text {number}")
        yield from _pieces(text)


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while start < len(text) - PIECE:
        cut = SAFE_CUT.search(text, start + PIECE)
        end = cut.start() if cut else len(text)
        yield text[start:end]
        start = end
    yield text[start:]


def _take_marks_in(offsets: np.ndarray, text: str) -> None:
    """Moves tokens' ends behind the marks of their last character.

    What is normalised as BERT does it has lost combining marks: without them a token
    would end before its own accent.
    """
    following = np.append(offsets[1:, 0], len(text))
    for place, (end, limit) in enumerate(zip(offsets[:, 1], following, strict=True)):
        while end < limit and unicodedata.category(text[end]) == "Mn":
            end += 1
        offsets[place, 1] = end


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _from_code_points(points: np.ndarray) -> str:
    return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
