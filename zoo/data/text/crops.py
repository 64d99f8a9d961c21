"""Windows of token ids: random ones to train on, all of them to evaluate on.

Shapes: B global batch, T inputs per window, N windows.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from zoo.data.shards import share
from zoo.data.text.token_files import LARGEST_ID
from zoo.data.updates import Updates, update_numbers


class RandomCrops(Updates):
    """Batches of random windows of T + 1 token ids, a function of the update number.

    Args:
        tokens: token ids of shape (number of tokens,); may be a memory map.
        length: T. A window holds T + 1 tokens, for inputs and shifted targets.
        batch_size: B, the number of windows per update over all hosts.
        seed: a non-negative integer that determines the order of the data.
        shard: (index, count): this host's block of rows out of `count` blocks, which in
            the order of `index` make up the batch.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        length: int,
        batch_size: int,
        seed: int = 0,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        """Checks the arguments; raises ValueError naming the one at fault."""
        windows = _all_windows(tokens, length)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        rows = share(batch_size, shard)

        def draw(update: int, rng: np.random.Generator) -> np.ndarray:
            starts = rng.integers(len(windows), size=batch_size)
            return windows[starts[rows]].astype(np.int32)  # (B / count, T + 1)

        # One Grain element is a whole batch, so its overhead per element is paid once.
        self._batches = update_numbers(seed).random_map(draw)

    def batch(self, update: int) -> np.ndarray:
        """Returns this host's rows of one update, int32 of shape (B / count, T + 1).

        Args:
            update: the number of the update, from 0.
        """
        if update < 0:
            raise ValueError(f"update must be 0 or more, got {update}.")
        return self._batches[update]


def windows(tokens: np.ndarray, length: int) -> np.ndarray:
    """Cuts tokens into consecutive windows, int32 of shape (N, T + 1).

    Each window begins with the last token of the one before, so no target occurs
    twice. Up to T - 1 targets at the end are left out; `windows_with_weights` keeps
    them.

    Args:
        tokens: token ids of shape (number of tokens,), at least T + 1 of them.
        length: T.
    """
    return _all_windows(tokens, length)[::length].astype(np.int32)


def windows_with_weights(
    tokens: np.ndarray, length: int, stride: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cuts tokens into windows that predict every token but the first exactly once.

    Args:
        tokens: token ids of shape (number of tokens,), at least two.
        length: T.
        stride: the distance between the starts of two windows, from 1 to T tokens; T by
            default. After the first window, only the last `stride` tokens of each have
            weight 1, so each is predicted from at least T - stride tokens.

    Returns:
        inputs, targets (int32) and weights (float32), each of shape (N, T). Weights are
        1 or 0. The last window is padded with token 0, of weight 0.
    """
    tokens = checked_tokens(tokens, length, at_least=2)
    stride = length if stride is None else stride
    if not 1 <= stride <= length:
        raise ValueError(f"stride must be from 1 to length={length}, got {stride}.")
    num_targets = len(tokens) - 1
    num_windows = 1 + -(-max(num_targets - length, 0) // stride)
    places = stride * np.arange(num_windows)[:, None] + np.arange(length)
    padded = np.zeros(places[-1, -1] + 2, np.int32)
    padded[: len(tokens)] = tokens
    weights = places < num_targets
    weights[1:, : length - stride] = False
    # The last token is only a target.
    inputs = np.where(places < num_targets, padded[places], 0).astype(np.int32)
    return inputs, padded[places + 1], weights.astype(np.float32)


def _all_windows(tokens: np.ndarray, length: int) -> np.ndarray:
    """Returns a view of all windows, of shape (number of tokens - T, T + 1)."""
    return sliding_window_view(checked_tokens(tokens, length, length + 1), length + 1)


def checked_tokens(tokens: np.ndarray, length: int, at_least: int) -> np.ndarray:
    """Returns token ids as an array.

    Args:
        tokens: token ids of shape (number of tokens,).
        length: the length of a window, at least 1.
        at_least: the number of tokens that are needed.

    Raises:
        ValueError: the ids are not such an array, are out of range or too few.
    """
    if length < 1:
        raise ValueError(f"length must be at least 1, got {length}.")
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
        raise ValueError(
            "tokens must be a one-dimensional array of integers, such as "
            f"Tokenizer.encode returns, got {tokens.dtype} of shape {tokens.shape}."
        )
    # Batches are int32; only 64-bit ids could silently change in that conversion.
    if tokens.dtype.itemsize > 4 and tokens.size:
        smallest, largest = int(tokens.min()), int(tokens.max())
        if smallest < 0 or largest > LARGEST_ID:
            raise ValueError(
                f"Token ids must be from 0 to {LARGEST_ID}, got {smallest} to "
                f"{largest}."
            )
    if len(tokens) < at_least:
        raise ValueError(
            f"There must be at least {at_least} tokens for length={length}, got "
            f"{len(tokens)}. Take a longer text, or shorter or fewer windows."
        )
    return tokens
