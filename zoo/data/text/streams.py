"""Windows of a text that continue from batch to batch, for models that carry state.

Shapes: B global batch, T inputs per window.
"""

import numpy as np

from zoo.data.shards import share
from zoo.data.text.crops import checked_tokens
from zoo.data.updates import Updates


class Streams(Updates):
    """Batches in which row i continues row i of the previous batch.

    The text is cut into B streams of equal length, one per row, and each stream into
    windows. The tokens that do not fill a window in every stream are left out, before
    the first stream or after the last; which ones changes with each pass over the text.

    Args:
        tokens: token ids of shape (number of tokens,); may be a memory map.
        length: T. A window holds T + 1 tokens, for inputs and shifted targets.
        batch_size: B, the number of streams over all hosts.
        seed: a non-negative integer that determines which tokens are left out.
        shard: (index, count): this host's block of rows out of `count` blocks, which in
            the order of `index` make up the batch.

    Attributes:
        steps_per_epoch: the number of windows in a stream, and so of batches in a pass.
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
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        if seed < 0:
            raise ValueError(f"seed must be a non-negative integer, got {seed}.")
        self._tokens = checked_tokens(tokens, length, batch_size * length + 1)
        self._length, self._seed = length, seed
        self.steps_per_epoch = (len(self._tokens) - 1) // (batch_size * length)
        self._rows = np.arange(batch_size)[share(batch_size, shard)]
        used = batch_size * length * self.steps_per_epoch
        self._left_out = len(self._tokens) - 1 - used

    def batch(self, update: int) -> dict[str, np.ndarray]:
        """Returns this host's rows of one update.

        Args:
            update: the number of the update, from 0.

        Returns:
            `windows`, int32 of shape (B / count, T + 1), and `continues`, bool of shape
            (B / count,): False in the first batch of a pass.
        """
        if update < 0:
            raise ValueError(f"update must be 0 or more, got {update}.")
        number, step = divmod(update, self.steps_per_epoch)
        rng = np.random.default_rng((self._seed, number))
        first = rng.integers(self._left_out + 1)
        starts = first + self._length * (self._rows * self.steps_per_epoch + step)
        places = starts[:, None] + np.arange(self._length + 1)
        return {
            "windows": self._tokens[places].astype(np.int32),
            "continues": np.full(len(starts), step > 0),
        }
