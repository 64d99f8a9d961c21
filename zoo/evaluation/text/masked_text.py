"""Evaluates BERT's pretraining on held-out text, masked once."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from zoo.data.pretraining.cutting import pretraining_sequences
from zoo.data.pretraining.masked_batches import MaskedBatches
from zoo.data.pretraining.masking import Masking, most_masked
from zoo.data.pretraining.sentence_pairs import Negatives
from zoo.data.text.sequences import Sequences
from zoo.tokenizers.tokenizer import Tokenizer

RATE = 0.15


def masked_once(
    sequences: Sequences, tokenizer: Tokenizer, length: int, count: int
) -> dict[str, np.ndarray]:
    """Masks sequences by BERT's rule, with a fixed seed to keep metrics comparable.

    Args:
        sequences: sequences of held-out text.
        tokenizer: the tokenizer of the sequences.
        length: tokens in the longest sequence.
        count: the most sequences to mask.

    Returns:
        One batch, as `MaskedBatches` makes them.
    """
    masking = Masking(tokenizer, most_masked(RATE, length), rate=RATE)
    count = min(count, len(sequences))
    (batch,) = MaskedBatches(sequences, masking, count, seed=0).batch(0)
    return batch


def with_noise(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Adds the noise that ELECTRA's generator samples with, always the same."""
    noise = np.random.default_rng(0).random(batch["mask_ids"].shape)
    return {**batch, "noise": noise.astype("float32")}


def masked_text_metrics(
    model: Any,
    text: str,
    *,
    paragraphs: int = 8,
    duplicates: int = 10,
    negatives: Negatives = "random",
    length: int | None = None,
    count: int = 500,
    seed: int = 0,
) -> dict[str, float]:
    """Losses and accuracies of a `BertPretrainer` on a text.

    Args:
        model: a compiled model with a tokenizer.
        text: the text, in paragraphs.
        paragraphs: the number of paragraphs per document.
        duplicates: how often documents are cut into pairs.
        negatives: the kind of negative pairs; "swapped" for a model that learned
            sentence order, see `sentence_pairs`.
        length: tokens per sequence; by default the model's context length.
        count: the most sequences to mask.
        seed: the seed for drawing pairs.
    """
    length = length or model.config.context_length
    tokenizer = model.tokenizer
    sequences = pretraining_sequences(
        text,
        tokenizer,
        length,
        negatives=None if model.next_sentence is None else negatives,
        paragraphs=paragraphs,
        duplicates=duplicates,
        seed=seed,
    )
    batch = masked_once(sequences, tokenizer, length, count)
    return model.evaluate(batch, batch_size=32, verbose=0, return_dict=True)


def frequency_figures(
    tokens: np.ndarray, masked: Mapping[str, np.ndarray], vocab_size: int
) -> dict[str, float]:
    """Predicts masked tokens by the frequency of tokens, as a baseline.

    Args:
        tokens: ids that frequencies are counted in, of any shape.
        masked: arrays as of `masked_once`.
        vocab_size: number of token ids.

    Returns:
        `unigram_loss`, nats per masked token, and `unigram_accuracy`, the share of the
        commonest token.
    """
    counts = np.bincount(tokens, minlength=vocab_size) + 1.0
    chosen = masked["mask_ids"][masked["mask_weights"] > 0]
    return {
        "unigram_loss": float(-np.log(counts / counts.sum())[chosen].mean()),
        "unigram_accuracy": float(np.mean(chosen == counts.argmax())),
    }
