"""Ask a pretrained BERT what stands in a gap.

    python -m recipes.bert_fill_mask --preset runs/bert_pretrain/preset \
        --text "A [MASK] is a sequence of bytes."

Prints the likeliest tokens of each [MASK] with their probabilities. The preset is a
folder of `recipes.bert_pretrain`, or of Hugging Face's BertForMaskedLM.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from keras import ops

from zoo.models.bert_pretrainer import BertPretrainer


@dataclass(frozen=True)
class Config:
    """A model and a text with gaps.

    Attributes:
        text: holds [MASK] once or more.
        preset: folder of the model.
        top: how many tokens to show for each gap.
    """

    text: str
    preset: Path = Path("runs/bert_pretrain/preset")
    top: int = 5


def main(config: Config) -> list[list[tuple[str, float]]]:
    """Prints and returns, for each gap, tokens and their probabilities."""
    bert = BertPretrainer.from_preset(config.preset)
    tokenizer = bert.tokenizer
    if tokenizer is None:
        raise ValueError(f"{config.preset} has no tokenizer")
    inner = tokenizer.encode(config.text)
    ids = np.array([[tokenizer.cls_id, *inner, tokenizer.sep_id]], "int32")
    gaps = np.flatnonzero(ids[0] == tokenizer.mask_id)
    if not gaps.size:
        raise ValueError(f"there is no [MASK] in {config.text!r}")
    logits = bert({"token_ids": ids, "mask_positions": gaps[None].astype("int32")})
    shares = ops.convert_to_numpy(ops.softmax(logits["mlm_logits"]))[0]
    found = []
    for number, share in enumerate(shares, start=1):
        best = np.argsort(-share)[: config.top]
        found.append([(tokenizer.id_to_token(int(i)), float(share[i])) for i in best])
        print(f"[MASK] {number}")
        for token, probability in found[-1]:
            print(f"  {probability:6.3f}  {token}")
    return found


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
