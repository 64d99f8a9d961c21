"""Datasets by name (texts, tasks, images), token files, and batches of all of them."""

from zoo.data.datasets import TextDataset, list_datasets, load
from zoo.data.images.batches import ImageBatches, binarized
from zoo.data.images.loading import ImageDataset
from zoo.data.images.unpaired import UnpairedBatches, UnpairedDataset
from zoo.data.pretraining.masked_batches import MaskedBatches
from zoo.data.pretraining.masking import Masking
from zoo.data.pretraining.pmi import Collocations, collocations
from zoo.data.pretraining.sentence_pairs import full_sentences, sentence_pairs
from zoo.data.subsets import fixed_subset
from zoo.data.tasks.labelled import LabelledText, Question, TaggedWords, TaskDataset
from zoo.data.tasks.questions import QuestionWindows, question_windows
from zoo.data.tasks.sequences import (
    TaggedSequences,
    labelled_sequences,
    tagged_sequences,
)
from zoo.data.tasks.spelling import SpelledSequences, spelled, spelled_sequences
from zoo.data.tasks.tag_paths import TagPaths
from zoo.data.text.batches import TextBatches, each_once
from zoo.data.text.crops import RandomCrops, windows, windows_with_weights
from zoo.data.text.documents import Documents
from zoo.data.text.sequences import Sequences
from zoo.data.text.streams import Streams
from zoo.data.text.token_files import read_tokens, write_tokens
from zoo.data.translation.batches import PairBatches, pairs_once
from zoo.data.translation.parallel_texts import ParallelText
from zoo.data.translation.token_pairs import TokenPairs, train_joint_bpe
from zoo.tokenizers.tokenizer import Tokenizer

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
