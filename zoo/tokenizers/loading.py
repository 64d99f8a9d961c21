"""Finds out in which form a file or folder holds a tokenizer, and reads it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.files.damaged import reading
from zoo.files.limits import MAX_TOKENIZER_BYTES
from zoo.files.text_files import read_whole
from zoo.store.names import GGUF
from zoo.tokenizers import bpe, gguf, wordpiece
from zoo.tokenizers.added_tokens import CONFIG, add, added_tokens, settings
from zoo.tokenizers.ids import check_ids

if TYPE_CHECKING:
    import tokenizers

# The classes of `transformers` whose files can be read without a tokenizer.json. Others
# split texts by other rules: BertJapanese, for one, looks words up in a dictionary.
ANY_CLASS = ("PreTrained", "TokenizersBackend")
BYTE_PAIR_CLASSES = ("GPT2", "Roberta", "Bart", "Longformer", "LED", "CodeGen")
WORDPIECE_CLASSES = (
    *("Bert", "BertLegacy", "DistilBert", "Electra", "MobileBert"),
    *("ConvBert", "SqueezeBert", "LayoutLM", "Lxmert", "Splinter"),
)


def loaded(path: Path) -> "tokenizers.Tokenizer":
    """Reads the tokenizer of a file or folder; see `zoo.Tokenizer.load`."""
    with reading(path, "a tokenizer", f"{path} does not hold a tokenizer."):
        backend = _read(path)
        check_ids(path, backend.get_vocab())
        wordpiece.check_unknown(path, backend)
    return backend


def _read(path: Path) -> "tokenizers.Tokenizer":
    from tokenizers import Tokenizer

    if path.suffix == GGUF and path.is_file():
        return gguf.from_gguf(path)
    vocabulary, merges = path / "vocab.json", path / "merges.txt"
    assets = path / wordpiece.KERAS_HUB_VOCABULARY.parent
    if (path / wordpiece.KERAS_HUB_VOCABULARY).is_file():
        return wordpiece.from_keras_hub(path)
    if (assets / "vocabulary.json").is_file():
        return bpe.from_files(assets / "vocabulary.json", assets / "merges.txt")
    file = path / "tokenizer.json" if path.is_dir() else path
    if file.is_file():
        backend = Tokenizer.from_str(read_whole(file, MAX_TOKENIZER_BYTES))
        has = {x.content for x in backend.get_added_tokens_decoder().values()}
        added = [x for x in added_tokens(file.parent) if x.content not in has]
    elif vocabulary.is_file() and merges.is_file():
        _check_class(path, BYTE_PAIR_CLASSES)
        prefix = settings(path).get("add_prefix_space", False)
        backend = bpe.from_files(vocabulary, merges, prefix)
        added = added_tokens(path)
    elif (path / "vocab.txt").is_file():
        _check_class(path, WORDPIECE_CLASSES)
        backend = wordpiece.from_vocabulary(path)
        added = added_tokens(path)
    else:
        raise FileNotFoundError(
            f"{path} holds no tokenizer. Pass a tokenizer.json, or a folder with "
            "tokenizer.json, with GPT-2's vocab.json and merges.txt, or with BERT's "
            "vocab.txt."
        )
    add(backend, added)
    return backend


def _check_class(folder: Path, classes: Sequence[str]) -> None:
    """Raises ValueError if a folder's tokenizer_class is not one of `classes`."""
    name = settings(folder).get("tokenizer_class")
    if name and str(name).removesuffix("Fast").removesuffix("Tokenizer") not in (
        *ANY_CLASS,
        *classes,
    ):
        raise ValueError(
            f"Without a tokenizer.json, the tokenizer_class in {folder / CONFIG} must "
            f"be one of {', '.join(classes)}, got {name!r:.80}. Save the tokenizer as "
            "tokenizer.json: transformers.AutoTokenizer.from_pretrained(FOLDER)"
            ".save_pretrained(FOLDER)."
        )
