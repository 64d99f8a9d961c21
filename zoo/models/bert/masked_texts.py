"""Pretraining on raw texts: masks that are drawn anew for each batch.

Shapes: N texts, B batch, T tokens, M masked positions.
"""

from typing import Any

import numpy as np

from zoo.data.pretraining.masking import Masking, most_masked
from zoo.models.bert.backbone import Bert
from zoo.training.checks import example_weights
from zoo.training.raw.texts import Segments


class MaskedTexts(Bert):
    """A BERT that is trained with masked tokens, and masks raw texts itself.

    Attributes:
        mask_rate: the share of a text's tokens that are masked.
    """

    mask_rate: float = 0.15

    def text_examples(
        self, segments: Segments, y: Any, weights: Any, length: int | None
    ) -> tuple[tuple, int]:
        """Encoded texts (N, T), not yet masked; with labels for pairs, if needed."""
        name = type(self).__name__
        if weights is not None:
            example_weights.refuse(self)
        inputs, cut = self.text_inputs(segments, length)
        if getattr(self, "next_sentence", None) is None:
            if y is not None:
                raise ValueError(
                    f"{name} is trained with texts alone, without y: it has no head "
                    "for next sentences."
                )
            return (inputs, None, None), cut
        if y is None or len(segments) != 2:
            raise ValueError(
                f"{name} has a head for next sentences, and so needs pairs of texts "
                "and, as y, 0 where the second follows the first and 1 where it does "
                "not. Make the model with pooler=False to train it on texts alone, or "
                "cut documents into pairs with zoo.data.sentence_pairs."
            )
        return ({**inputs, "next_sentence": np.asarray(y)}, None, None), cut

    def redrawn(self, inputs: dict, rng: np.random.Generator) -> dict:
        """The inputs with `mask_rate` of their tokens masked, by BERT's 80/10/10."""
        token_ids = inputs["token_ids"]
        most = most_masked(self.mask_rate, token_ids.shape[1])
        masking = Masking(self.tokenizer, most, rate=self.mask_rate)
        return {**inputs, **masking(token_ids, rng)}
