"""What a masked language model would put into gaps."""

import numpy as np
from keras import ops

from zoo.models.bert_pretrainer import BertPretrainer


def fill_mask(
    bert: BertPretrainer, text: str, top: int = 5
) -> list[list[tuple[str, float]]]:
    """For each [MASK] of a text, the likeliest tokens and their probabilities.

    Args:
        bert: with its tokenizer.
        text: holds [MASK] once or more.
        top: how many tokens a gap.

    Raises:
        ValueError: the model has no tokenizer, or the text no gap.
    """
    tokenizer = bert.tokenizer
    if tokenizer is None:
        raise ValueError("The model has no tokenizer, and cannot read text.")
    inner = tokenizer.encode(text)
    ids = np.array([[tokenizer.cls_id, *inner, tokenizer.sep_id]], "int32")
    gaps = np.flatnonzero(ids[0] == tokenizer.mask_id)
    if not gaps.size:
        raise ValueError(f"there is no [MASK] in {text!r}")
    logits = bert({"token_ids": ids, "mask_positions": gaps[None].astype("int32")})
    found = []
    for shares in ops.convert_to_numpy(ops.softmax(logits["mlm_logits"]))[0]:
        best = np.argsort(-shares)[:top]
        found.append([(tokenizer.id_to_token(int(i)), float(shares[i])) for i in best])
    return found
