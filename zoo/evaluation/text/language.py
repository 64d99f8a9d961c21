"""How well a language model predicts a text, in units that compare.

A loss in nats a token depends on the tokenizer; bits a byte do not.
"""

import math

import numpy as np


def perplexity(log_probs: np.ndarray) -> float:
    """Exp of the mean negative log-probability (nats) of some tokens."""
    log_probs = np.asarray(log_probs, "float64")
    if not log_probs.size:
        raise ValueError("The perplexity of no tokens is undefined.")
    return math.exp(-log_probs.mean())


def bits_per_byte(log_probs: np.ndarray, text: str | bytes | int) -> float:
    """The bits that a text's tokens cost, for each of its UTF-8 bytes.

    Args:
        log_probs: of the tokens, in nats.
        text: the text, its bytes, or how many bytes it has.
    """
    if isinstance(text, str):
        text = text.encode()
    num_bytes = text if isinstance(text, int) else len(text)
    if num_bytes < 1:
        raise ValueError(f"Bits per byte need at least one byte. Received: {text!r}")
    return -float(np.sum(np.asarray(log_probs, "float64"))) / math.log(2) / num_bytes


def text_metrics(
    model,
    tokens: np.ndarray,
    text: str,
    batch_size: int = 32,
    stride: int | None = None,
) -> dict:
    """Loss and its equivalents over every token of a text but the first.

    The text is cut into windows of the model's context length, one after the other,
    so the first tokens of a window are predicted from little context: as in nanoGPT's
    evaluation, and unlike a sliding window, which `stride` makes and which flatters.

    Args:
        model: a compiled language model with a `config.context_length`.
        tokens: all of the text's ids.
        text: the text that they encode.
        batch_size: windows at a time.
        stride: from one window to the next; see `windows_with_weights`.

    Returns:
        `loss` (nats a token), `perplexity` and `bits_per_byte`.
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
