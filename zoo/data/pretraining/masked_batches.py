"""Batches for masked language modelling, masked anew in every epoch."""

from typing import Any

import numpy as np

from zoo.data.epochs import EpochBatches
from zoo.data.pretraining.masking import Masking
from zoo.data.shards import share
from zoo.data.text.sequences import Sequences


class MaskedBatches(EpochBatches):
    """Batches of masked sequences, a function of (seed, update).

    A batch is a tuple of one dict: `token_ids`, `segment_ids`, `padding_mask` of shape
    (B, T), `mask_positions`, `mask_ids`, `mask_weights` of shape (B, M), and, of
    `sentence_pairs`, `next_sentence` of shape (B,): 0 for pairs that belong together.

    Args:
        sequences: What to train on, such as `sentence_pairs` gives.
        masking: How they are masked.
        batch_size: B, the sequences in one update over all hosts.
        seed: A non-negative integer that selects the order and the masks.
        shard: (index, count): this host's share, `count` consecutive blocks of rows.

    Attributes:
        steps_per_epoch: Batches in an epoch.
    """

    def __init__(
        self,
        sequences: Sequences,
        masking: Masking,
        batch_size: int,
        *,
        seed: int = 0,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        """Checks the arguments; raises ValueError naming the one at fault."""
        super().__init__(len(sequences), batch_size, seed)
        self._sequences, self._masking = sequences, masking
        self._share = share(batch_size, shard)

    def _draw(
        self, rows: np.ndarray, rng: np.random.Generator
    ) -> tuple[dict[str, Any]]:
        inputs = self._sequences.pack(rows)
        # By way of a seed: PCG64 draws twice as fast as Grain's Philox.
        rng = np.random.Generator(np.random.PCG64(int(rng.integers(2**62))))
        inputs |= self._masking(inputs["token_ids"], rng)
        if self._sequences.labels is not None:
            inputs["next_sentence"] = self._sequences.labels[rows]
        return ({name: value[self._share] for name, value in inputs.items()},)
