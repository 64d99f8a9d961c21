"""Texts, tasks and images by name, tokenizers, token files, and batches of them."""

from zoo.data.crops import RandomCrops, windows, windows_with_weights
from zoo.data.datasets import TextDataset, list_datasets, load
from zoo.data.documents import Documents
from zoo.data.image_batches import ImageBatches, binarized
from zoo.data.images import ImageDataset
from zoo.data.masked_batches import MaskedBatches
from zoo.data.masking import Masking
from zoo.data.pair_batches import PairBatches, pairs_once
from zoo.data.pairs import full_sentences, sentence_pairs
from zoo.data.parallel import ParallelText
from zoo.data.pmi import Collocations, collocations
from zoo.data.questions import QuestionWindows, question_windows
from zoo.data.sequences import Sequences
from zoo.data.spelling import SpelledSequences, spelled, spelled_sequences
from zoo.data.streams import Streams
from zoo.data.subsets import fixed_subset
from zoo.data.tag_paths import TagPaths
from zoo.data.task_sequences import (
    TaggedSequences,
    labelled_sequences,
    tagged_sequences,
)
from zoo.data.tasks import LabelledText, Question, TaggedWords, TaskDataset
from zoo.data.text_batches import TextBatches, each_once
from zoo.data.token_files import read_tokens, write_tokens
from zoo.data.token_pairs import TokenPairs, train_joint_bpe
from zoo.data.tokenizers import Tokenizer
from zoo.data.unpaired import UnpairedBatches, UnpairedDataset

__all__ = [
    "Collocations",
    "Documents",
    "ImageBatches",
    "ImageDataset",
    "LabelledText",
    "MaskedBatches",
    "Masking",
    "PairBatches",
    "ParallelText",
    "Question",
    "QuestionWindows",
    "RandomCrops",
    "Sequences",
    "SpelledSequences",
    "Streams",
    "TaggedSequences",
    "TagPaths",
    "TaggedWords",
    "TaskDataset",
    "TextBatches",
    "TextDataset",
    "TokenPairs",
    "Tokenizer",
    "UnpairedBatches",
    "UnpairedDataset",
    "binarized",
    "collocations",
    "each_once",
    "fixed_subset",
    "full_sentences",
    "labelled_sequences",
    "list_datasets",
    "load",
    "pairs_once",
    "question_windows",
    "read_tokens",
    "sentence_pairs",
    "spelled",
    "spelled_sequences",
    "tagged_sequences",
    "train_joint_bpe",
    "windows",
    "windows_with_weights",
    "write_tokens",
]
