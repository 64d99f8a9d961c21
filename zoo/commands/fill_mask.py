"""`zoo fill-mask`."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from zoo.commands.arguments import Name


@dataclass(frozen=True)
class FillMaskConfig:
    """Predict the masked words of a text with a pretrained BERT.

    For example:

        zoo fill-mask bert_tiny.docs "A [MASK] is a sequence of bytes."

    Attributes:
        name: a checkpoint that `zoo list` shows, a folder written by
            `recipes.bert_pretrain`, or a folder of Hugging Face's BertForMaskedLM.
        text: the text, with [MASK] (RoBERTa: <mask>) at least once.
        top: the number of tokens to show per mask.
    """

    name: Name
    text: Annotated[str, tyro.conf.Positional]
    top: int = 5


def run(config: FillMaskConfig) -> None:
    """Prints the most probable tokens for each mask, with their probabilities."""
    import zoo
    from zoo.models.bert.fill_mask import fill_mask
    from zoo.models.bert.pretrainer import check_pretrained

    bert = zoo.BertPretrainer.from_preset(config.name)
    check_pretrained(bert, config.name)
    for number, found in enumerate(fill_mask(bert, config.text, config.top), start=1):
        print(f"gap {number}")
        for token, probability in found:
            print(f"  {probability:6.3f}  {token}")
