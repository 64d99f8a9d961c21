"""Evaluation of BERT's pretraining: from which documents pairs come."""

from types import SimpleNamespace

import numpy as np
import pytest

from zoo.data import Tokenizer
from zoo.evaluation import masked_text_metrics

pytestmark = pytest.mark.host

# Each document has a word of its own.
TEXT = "\n\n".join(f"Word{i} word{i}. Word{i}! Word{i} word{i}?" for i in range(40))


class Reader:
    """Stands in for BERT: measures the share of pairs from two documents."""

    def __init__(self) -> None:
        self.tokenizer = Tokenizer.train_words(TEXT, 60)
        self.config = SimpleNamespace(context_length=16)
        self.next_sentence = "a head"

    def evaluate(self, batch, **_):
        ids = batch["token_ids"].copy()
        rows, places = np.nonzero(batch["mask_weights"])
        columns = batch["mask_positions"][rows, places]
        ids[rows, columns] = batch["mask_ids"][rows, places]
        names = [self.tokenizer.id_to_token(i) for i in range(60)]
        kinds = [{names[i] for i in row if "word" in names[i]} for row in ids.tolist()]
        return {"two": float(np.mean([len(kind) == 2 for kind in kinds]))}


def test_pairs_are_of_what_the_model_learned():
    measure = {"paragraphs": 1, "count": 10_000}
    random = masked_text_metrics(Reader(), TEXT, **measure)
    assert abs(random["two"] - 0.5) < 0.01
    swapped = masked_text_metrics(Reader(), TEXT, negatives="swapped", **measure)
    assert swapped == {"two": 0.0}
    alone = Reader()
    alone.next_sentence = None
    assert masked_text_metrics(alone, TEXT, **measure)["two"] > 0
