"""Windows of token ids: random ones to train on, all of them to evaluate on.

Shapes: B global batch, T length of a window's inputs, N windows.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from zoo.data.shards import share
from zoo.data.text.token_files import LARGEST_ID
from zoo.data.updates import ENDLESS, Updates


class RandomCrops(Updates):
    """Batches of random windows of T + 1 token ids, a function of the update number.

    Args:
        tokens: Token ids of shape (number of tokens,); a memory map is fine.
        length: T. A window holds one token more, for inputs and shifted targets.
        batch_size: B, the windows in one update over all hosts.
        seed: A non-negative integer that selects the order of the data.
        shard: (index, count): this host's share, `count` consecutive blocks of
            rows. The shares of one update in the order of `index` are its batch.
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
        import grain

        windows = _all_windows(tokens, length)
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}; expected at least 1")
        rows = share(batch_size, shard)
        if seed < 0:
            raise ValueError(f"seed={seed}; expected a non-negative integer")

        def draw(update: int, rng: np.random.Generator) -> np.ndarray:
            starts = rng.integers(len(windows), size=batch_size)
            return windows[starts[rows]].astype(np.int32)  # (B / count, T + 1)

        # One Grain element is a whole batch: its cost an element is paid once.
        self._batches = grain.MapDataset.range(ENDLESS).seed(seed).random_map(draw)

    def batch(self, update: int) -> np.ndarray:
        """Returns this host's rows of one update, int32 of shape (B / count, T + 1).

        Args:
            update: The number of the update, from 0.
        """
        if update < 0:
            raise ValueError(f"update={update}; expected a number from 0")
        return self._batches[update]


def windows(tokens: np.ndarray, length: int) -> np.ndarray:
    """Cuts tokens into consecutive windows, int32 of shape (N, T + 1).

    Each window begins with the last token of the one before, so that no target
    occurs twice. Up to T - 1 targets at the end are left out; see
    `windows_with_weights` for all of them.

    Args:
        tokens: Token ids of shape (number of tokens,), at least T + 1 of them.
        length: T.
    """
    return _all_windows(tokens, length)[::length].astype(np.int32)


def windows_with_weights(
    tokens: np.ndarray, length: int, stride: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cuts tokens into windows that predict every token but the first exactly once.

    Args:
        tokens: Token ids of shape (number of tokens,), at least two.
        length: T.
        stride: From the beginning of a window to that of the next, 1 to T; the default
            is T. Overlapping windows but the first count their last `stride` tokens
            alone, which so are predicted from at least T - stride tokens.

    Returns:
        inputs, targets (int32) and weights (float32), each of shape (N, T). The
        last window is padded with token 0 of weight 0; weights are 1 or 0.
    """
    tokens = checked_tokens(tokens, length, at_least=2)
    stride = length if stride is None else stride
    if not 1 <= stride <= length:
        raise ValueError(f"stride={stride}; expected 1 to length={length}")
    num_targets = len(tokens) - 1
    num_windows = 1 + -(-max(num_targets - length, 0) // stride)
    places = stride * np.arange(num_windows)[:, None] + np.arange(length)
    padded = np.zeros(places[-1, -1] + 2, np.int32)
    padded[: len(tokens)] = tokens
    weights = places < num_targets
    weights[1:, : length - stride] = False
    # The last token is a target alone.
    inputs = np.where(places < num_targets, padded[places], 0).astype(np.int32)
    return inputs, padded[places + 1], weights.astype(np.float32)


def _all_windows(tokens: np.ndarray, length: int) -> np.ndarray:
    """Views the windows that start at every token: (number of tokens - T, T + 1)."""
    return sliding_window_view(checked_tokens(tokens, length, length + 1), length + 1)


def checked_tokens(tokens: np.ndarray, length: int, at_least: int) -> np.ndarray:
    """Token ids as an array; raises unless there are `at_least` so many."""
    if length < 1:
        raise ValueError(f"length={length}; expected at least 1")
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
        raise ValueError(
            f"tokens are {tokens.dtype} of shape {tokens.shape}; expected a "
            "one-dimensional array of integers, such as Tokenizer.encode returns"
        )
    # Batches are int32: only of 64 bits would an id become another one, unnoticed.
    if tokens.dtype.itemsize > 4 and tokens.size:
        smallest, largest = int(tokens.min()), int(tokens.max())
        if smallest < 0 or largest > LARGEST_ID:
            raise ValueError(
                f"token ids range from {smallest} to {largest}; expected 0 to "
                f"{LARGEST_ID}"
            )
    if len(tokens) < at_least:
        raise ValueError(
            f"{len(tokens)} tokens are too few for length={length}: at least "
            f"{at_least} are needed; take a longer text, or shorter or fewer windows"
        )
    return tokens
