"""Batches for masked language modelling, with new masks in every epoch."""

from typing import Any

import numpy as np

from zoo.data.epochs import EpochBatches
from zoo.data.pretraining.masking import Masking
from zoo.data.shards import share
from zoo.data.text.sequences import Sequences


class MaskedBatches(EpochBatches):
    """Batches of masked sequences, a function of (seed, update).

    A batch is a tuple of one dict: `token_ids`, `segment_ids` and `padding_mask` of
    shape (B, T), `mask_positions`, `mask_ids` and `mask_weights` of shape (B, M) and,
    for `sentence_pairs`, `next_sentence` of shape (B,): 0 for pairs that belong
    together.

    Args:
        sequences: the sequences to train on, such as those of `sentence_pairs`.
        masking: how to mask them.
        batch_size: B, the number of sequences per update over all hosts.
        seed: a non-negative integer that determines the order and the masks.
        shard: (index, count): this host's block of rows out of `count` blocks.

    Attributes:
        steps_per_epoch: the number of batches in an epoch.
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
        # Through a seed, since PCG64 draws twice as fast as Grain's Philox.
        rng = np.random.Generator(np.random.PCG64(int(rng.integers(2**62))))
        inputs |= self._masking(inputs["token_ids"], rng)
        if self._sequences.labels is not None:
            inputs["next_sentence"] = self._sequences.labels[rows]
        return ({name: value[self._share] for name, value in inputs.items()},)
