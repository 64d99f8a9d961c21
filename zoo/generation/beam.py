"""Beam search (Sutskever et al. 2014) with the length penalty of Wu et al. 2016.

Live beams and the best finished hypothesis are kept apart, so that it is neither
extended nor crowded out.

Shapes: B batch, K beams, S slots, V vocabulary.
"""

from keras import ops, tree

from zoo.generation.sampling import NEVER


def beam_search(
    first, advance, length, last_slot, num_beams, length_penalty, length_offset, stops
):
    """The best continuation of each padded prompt.

    A hypothesis of n new tokens scores its log-probability divided by
    ((offset + n) / (offset + 1))**penalty: with an offset of 5 that is Wu et al. 2016,
    equation 14; with one of 0 it is n**penalty.

    Args:
        first: the `State` after the prompts.
        advance: of `one_token_step`.
        length: of the padded prompts.
        last_slot: where the longest hypothesis ends.
        num_beams: K.
        length_penalty: the power above.
        length_offset: likewise.
        stops: single tokens; they count as the last new token.

    Returns:
        The tokens (B, S), the number of new tokens (B,) of each, and the scores (B,).
    """
    batch, slots = first.tokens.shape
    stops = ops.convert_to_tensor(stops, "int32")
    state = tree.map_structure(lambda x: _spread(x, num_beams), first[1:])
    tokens, pads, logits, _, _, caches, context = state
    scores = ops.convert_to_tensor([[0.0] + [NEVER] * (num_beams - 1)] * batch)
    best_tokens = ops.reshape(tokens, (batch, num_beams, slots))[:, :1]
    best_scores = ops.full((batch, 1), NEVER)
    best_lengths = ops.zeros((batch, 1), dtype="int32")
    best = (best_tokens, best_scores, best_lengths)
    carry = (first.slot, tokens, logits, caches, scores, *best)

    def penalised(scores, slot):
        count = ops.cast(slot - length + 1, "float32")
        growth = (length_offset + count) / (length_offset + 1)
        return scores / ops.power(growth, length_penalty)

    def body(slot, tokens, logits, caches, scores, *best):
        vocabulary = logits.shape[-1]
        log_probs = ops.log_softmax(logits, axis=-1)
        log_probs = ops.reshape(log_probs, (batch, num_beams, vocabulary))
        candidates = ops.reshape(scores[:, :, None] + log_probs, (batch, -1))
        # Twice as many as beams: at most `num_beams` of them can end in one stop.
        found, flat = ops.top_k(candidates, num_beams * (1 + max(stops.shape[0], 1)))
        beams = ops.cast(flat // vocabulary, "int32")
        chosen = ops.cast(flat % vocabulary, "int32")
        histories = _pick(ops.reshape(tokens, (batch, num_beams, slots)), beams)
        written = ops.arange(slots)[None, None, :] == slot
        histories = ops.where(written, chosen[:, :, None], histories)
        stopped = ops.any(chosen[:, :, None] == stops[None, None, :], axis=-1)
        over = ops.logical_or(stopped, slot + 1 >= last_slot)

        best_tokens, best_scores, best_lengths = best
        ended = ops.where(over, penalised(found, slot), NEVER)
        pool_scores = ops.concatenate([best_scores, ended], axis=1)
        pool_tokens = ops.concatenate([best_tokens, histories], axis=1)
        ages = ops.broadcast_to(slot - length + 1, ended.shape)
        pool_lengths = ops.concatenate([best_lengths, ops.cast(ages, "int32")], axis=1)
        best_scores, kept = ops.top_k(pool_scores, 1)
        best_tokens = _pick(pool_tokens, kept)
        best_lengths = ops.take_along_axis(pool_lengths, kept, axis=1)

        scores, kept = ops.top_k(ops.where(stopped, NEVER, found), num_beams)
        tokens = ops.reshape(_pick(histories, kept), (-1, slots))
        beams = ops.take_along_axis(beams, kept, axis=1)
        chosen = ops.reshape(ops.take_along_axis(chosen, kept, axis=1), (-1,))
        rows = ops.arange(batch, dtype="int32")[:, None] * num_beams
        rows = ops.reshape(ops.cast(beams, "int32") + rows, (-1,))
        caches = [ops.take(x, rows, axis=0) for x in caches]
        logits, caches = advance(slot, chosen, pads, caches, context)
        best = (best_tokens, best_scores, best_lengths)
        return (slot + 1, tokens, logits, caches, scores, *best)

    def more(slot, tokens, logits, caches, scores, best_tokens, best_scores, _):
        # A live beam's score only falls; its best normaliser is the longest length
        # for positive penalties, the present one otherwise.
        furthest = last_slot - 1 if length_penalty > 0 else slot
        hope = penalised(ops.max(scores, axis=1), furthest)
        settled = ops.all(best_scores[:, 0] >= hope)
        return ops.logical_and(slot < last_slot, ops.logical_not(settled))

    *_, tokens, scores, lengths = ops.while_loop(more, body, carry)
    return tokens[:, 0], lengths[:, 0], scores[:, 0]


def _spread(x, count):
    """Each row `count` times, one after another."""
    return ops.repeat(x, count, axis=0)


def _pick(x, indices):
    """Rows of (B, C, S) by index (B, K) along C."""
    return ops.take_along_axis(x, ops.cast(indices, "int32")[:, :, None], axis=1)
