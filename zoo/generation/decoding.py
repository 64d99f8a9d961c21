"""Cached decoding: the prompt in one pass, then a token at a time, compiled.

Prompts are padded on the left, so that all rows write to the same slot of the cache.
A slot is a column of the padded batch; a token's position does not count padding.

Shapes: B batch, P padded prompt, S slots (P + new tokens), V vocabulary.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import keras
import numpy as np
from keras import ops, tree

from zoo.generation.beam import beam_search
from zoo.generation.sampling import choose
from zoo.layers.dropout import DrawnSeed
from zoo.training.engine import engine


class State(NamedTuple):
    """What a loop over tokens carries.

    Attributes:
        slot: scalar, where the next token goes.
        tokens: (B, S) ids; slots from `slot` on are not yet meaningful.
        pads: (B,) padding before each row's prompt.
        logits: (B, V) for the next token.
        seen: (B, V) whether a token occurred; (B, 1) where nobody asks.
        done: (B,) whether a stop has been generated.
        caches: the arrays of `model.empty_caches`, one after the other: keys and values
            of the blocks, or a recurrent model's states.
        context: what the model looks at besides the tokens, as `model.context` gave
            it; empty for a language model.
    """

    slot: object
    tokens: object
    pads: object
    logits: object
    seen: object
    done: object
    caches: object
    context: object


def start(
    model, prompts, pads, new_tokens: int, keep_seen: bool, sources: tuple = ()
) -> State:
    """Runs the model over the padded prompts (B, P) and fills the caches.

    `sources` are arrays, one row a prompt, of which `model.context` makes what stays
    the same from token to token.
    """
    batch, length = prompts.shape
    context = model.context(*sources) if sources else []
    slots = length + new_tokens
    columns = ops.arange(slots)
    rows = ops.arange(length)
    visible = ops.logical_and(
        columns[None, None, :] <= rows[None, :, None],
        columns[None, None, :] >= pads[:, None, None],
    )
    positions = ops.maximum(rows[None, :] - pads[:, None], 0)
    hidden, caches = _hidden(model, context)(
        prompts,
        positions=positions,
        attention_mask=visible,
        caches=model.empty_caches(batch, slots),
        index=ops.convert_to_tensor(0, "int32"),
    )
    seen = ops.zeros((batch, 1), dtype="bool")
    if keep_seen:
        vocabulary = ops.arange(model.config.vocab_size)
        real = ops.where(rows[None, :] >= pads[:, None], prompts, -1)
        seen = ops.any(real[:, :, None] == vocabulary[None, None, :], axis=1)
    return State(
        slot=ops.convert_to_tensor(length, "int32"),
        tokens=ops.pad(prompts, ((0, 0), (0, new_tokens))),
        pads=pads,
        logits=model.logits(hidden[:, -1]),
        seen=seen,
        done=ops.zeros((batch,), dtype="bool"),
        caches=tree.flatten(caches),
        context=context,
    )


def _hidden(model, context) -> Callable:
    """`model.hidden`, told of the context where there is one."""
    return partial(model.hidden, context=context) if context else model.hidden


def one_token_step(model):
    """The model on one more token a row.

    Returns a function from the slot, the tokens (B,), the pads (B,), the caches and the
    context to the scores (B, V) and the new caches.
    """
    structure = tree.map_structure(lambda _: 0, model.empty_caches(1, 1))
    held = len(tree.flatten(structure))

    def step(slot, tokens_B, pads, *flat):
        flat, context = flat[:held], list(flat[held:])
        slots = flat[0].shape[1]
        columns = ops.arange(slots)
        visible = ops.logical_and(columns[None, :] <= slot, columns >= pads[:, None])
        hidden, caches = _hidden(model, context)(
            tokens_B[:, None],
            positions=ops.maximum(slot - pads, 0)[:, None],
            attention_mask=visible[:, None, :],
            caches=tree.pack_sequence_as(structure, flat),
            index=slot,
        )
        return [model.logits(hidden[:, -1]), *tree.flatten(caches)]

    captured = engine().capture(step)

    def advance(slot, tokens_B, pads, caches, context):
        logits, *caches = captured(slot, tokens_B, pads, *caches, *context)
        return logits, caches

    return advance


class Decoder:
    """The compiled functions of one model, kept for the next call."""

    def __init__(self, model) -> None:
        self.model = model
        self.advance = one_token_step(model)
        self._compiled: dict = {}

    def compiled(self, key, function):
        """`function` compiled, or what was compiled under `key` before."""
        if key not in self._compiled:
            self._compiled[key] = engine().compile(
                function, lambda: self.model.variables
            )
        return self._compiled[key]

    def _step(self, state, steps, stops, knobs, seed, prompt_length) -> State:
        """Chooses a token a row, writes it, and runs the model on it."""
        batch, vocabulary = state.logits.shape

        def noise():
            drawn = DrawnSeed(ops.cast(ops.stack([seed, state.slot]), "uint32"))
            return keras.random.uniform(
                (batch, vocabulary), minval=1e-9, maxval=1.0, seed=drawn
            )

        chosen = choose(state.logits, steps, knobs, state.seen, noise)
        chosen = ops.cast(chosen, "int32")
        if stops:
            # A finished row repeats its last token; the caller cuts it off.
            last = ops.take(state.tokens, state.slot - 1, axis=1)
            chosen = ops.where(state.done, last, chosen)
        tokens = engine().write(state.tokens, chosen[:, None], state.slot)
        seen = state.seen
        if steps[3]:
            ids = ops.arange(vocabulary, dtype="int32")
            seen = ops.logical_or(seen, chosen[:, None] == ids[None, :])
        logits, caches = self.advance(
            state.slot, chosen, state.pads, state.caches, state.context
        )
        return State(
            slot=state.slot + 1,
            tokens=tokens,
            pads=state.pads,
            logits=logits,
            seen=seen,
            done=ops.logical_or(
                state.done, ended(tokens, state.slot, stops, prompt_length)
            ),
            caches=caches,
            context=state.context,
        )

    def decode(
        self, prompts, pads, new_tokens, sampling, stops, seed, last_slot, sources=()
    ) -> list[np.ndarray]:
        """Each row's new tokens, up to its first stop, in one compiled call."""
        steps, length = sampling.steps, prompts.shape[1]

        def run(prompts, pads, knobs, seed, last_slot, *sources):
            state = start(self.model, prompts, pads, new_tokens, steps[3], sources)

            def more(*state):
                state = State(*state)
                return ops.logical_and(
                    state.slot < last_slot, ops.logical_not(ops.all(state.done))
                )

            def body(*state):
                return tuple(
                    self._step(State(*state), steps, stops, knobs, seed, length)
                )

            state = State(*ops.while_loop(more, body, tuple(state)))
            return state.tokens, state.slot

        key = ("decode", prompts.shape, new_tokens, steps, stops, _shapes(sources))
        knobs = np.asarray(sampling.knobs, "float32")
        decoded = self.compiled(key, run)
        tokens, end = decoded(prompts, pads, knobs, seed, last_slot, *sources)
        tokens = ops.convert_to_numpy(tokens)[:, length : int(end)]
        return [cut(row, stops) for row in tokens]

    def beams(
        self,
        prompts,
        pads,
        new_tokens,
        num_beams,
        length_penalty,
        stops,
        last_slot,
        sources=(),
        length_offset=0,
    ) -> list[np.ndarray]:
        """Likewise, by `beam_search`."""
        if any(len(stop) > 1 for stop in stops):
            raise ValueError("Beam search stops at single tokens, not at sequences.")
        stop_ids = tuple(stop[0] for stop in stops) or (-1,)
        options = (num_beams, length_penalty, length_offset, stop_ids)

        def run(prompts, pads, last_slot, *sources):
            first = start(self.model, prompts, pads, new_tokens, False, sources)
            return beam_search(
                first, self.advance, prompts.shape[1], last_slot, *options
            )

        key = ("beams", prompts.shape, new_tokens, options, _shapes(sources))
        found = self.compiled(key, run)(prompts, pads, last_slot, *sources)
        tokens, lengths, _ = map(ops.convert_to_numpy, found)
        rows = zip(tokens[:, prompts.shape[1] :], lengths, strict=True)
        return [cut(row[: int(count)], stops) for row, count in rows]

    def stream(self, prompts, pads, new_tokens, sampling, stops, seed):
        """Yields the tokens (B,) of each step and whether each row is done."""
        steps, length = sampling.steps, prompts.shape[1]
        knobs = np.asarray(sampling.knobs, "float32")
        begin = self.compiled(
            ("start", prompts.shape, new_tokens, steps[3]),
            lambda prompts, pads: tuple(
                start(self.model, prompts, pads, new_tokens, steps[3])
            ),
        )
        advance = self.compiled(
            ("step", prompts.shape, new_tokens, steps, stops),
            lambda state, knobs, seed: tuple(
                self._step(State(*state), steps, stops, knobs, seed, length)
            ),
        )
        state = begin(prompts, pads)
        for slot in range(length, length + new_tokens):
            state = advance(state, knobs, seed)
            tokens = ops.convert_to_numpy(State(*state).tokens)
            done = ops.convert_to_numpy(State(*state).done)
            yield tokens[:, slot], done


def ended(tokens, slot, stops, prompt_length: int):
    """Whether each row's new tokens up to `slot` end in one of the stop sequences."""
    found = ops.zeros((tokens.shape[0],), dtype="bool")
    for stop in stops:
        first = slot - len(stop) + 1
        where = ops.maximum(first + ops.arange(len(stop), dtype="int32"), 0)
        tail = ops.take(tokens, where, axis=1)
        same = ops.all(tail == ops.convert_to_tensor(stop, "int32")[None, :], axis=1)
        found = ops.logical_or(found, ops.logical_and(same, first >= prompt_length))
    return found


def cut(new: np.ndarray, stops) -> np.ndarray:
    """New tokens up to the first stop."""
    ends = [len(new)]
    for stop in stops:
        for at in range(len(new) - len(stop) + 1):
            if tuple(new[at : at + len(stop)]) == stop:
                ends.append(at)
                break
    return new[: min(ends)]


def _shapes(sources) -> tuple:
    return tuple(source.shape for source in sources)
