"""Text data: datasets by name, tokenizers, token files and batches of crops."""

from zoo.data.crops import RandomCrops, windows, windows_with_weights
from zoo.data.datasets import TextDataset, list_datasets, load
from zoo.data.token_files import read_tokens, write_tokens
from zoo.data.tokenizers import Tokenizer

__all__ = [
    "RandomCrops",
    "TextDataset",
    "Tokenizer",
    "list_datasets",
    "load",
    "read_tokens",
    "windows",
    "windows_with_weights",
    "write_tokens",
]
