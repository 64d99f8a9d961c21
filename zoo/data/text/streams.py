"""Windows of a text that go on from batch to batch, for models that carry a state.

Shapes: B global batch, T length of a window's inputs.
"""

import numpy as np

from zoo.data.shards import share
from zoo.data.text.crops import checked_tokens
from zoo.data.updates import Updates


class Streams(Updates):
    """Batches whose row i goes on where row i of the batch before ended.

    The text is cut into B streams of one length, one a row, and these into windows.
    What does not fill a window of each stream is left out, in each pass over the text
    another part of it: before the first stream, or behind the last.

    Args:
        tokens: Token ids of shape (number of tokens,); a memory map is fine.
        length: T. A window holds one token more, for inputs and shifted targets.
        batch_size: B, the streams over all hosts.
        seed: A non-negative integer that selects what is left out.
        shard: (index, count): this host's share, `count` consecutive blocks of
            rows. The shares of one update in the order of `index` are its batch.

    Attributes:
        steps_per_epoch: Windows in a stream: the batches of a pass.
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
            raise ValueError(f"batch_size={batch_size}; expected at least 1")
        if seed < 0:
            raise ValueError(f"seed={seed}; expected a non-negative integer")
        self._tokens = checked_tokens(tokens, length, batch_size * length + 1)
        self._length, self._seed = length, seed
        self.steps_per_epoch = (len(self._tokens) - 1) // (batch_size * length)
        self._rows = np.arange(batch_size)[share(batch_size, shard)]
        used = batch_size * length * self.steps_per_epoch
        self._left_out = len(self._tokens) - 1 - used

    def batch(self, update: int) -> dict[str, np.ndarray]:
        """Returns this host's rows of one update.

        Args:
            update: The number of the update, from 0.

        Returns:
            `windows`, int32 of shape (B / count, T + 1), and `continues`, bool of shape
            (B / count,): False in the first batch of a pass.
        """
        if update < 0:
            raise ValueError(f"update={update}; expected a number from 0")
        number, step = divmod(update, self.steps_per_epoch)
        rng = np.random.default_rng((self._seed, number))
        first = rng.integers(self._left_out + 1)
        starts = first + self._length * (self._rows * self.steps_per_epoch + step)
        places = starts[:, None] + np.arange(self._length + 1)
        return {
            "windows": self._tokens[places].astype(np.int32),
            "continues": np.full(len(starts), step > 0),
        }
