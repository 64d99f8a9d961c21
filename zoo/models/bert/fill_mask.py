"""What a masked language model would put into gaps."""

import numpy as np
from keras import ops

from zoo.generation.arguments import whole
from zoo.models.bert.pretrainer import BertPretrainer


def fill_mask(
    bert: BertPretrainer, text: str, top: int = 5
) -> list[list[tuple[str, float]]]:
    """For each [MASK] (or <mask>) of a text, the likeliest tokens and probabilities.

    Args:
        bert: with its tokenizer.
        text: holds the tokenizer's mask once or more.
        top: how many tokens a gap.

    Raises:
        ValueError: the model has no tokenizer, the text no gap or too many tokens, or
            `top` is not from 1 to the number of tokens.
    """
    tokenizer = bert.tokenizer
    if tokenizer is None:
        raise ValueError("The model has no tokenizer, and cannot read text.")
    top = whole("top", top, 1, tokenizer.vocab_size)
    inner = tokenizer.encode(text)
    ids = np.array([[tokenizer.cls_id, *inner, tokenizer.sep_id]], "int32")
    gaps = np.flatnonzero(ids[0] == tokenizer.mask_id)
    if not gaps.size:
        mask = tokenizer.id_to_token(tokenizer.mask_id)
        raise ValueError(f"there is no {mask} in {text!r}")
    logits = bert({"token_ids": ids, "mask_positions": gaps[None].astype("int32")})
    found = []
    for shares in ops.convert_to_numpy(ops.softmax(logits["mlm_logits"]))[0]:
        # Ids that the tokenizer does not know would be no tokens.
        best = np.argsort(-shares[: tokenizer.vocab_size])[:top]
        found.append([(tokenizer.id_to_token(int(i)), float(shares[i])) for i in best])
    return found
