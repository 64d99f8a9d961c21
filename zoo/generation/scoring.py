"""The probability of a text under a language model.

Shapes: B batch, T tokens.
"""

from typing import Any

import numpy as np
from keras import ops

from zoo.engine.tensors import Tensor


def token_log_probs(model: Any, token_ids: Tensor) -> Tensor:
    """Log-probabilities (B, T-1) of tokens 1 … T-1 of (B, T), each given those before.

    In nats.
    """
    return log_probs_of(model(token_ids[:, :-1], training=False), token_ids[:, 1:])


def log_probs_of(logits: Tensor, token_ids: Tensor) -> Tensor:
    """Log-probabilities (B, T) in nats of tokens (B, T) under scores (B, T, V)."""
    nats = ops.sparse_categorical_crossentropy(
        ops.reshape(token_ids, (-1,)),
        ops.reshape(logits, (-1, logits.shape[-1])),
        from_logits=True,
    )
    return -ops.reshape(nats, token_ids.shape)


def pad_right(
    rows: list[np.ndarray], multiple: int, limit: float, padding: int = 0
) -> np.ndarray:
    """Pads rows of ids into one int32 array, its length rounded up to a `multiple`.

    Rounding up bounds the number of shapes to compile.

    Args:
        rows: the rows of ids.
        multiple: the array's length is a multiple of this, up to `limit`.
        limit: the maximum length that the model takes.
        padding: the id for padding.
    """
    longest = max(len(row) for row in rows)
    length = int(max(min(-(-longest // multiple) * multiple, limit), longest))
    padded = np.full((len(rows), length), padding, "int32")
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded
