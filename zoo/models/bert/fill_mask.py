"""Fills in masked tokens with a masked language model."""

import numpy as np
from keras import ops

from zoo.generation.arguments import whole
from zoo.models.bert.pretrainer import BertPretrainer


def fill_mask(
    bert: BertPretrainer, text: str, top: int = 5
) -> list[list[tuple[str, float]]]:
    """The most probable tokens, and their probabilities, for each [MASK] of a text.

    Args:
        bert: the model, which must have a tokenizer.
        text: contains the tokenizer's mask ([MASK] or <mask>) at least once.
        top: tokens per mask.

    Raises:
        ValueError: the model has no tokenizer, the text has no mask or too many tokens,
            or `top` is not from 1 to the vocabulary size.
    """
    tokenizer = bert.tokenizer
    if tokenizer is None:
        raise ValueError(
            "The model needs a tokenizer to read text, and has none. Set "
            "bert.tokenizer."
        )
    top = whole("top", top, 1, tokenizer.vocab_size)
    inner = tokenizer.encode(text)
    ids = np.array([[tokenizer.cls_id, *inner, tokenizer.sep_id]], "int32")
    gaps = np.flatnonzero(ids[0] == tokenizer.mask_id)
    if not gaps.size:
        mask = tokenizer.id_to_token(tokenizer.mask_id)
        raise ValueError(f"The text must contain {mask}, got {text!r}.")
    logits = bert({"token_ids": ids, "mask_positions": gaps[None].astype("int32")})
    found = []
    for shares in ops.convert_to_numpy(ops.softmax(logits["mlm_logits"]))[0]:
        # Ids beyond the tokenizer's vocabulary have no text.
        best = np.argsort(-shares[: tokenizer.vocab_size])[:top]
        found.append([(tokenizer.id_to_token(int(i)), float(shares[i])) for i in best])
    return found
