"""Texts and images by name, tokenizers, token files, and batches of crops or images."""

from zoo.data.crops import RandomCrops, windows, windows_with_weights
from zoo.data.datasets import TextDataset, list_datasets, load
from zoo.data.image_batches import ImageBatches, binarized
from zoo.data.images import ImageDataset
from zoo.data.token_files import read_tokens, write_tokens
from zoo.data.tokenizers import Tokenizer
from zoo.data.unpaired import UnpairedBatches, UnpairedDataset

__all__ = [
    "ImageBatches",
    "ImageDataset",
    "RandomCrops",
    "TextDataset",
    "Tokenizer",
    "UnpairedBatches",
    "UnpairedDataset",
    "binarized",
    "list_datasets",
    "load",
    "read_tokens",
    "windows",
    "windows_with_weights",
    "write_tokens",
]
