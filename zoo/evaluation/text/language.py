"""How well a language model predicts a text, in comparable units.

A loss in nats per token depends on the tokenizer; bits per byte do not.
"""

import math
from typing import Any

import numpy as np


def perplexity(log_probs: np.ndarray) -> float:
    """The exponential of the mean negative log-probability (nats) of tokens."""
    log_probs = np.asarray(log_probs, "float64")
    if not log_probs.size:
        raise ValueError("A perplexity needs at least one token, got no tokens.")
    return math.exp(-log_probs.mean())


def bits_per_byte(log_probs: np.ndarray, text: str | bytes | int) -> float:
    """The information of a text's tokens in bits per UTF-8 byte of the text.

    Args:
        log_probs: the tokens' log-probabilities, in nats.
        text: the text, its bytes, or its number of bytes.

    Raises:
        ValueError: the text is empty.
    """
    if isinstance(text, str):
        text = text.encode()
    num_bytes = text if isinstance(text, int) else len(text)
    if num_bytes < 1:
        raise ValueError(f"Bits per byte need at least one byte, got {text!r}.")
    return -float(np.sum(np.asarray(log_probs, "float64"))) / math.log(2) / num_bytes


def text_metrics(
    model: Any,
    tokens: np.ndarray,
    text: str,
    batch_size: int = 32,
    stride: int | None = None,
) -> dict:
    """The loss, perplexity and bits per byte over every token of a text but the first.

    The text is cut into consecutive windows of the model's context length, so the first
    tokens of a window have little context: as in nanoGPT's evaluation. A `stride`
    smaller than the context makes the windows overlap, which gives lower losses.

    Args:
        model: a compiled language model with a `config.context_length`.
        tokens: the ids of the whole text.
        text: the text that they encode.
        batch_size: windows per batch.
        stride: tokens from one window to the next; see `windows_with_weights`.

    Returns:
        `loss` (nats per token), `perplexity` and `bits_per_byte`.
    """
    from zoo.data import windows_with_weights

    inputs, targets, weights = windows_with_weights(
        tokens, model.config.context_length, stride
    )
    logs = model.evaluate(
        inputs,
        targets,
        sample_weight=weights,
        batch_size=batch_size,
        verbose=0,
        return_dict=True,
    )
    total = -logs["loss"] * float(weights.sum())
    return {
        "loss": logs["loss"],
        "perplexity": math.exp(logs["loss"]),
        "bits_per_byte": bits_per_byte(np.asarray([total]), text),
    }


def whole_text_metrics(model: Any, tokens: np.ndarray, text: str) -> dict[str, float]:
    """Like `text_metrics`, of a model that reads a text of any length in one piece.

    Args:
        model: with a method `log_probs`, such as `zoo.NgramLM`.
        tokens: the ids of the whole text.
        text: the text that they encode.
    """
    log_probs = model.log_probs(tokens)
    loss = -float(log_probs.mean())
    return {
        "loss": loss,
        "perplexity": float(np.exp(loss)),
        "bits_per_byte": bits_per_byte(log_probs, text),
    }
