"""`zoo fill-mask`."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from zoo.commands.shared.arguments import Json, Name, text_or_input, whole


@dataclass(frozen=True)
class FillMaskConfig:
    """Predict the masked words of a text with a pretrained BERT.

    For example:

        zoo fill-mask bert_tiny.docs "A [MASK] is a sequence of bytes."

    Attributes:
        name: a checkpoint that `zoo list` shows, a folder written by
            `recipes.bert_pretrain`, or a folder of Hugging Face's BertForMaskedLM.
        text: the text, with [MASK] (RoBERTa: <mask>) at least once; - reads standard
            input.
        top: the number of tokens to show per mask.
    """

    name: Name
    text: Annotated[str, tyro.conf.Positional]
    top: int = 5
    json: Json = False


def check(config: FillMaskConfig) -> None:
    """Checks the numbers, before a backend starts."""
    whole("top", config.top, 1)


def run(config: FillMaskConfig) -> None:
    """Prints the most probable tokens for each mask, with their probabilities."""
    import zoo
    from zoo.commands.shared.printed import show_json
    from zoo.models.bert.fill_mask import fill_mask
    from zoo.models.bert.pretrainer import check_pretrained
    from zoo.program import waiting

    text = text_or_input(config.text)
    with waiting(f"loading {config.name}"):
        bert = zoo.BertPretrainer.from_preset(config.name)
    check_pretrained(bert, config.name)
    gaps = fill_mask(bert, text, config.top)
    if config.json:
        found = [
            [{"token": token, "probability": share} for token, share in gap]
            for gap in gaps
        ]
        show_json({"text": text, "gaps": found})
        return
    for number, gap in enumerate(gaps, start=1):
        print(f"gap {number}")
        for token, probability in gap:
            print(f"  {probability:6.3f}  {token}")
