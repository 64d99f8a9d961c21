"""Decoding with next-token distributions looked up on the host, as in a table.

It replaces the compiled `Decoder` and has the same methods.

Shapes: B batch, P padded prompt, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from zoo.engine.current import engine
from zoo.generation.sampling import NEVER, Sampling, choose
from zoo.generation.stops import Stops


class LookupDecoder:
    """Chooses token by token from the distributions that a function returns.

    Args:
        log_probs: maps a row of at least one id to the log-probabilities (V,) of the
            next token.
    """

    def __init__(self, log_probs: Callable[[np.ndarray], np.ndarray]) -> None:
        self.log_probs = log_probs
        self._compiled: dict[tuple, Callable] = {}

    def beams(self, *args: Any, **options: Any) -> list[np.ndarray]:
        """Raises a ValueError: beam search runs compiled, on the device."""
        raise ValueError(
            "Beam search can't use this model's distributions, which are looked up on "
            "the host. Leave num_beams=1; temperature=0 is greedy."
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
        chunk: int = 1,
    ) -> Iterator[np.ndarray]:
        """Yields the next tokens (B, 1) of each step; see `Decoder.tokens`."""
        del stops, chunk  # the caller gets each token before the next is looked up
        rng = np.random.default_rng(int(seed))
        batch, length = prompts.shape
        texts = np.concatenate([prompts, np.zeros((batch, new_tokens), "int32")], 1)
        for slot in range(length, int(last_slot)):
            rows = [text[pad:slot] for text, pad in zip(texts, pads, strict=True)]
            texts[:, slot] = self._choose(rows, sampling, rng)
            yield texts[:, slot : slot + 1]

    def _choose(
        self, rows: Sequence[np.ndarray], sampling: Sampling, rng: np.random.Generator
    ) -> np.ndarray:
        """The next token of each row, (B,), by the code shared by all models."""
        steps = sampling.steps
        if steps not in self._compiled:
            made = engine().compile(
                lambda logits, knobs, seen, noise: choose(
                    logits, steps, knobs, seen, lambda: noise
                ),
                lambda: [],
            )
            self._compiled.setdefault(steps, made)
        logits = np.stack([self.log_probs(row) for row in rows])
        seen = np.zeros(logits.shape, bool)
        for index, row in enumerate(rows):
            seen[index, row] = True
        return ops.convert_to_numpy(
            self._compiled[steps](
                np.maximum(logits, NEVER).astype("float32"),
                np.asarray(sampling.knobs, "float32"),
                seen,
                np.maximum(rng.random(logits.shape, "float32"), np.float32(1e-9)),
            )
        )
