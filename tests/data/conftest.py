import pytest
import tokenizers as hugging_face

from zoo.data import Tokenizer
from zoo.tokenizers.tokenizer import ROBERTA_TOKENS
from zoo.tokenizers.wordpiece import BERT_TOKENS

SPECIAL = list(BERT_TOKENS)
WORDS = "the cat sat on a mat new york city is big dogs bark . , ? ! -".split()
PIECES = ["##s", "##ing", "##ly", "##er"]


def write_vocabulary(folder, tokens):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", "utf-8")
    return Tokenizer.load(folder)


@pytest.fixture(scope="session")
def words(tmp_path_factory) -> Tokenizer:
    """A few English words and four word pieces that continue them."""
    folder = tmp_path_factory.mktemp("words")
    return write_vocabulary(folder, [*SPECIAL, *WORDS, *PIECES])


@pytest.fixture(scope="session")
def thousand(tmp_path_factory) -> Tokenizer:
    """A vocabulary of 1,000; 300 to 999 begin a word, special tokens are scattered."""
    tokens = [f"##{i}" if i < 300 else f"w{i}" for i in range(1000)]
    tokens[0], tokens[100:104] = SPECIAL[0], SPECIAL[1:]
    return write_vocabulary(tmp_path_factory.mktemp("thousand"), tokens)


@pytest.fixture(scope="session")
def robertas() -> Tokenizer:
    """Byte-level BPE with RoBERTa's special tokens."""
    text = "the cat sat on a mat. " * 20
    return Tokenizer.train_bpe(text, 280, special_tokens=ROBERTA_TOKENS)


@pytest.fixture(scope="session")
def byte_pairs() -> Tokenizer:
    return Tokenizer(hugging_face.Tokenizer(hugging_face.models.BPE()))
