"""Labelled texts as arrays of token ids that are all padded to one length.

For models that take the ids alone; `labelled_sequences` adds [CLS], [SEP] and masks.

Shapes: N texts, T tokens, B batch.
"""

from collections.abc import Sequence

import numpy as np

from zoo.data.epochs import EpochBatches
from zoo.data.tasks.labelled import LabelledText
from zoo.tokenizers.tokenizer import Tokenizer


def padded_texts(
    examples: Sequence[LabelledText], tokenizer: Tokenizer, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Encodes texts as ids (N, T), with their classes (N,), both int32.

    Args:
        examples: the texts; those that are too long are cut at the end.
        tokenizer: the tokenizer to encode and pad them with.
        length: T.
    """
    encoded = tokenizer.encode_batch([example.text for example in examples])
    ids = np.full((len(examples), length), tokenizer.pad_id, "int32")
    for row, tokens in zip(ids, encoded, strict=True):
        row[: len(tokens)] = tokens[:length]
    return ids, np.array([example.label for example in examples], "int32")


class ArrayBatches(EpochBatches):
    """Batches (inputs, targets) of arrays' rows, reshuffled every epoch.

    Args:
        inputs: an array (N, ...).
        targets: an array (N, ...).
        batch_size: B.
        seed: a non-negative integer that determines the order.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        *,
        batch_size: int,
        seed: int = 0,
    ) -> None:
        """Checks the arguments; raises ValueError naming the one at fault."""
        super().__init__(len(inputs), batch_size, seed)
        self._inputs, self._targets = inputs, targets

    def _draw(
        self, rows: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        return self._inputs[rows], self._targets[rows]
