"""Beam search (Sutskever et al. 2014) with the length penalty of Wu et al. 2016.

The best finished hypothesis is kept apart from the live beams, so that it is neither
extended nor displaced by them.

Shapes: B batch, K beams, C candidates, S slots, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from keras import ops, tree

from zoo.engine.tensors import Tensor
from zoo.generation.sampling import NEVER, inside


class Beams(NamedTuple):
    """The state of a loop over tokens.

    Attributes:
        slot: scalar, the slot of the next token.
        tokens: (B * K, S) ids of the live beams.
        logits: (B * K, V) scores for the next token.
        caches: see `State`.
        scores: (B, K) log-probabilities of the live beams.
        best_tokens: (B, 1, S) the best finished hypothesis.
        best_scores: (B, 1) its score, including the penalty.
        best_lengths: (B, 1) its number of new tokens.
        pads: (B * K,), see `State`.
        context: see `State`.
    """

    slot: Any
    tokens: Any
    logits: Any
    caches: Any
    scores: Any
    best_tokens: Any
    best_scores: Any
    best_lengths: Any
    pads: Any
    context: Any


class Candidates(NamedTuple):
    """Live beams extended by one token, the most probable first.

    Attributes:
        scores: (B, C) log-probabilities.
        histories: (B, C, S) ids, including the new one.
        chosen: (B, C) the new ids.
        beams: (B, C) the indices of the extended beams.
    """

    scores: Any
    histories: Any
    chosen: Any
    beams: Any


@dataclass(frozen=True)
class BeamSearch:
    """The steps of a beam search, for loops on the device and on the host.

    The score of a hypothesis with n new tokens is its log-probability divided by
    ((offset + n) / (offset + 1))**penalty: for an offset of 5 this is Wu et al. 2016,
    equation 14; for an offset of 0 it is n**penalty.

    Attributes:
        advance: the function from `one_token_step`.
        length: the length of the padded prompts.
        num_beams: K.
        length_penalty: the penalty above.
        length_offset: the offset above.
        allowed: the only ids that may be chosen; None for all.
    """

    advance: Callable
    length: int
    num_beams: int
    length_penalty: float
    length_offset: int
    allowed: range | None

    def begin(self, first: Any) -> Beams:
        """The initial beams, one per prompt, from the `State` after the prompts."""
        batch, slots = first.tokens.shape
        count = self.num_beams
        state = tree.map_structure(lambda x: _spread(x, count), first[1:])
        tokens, pads, logits, _, _, caches, context = state
        scores = ops.convert_to_tensor([[0.0] + [NEVER] * (count - 1)] * batch)
        return Beams(
            first.slot,
            tokens,
            logits,
            caches,
            scores,
            best_tokens=ops.reshape(tokens, (batch, count, slots))[:, :1],
            best_scores=ops.full((batch, 1), NEVER),
            best_lengths=ops.zeros((batch, 1), dtype="int32"),
            pads=pads,
            context=context,
        )

    def candidates(self, state: Beams, count: int) -> Candidates:
        """The `count` most probable candidates of each row."""
        batch, slots = state.scores.shape[0], state.tokens.shape[-1]
        vocabulary = state.logits.shape[-1]
        log_probs = ops.log_softmax(state.logits, axis=-1)
        if self.allowed is not None:
            log_probs = ops.where(inside(self.allowed, log_probs), log_probs, NEVER)
        log_probs = ops.reshape(log_probs, (batch, self.num_beams, vocabulary))
        scores = ops.reshape(state.scores[:, :, None] + log_probs, (batch, -1))
        found, flat = ops.top_k(scores, min(count, self.num_beams * vocabulary))
        beams = ops.cast(flat // vocabulary, "int32")
        chosen = ops.cast(flat % vocabulary, "int32")
        histories = ops.reshape(state.tokens, (batch, self.num_beams, slots))
        histories = _pick(histories, beams)
        written = ops.arange(slots)[None, None, :] == state.slot
        histories = ops.where(written, chosen[:, :, None], histories)
        return Candidates(found, histories, chosen, beams)

    def settle(
        self, state: Beams, found: Candidates, stopped: Tensor, last_slot: Any
    ) -> Beams:
        """Keeps the best candidates, live and finished.

        Args:
            state: the beams before.
            found: the candidates.
            stopped: (B, C), whether a stop has ended each.
            last_slot: the slot at which hypotheses end.
        """
        slot = state.slot
        slots = state.tokens.shape[-1]
        over = ops.logical_or(stopped, slot + 1 >= last_slot)
        ended = ops.where(over, self._penalised(found.scores, slot), NEVER)
        pool_scores = ops.concatenate([state.best_scores, ended], axis=1)
        pool_tokens = ops.concatenate([state.best_tokens, found.histories], axis=1)
        ages = ops.broadcast_to(slot - self.length + 1, ended.shape)
        pool_lengths = [state.best_lengths, ops.cast(ages, "int32")]
        pool_lengths = ops.concatenate(pool_lengths, axis=1)
        best_scores, kept = ops.top_k(pool_scores, 1)
        best_tokens = _pick(pool_tokens, kept)
        best_lengths = ops.take_along_axis(pool_lengths, kept, axis=1)

        live = ops.where(stopped, NEVER, found.scores)
        scores, kept = ops.top_k(live, self.num_beams)
        tokens = ops.reshape(_pick(found.histories, kept), (-1, slots))
        beams = ops.take_along_axis(found.beams, kept, axis=1)
        chosen = ops.reshape(ops.take_along_axis(found.chosen, kept, axis=1), (-1,))
        rows = ops.arange(scores.shape[0], dtype="int32")[:, None] * self.num_beams
        rows = ops.reshape(ops.cast(beams, "int32") + rows, (-1,))
        caches = [ops.take(x, rows, axis=0) for x in state.caches]
        logits, caches = self.advance(slot, chosen, state.pads, caches, state.context)
        return Beams(
            slot + 1,
            tokens,
            logits,
            caches,
            scores,
            best_tokens,
            best_scores,
            best_lengths,
            state.pads,
            state.context,
        )

    def goes_on(self, state: Beams, last_slot: Any) -> Tensor:
        """Whether a live beam may still overtake the best finished hypothesis."""
        # A live beam's log-probability only falls; its best normaliser is that of the
        # longest length for positive penalties, otherwise of the current one.
        furthest = last_slot - 1 if self.length_penalty > 0 else state.slot
        hope = self._penalised(ops.max(state.scores, axis=1), furthest)
        settled = ops.all(state.best_scores[:, 0] >= hope)
        return ops.logical_and(state.slot < last_slot, ops.logical_not(settled))

    def _penalised(self, scores: Tensor, slot: Any) -> Tensor:
        count = ops.cast(slot - self.length + 1, "float32")
        growth = (self.length_offset + count) / (self.length_offset + 1)
        return scores / ops.power(growth, self.length_penalty)


def beam_search(search: BeamSearch, first: Any, last_slot: Any, stops: Any) -> Beams:
    """Runs the whole search in one loop on the device.

    Args:
        search: the steps.
        first: the `State` after the prompts.
        last_slot: the slot at which the longest hypothesis ends.
        stops: single ids that end a hypothesis, as its last new token.
    """
    begun = search.begin(first)
    held = ("pads", "context")
    same = {name: getattr(begun, name) for name in held}
    # Enough candidates to keep K live beams if every stop is among them.
    count = search.num_beams * (1 + max(len(stops), 1))
    stops = ops.convert_to_tensor(stops or (-1,), "int32")

    def body(*carry: Any) -> tuple[Tensor, ...]:
        state = Beams(*carry, **same)
        found = search.candidates(state, count)
        stopped = ops.any(found.chosen[:, :, None] == stops[None, None, :], axis=-1)
        return tuple(search.settle(state, found, stopped, last_slot)[: -len(held)])

    def more(*carry: Any) -> Tensor:
        return search.goes_on(Beams(*carry, **same), last_slot)

    carry = ops.while_loop(more, body, tuple(begun[: -len(held)]))
    return Beams(*carry, **same)


def _spread(x: Tensor, count: int) -> Tensor:
    """Repeats each row `count` times in a row."""
    return ops.repeat(x, count, axis=0)


def _pick(x: Tensor, indices: Tensor) -> Tensor:
    """Selects rows of (B, C, S) by indices (B, K) along C."""
    return ops.take_along_axis(x, ops.cast(indices, "int32")[:, :, None], axis=1)
