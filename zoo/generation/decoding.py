"""Cached, compiled decoding: the prompt in one pass, then one token at a time.

Prompts are padded on the left, so that all rows write to the same slot of the cache.
A slot is a column of the padded batch; a token's position excludes padding.

Shapes: B batch, P padded prompt, S slots (P + new tokens), V vocabulary.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops, tree

from zoo.engine.current import engine
from zoo.engine.drawn_seed import DrawnSeed
from zoo.engine.tensors import Function, Tensor
from zoo.generation.beam import Beams, BeamSearch, Candidates, beam_search
from zoo.generation.sampling import Sampling, choose
from zoo.generation.stops import Stops, Written


class State(NamedTuple):
    """The state of a loop over tokens.

    Attributes:
        slot: scalar, the slot of the next token.
        tokens: (B, S) ids; slots from `slot` on are undefined.
        pads: (B,) number of padding columns before each row's prompt.
        logits: (B, V) scores for the next token.
        seen: (B, V) whether a token has occurred; (B, 1) if not needed.
        done: (B,) whether a stop has been generated.
        caches: the flattened arrays of `model.empty_caches`: keys and values of the
            blocks, or a recurrent model's states.
        context: the model's other inputs, from `model.context`; empty for a language
            model.
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
    model: Any,
    prompts: Any,
    pads: Any,
    new_tokens: int,
    keep_seen: bool,
    sources: tuple = (),
) -> State:
    """Runs the model over the padded prompts (B, P) and fills the caches.

    Args:
        model: the model.
        prompts: (B, P) ids, padded on the left.
        pads: (B,) number of padding columns per row.
        new_tokens: slots for new tokens.
        keep_seen: whether to record the tokens that have occurred.
        sources: arrays with one row per prompt, from which `model.context` computes
            what stays the same from token to token.
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


def _hidden(model: Any, context: Tensor) -> Callable:
    """`model.hidden`, given the context if there is one."""
    return partial(model.hidden, context=context) if context else model.hidden


def one_token_step(model: Any) -> Function:
    """Runs the model on one more token per row.

    Returns:
        A function of the slot, the tokens (B,), the pads (B,), the caches and the
        context that returns the scores (B, V) and the new caches.
    """
    structure = tree.map_structure(lambda _: 0, model.empty_caches(1, 1))
    held = len(tree.flatten(structure))

    def step(slot: Any, tokens_B: Tensor, pads: Any, *flat: Any) -> list[Any]:
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

    def advance(
        slot: Any, tokens_B: Tensor, pads: Any, caches: Any, context: Tensor
    ) -> tuple[Tensor, Tensor]:
        logits, *caches = captured(slot, tokens_B, pads, *caches, *context)
        return logits, caches

    return advance


class Decoder:
    """Decodes with one model; keeps its compiled functions for the next call."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.advance = one_token_step(model)
        self._compiled: dict = {}

    def compiled(self, key: Any, function: Function) -> Function:
        """The compiled `function`, or the one compiled earlier under `key`."""
        if key not in self._compiled:
            made = engine().compile(function, lambda: self.model.variables)
            # If several threads get here, all use the first one's result.
            return self._compiled.setdefault(key, made)
        return self._compiled[key]

    def _step(
        self,
        state: Any,
        steps: Any,
        stops: Any,
        knobs: Any,
        seed: Any,
        prompt_length: int,
    ) -> State:
        """Chooses one token per row, writes it, and runs the model on it."""
        batch, vocabulary = state.logits.shape

        def noise() -> Tensor:
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

    def tokens(
        self,
        prompts: Any,
        pads: Any,
        new_tokens: int,
        sampling: Sampling,
        stops: Stops,
        seed: Any,
        last_slot: Any,
        chunk: int,
        sources: tuple = (),
    ) -> Iterator[np.ndarray]:
        """Yields new tokens of all rows, (B, n) at a time.

        Args:
            prompts: (B, P) ids, padded on the left.
            pads: (B,) number of padding columns per row.
            new_tokens: slots for new tokens.
            sampling: how to choose them.
            stops: the loop ends once ids among these have ended all rows; the caller
                must look for strings.
            seed: seed of the noise.
            last_slot: the last slot to fill, plus one.
            chunk: tokens at a time; 0 for all, in one compiled call.
            sources: see `start`.
        """
        steps, length = sampling.steps, prompts.shape[1]
        knobs = np.asarray(sampling.knobs, "float32")
        ids = () if chunk else stops.ids

        def begin(prompts: Any, pads: Any, *sources: Any) -> State:
            return start(self.model, prompts, pads, new_tokens, steps[3], sources)

        def run(state: Any, knobs: Any, seed: Any, until: Any) -> Any:
            def more(*state: Any) -> Tensor:
                state = State(*state)
                return ops.logical_and(
                    state.slot < until, ops.logical_not(ops.all(state.done))
                )

            def body(*state: Any) -> tuple[Tensor, ...]:
                return tuple(self._step(State(*state), steps, ids, knobs, seed, length))

            if chunk == 1:
                return body(*state)
            return ops.while_loop(more, body, tuple(state))

        def whole(
            prompts: Any, pads: Any, knobs: Any, seed: Any, until: Any, *sources: Any
        ) -> tuple[Tensor, Tensor]:
            state = State(*run(begin(prompts, pads, *sources), knobs, seed, until))
            return state.tokens, state.slot

        shapes = (prompts.shape, new_tokens, _shapes(sources))
        if not chunk:
            decoded = self.compiled(("whole", *shapes, steps, ids), whole)
            tokens, end = decoded(prompts, pads, knobs, seed, last_slot, *sources)
            yield ops.convert_to_numpy(tokens)[:, length : int(end)]
            return
        began = self.compiled(("begin", *shapes, steps[3]), lambda *x: tuple(begin(*x)))
        goes_on = self.compiled(("chunk", *shapes, steps, chunk == 1), run)
        state = began(prompts, pads, *sources)
        for slot in range(length, int(last_slot), chunk):
            until = min(slot + chunk, int(last_slot))
            state = goes_on(state, knobs, seed, np.int32(until))
            yield ops.convert_to_numpy(State(*state).tokens)[:, slot:until]

    def beams(
        self,
        prompts: Any,
        pads: Any,
        new_tokens: int,
        num_beams: int,
        length_penalty: float,
        stops: Stops,
        last_slot: Any,
        allowed: range | None = None,
        sources: tuple = (),
        length_offset: int = 0,
    ) -> list[np.ndarray]:
        """Each row's new tokens by `BeamSearch`, including the stop that ended them."""
        options = (num_beams, length_penalty, length_offset, allowed)
        search = BeamSearch(self.advance, prompts.shape[1], *options)
        key = (prompts.shape, new_tokens, options, _shapes(sources))

        def first(prompts: Any, pads: Any, sources: Any) -> State:
            return start(self.model, prompts, pads, new_tokens, False, sources)

        if stops.strings or any(len(stop) > 1 for stop in stops.ids):
            begun = self.compiled(
                ("beams begin", *key),
                lambda prompts, pads, *sources: tuple(
                    search.begin(first(prompts, pads, sources))
                ),
            )(prompts, pads, *sources)
            rows = [row[pad:] for row, pad in zip(prompts, pads, strict=True)]
            state = self._beams_on_the_host(search, key, begun, rows, stops, last_slot)
        else:
            ids = tuple(stop[0] for stop in stops.ids)
            state = self.compiled(
                ("beams", *key, ids),
                lambda prompts, pads, last_slot, *sources: tuple(
                    beam_search(search, first(prompts, pads, sources), last_slot, ids)
                ),
            )(prompts, pads, last_slot, *sources)
        state = Beams(*state)
        tokens = ops.convert_to_numpy(state.best_tokens)[:, 0, prompts.shape[1] :]
        lengths = ops.convert_to_numpy(state.best_lengths)[:, 0]
        return [row[: int(n)] for row, n in zip(tokens, lengths, strict=True)]

    def _beams_on_the_host(
        self,
        search: Any,
        key: Any,
        state: Any,
        prompts: Any,
        stops: Any,
        last_slot: Any,
    ) -> Any:
        """The loop for stops that are strings or several tokens.

        Candidates go to the host at each step. If so many end there that fewer than K
        continue, twice as many are examined, up to all.
        """
        goes_on = self.compiled(
            ("beams go on", *key),
            lambda state, last_slot: search.goes_on(Beams(*state), last_slot),
        )
        settle = self.compiled(
            ("beams settle", *key),
            lambda state, found, stopped, last_slot: tuple(
                search.settle(Beams(*state), Candidates(*found), stopped, last_slot)
            ),
        )
        vocabulary = self.model.config.vocab_size
        count, most = 2 * search.num_beams, search.num_beams * vocabulary
        while bool(ops.convert_to_numpy(goes_on(state, last_slot))):
            end = int(ops.convert_to_numpy(Beams(*state).slot)) + 1
            while True:
                found = self.compiled(
                    ("candidates", *key, count),
                    lambda state, count=count: tuple(
                        search.candidates(Beams(*state), count)
                    ),
                )(state)
                histories = ops.convert_to_numpy(Candidates(*found).histories)
                new = histories[:, :, search.length : end]
                stopped = np.asarray(
                    [
                        [_ended(stops, prompt, row) for row in rows]
                        for prompt, rows in zip(prompts, new, strict=True)
                    ]
                )
                if (~stopped).sum(1).min() >= search.num_beams or count >= most:
                    break
                count *= 2
            state = settle(state, found, stopped, last_slot)
        return state


def _ended(stops: Stops, prompt: np.ndarray, new: np.ndarray) -> bool:
    """Whether a stop is in the new tokens or their text."""
    written = Written(stops, prompt)
    written.extend(new)
    return written.ended


def ended(tokens: Tensor, slot: Any, stops: Any, prompt_length: int) -> Tensor:
    """Whether each row's new tokens up to `slot` end in a stop sequence, (B,)."""
    found = ops.zeros((tokens.shape[0],), dtype="bool")
    for stop in stops:
        first = slot - len(stop) + 1
        where = ops.maximum(first + ops.arange(len(stop), dtype="int32"), 0)
        tail = ops.take(tokens, where, axis=1)
        same = ops.all(tail == ops.convert_to_tensor(stop, "int32")[None, :], axis=1)
        found = ops.logical_or(found, ops.logical_and(same, first >= prompt_length))
    return found


def _shapes(sources: Tensor) -> tuple:
    return tuple(source.shape for source in sources)
