"""How probable a text is under a language model.

Shapes: B batch, T tokens.
"""

import numpy as np
from keras import ops


def token_log_probs(model, token_ids):
    """Log-probabilities (B, T-1) of tokens 1 … T-1 (B, T), each given those before."""
    logits = model(token_ids[:, :-1], training=False)
    batch, length = token_ids.shape
    nats = ops.sparse_categorical_crossentropy(
        ops.reshape(token_ids[:, 1:], (-1,)),
        ops.reshape(logits, (-1, logits.shape[-1])),
        from_logits=True,
    )
    return -ops.reshape(nats, (batch, length - 1))


def pad_right(rows: list[np.ndarray], multiple: int, limit: int) -> np.ndarray:
    """Rows of ids as one int32 array, its length rounded up to a `multiple`.

    Rounding up bounds the number of shapes that have to be compiled; `limit` is the
    longest that the model takes.
    """
    longest = max(len(row) for row in rows)
    length = max(min(-(-longest // multiple) * multiple, limit), longest)
    padded = np.zeros((len(rows), length), "int32")
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded
