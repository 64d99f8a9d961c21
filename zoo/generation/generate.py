"""`generate` and `score`, for every model that predicts the next token.

A network that mixes `Generates` in has a `config` with `vocab_size` and
`context_length`, and `hidden`, `logits` and `empty_caches` as
`zoo.models.language_model.LanguageModel` says. A model that computes nothing on a
device (`zoo.NgramLM`) puts a decoder and a scorer of its own in the place of theirs.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from zoo.generation.decoding import cut
from zoo.generation.sampling import Sampling
from zoo.generation.scoring import pad_right, token_log_probs
from zoo.generation.texts import TakesTexts, Texts, is_single, plain
from zoo.training.engine import engine

# Lengths are rounded up to multiples of this, so that few shapes are ever compiled.
BUCKET = 64
SCORE_BATCH = 16
Stop = str | int | Sequence[str | int | Sequence[int]] | None


class Generates(TakesTexts):
    """Sampling, beam search and scoring on top of a cached language model."""

    def generate(
        self,
        prompts: Texts,
        max_new_tokens: int = 100,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        allowed: range | None = None,
        num_beams: int = 1,
        length_penalty: float = 1.0,
        stop: Stop = None,
        seed: int | None = None,
        stream: bool = False,
    ) -> Any:
        """Continues prompts.

        Args:
            prompts: a string, a list of ids, or a list of either; or an array of ids
                (T,) or (B, T). Strings need `model.tokenizer`.
            max_new_tokens: at most so many after each prompt.
            temperature: 0 is greedy.
            top_k: see `Sampling`.
            top_p: see `Sampling`.
            repetition_penalty: see `Sampling`.
            allowed: see `Sampling`; a model with ids of several kinds continues in
                one kind.
            num_beams: above 1, beam search; `temperature` and the like must be left.
            length_penalty: beams are ranked by log-probability / length**this.
            stop: strings, ids or sequences of ids that end a row; they are not
                part of what is returned.
            seed: for sampling; the same seed gives the same text on a backend.
            stream: return an iterator over the new tokens (or pieces of text) of one
                prompt as they are chosen.

        Returns:
            Prompt and continuation, in the form of `prompts`.
        """
        sampling = Sampling(temperature, top_k, top_p, repetition_penalty, allowed)
        prompts = plain(prompts)
        rows = self._rows(prompts)
        stops = self._stops(stop)
        self._check_request(rows, max_new_tokens, num_beams, sampling)
        drawn = np.random.default_rng(seed).integers(2**31 - 1, dtype="int32")
        padded, pads, room = self._padded(rows, max_new_tokens)
        if stream:
            if len(rows) > 1 or num_beams > 1:
                raise ValueError("stream=True takes one prompt and no beams.")
            chosen = self._decoder.stream(padded, pads, room, sampling, stops, drawn)
            ids = self._streamed(chosen, max_new_tokens, stops)
            return self._pieces(ids) if isinstance(prompts, str) else ids
        last = np.int32(padded.shape[1] + max_new_tokens)
        if num_beams > 1:
            found = self._decoder.beams(
                padded, pads, room, num_beams, length_penalty, stops, last
            )
        else:
            found = self._decoder.decode(
                padded, pads, room, sampling, stops, drawn, last
            )
        full = [
            np.concatenate([row, new]) for row, new in zip(rows, found, strict=True)
        ]
        return self._like(prompts, full)

    def score(self, texts: Texts, prompt: Texts = None) -> Any:
        """Log-probabilities (nats) of tokens, each given all before it.

        Args:
            texts: a string, ids, or a list of either.
            prompt: what comes before; one for all texts, or one a text. The scores
                are then of every token of the text, p(text | prompt); without it
                they begin with the second token.

        Returns:
            A float array for one text, a list of them for several.
        """
        texts = plain(texts)
        rows, single = self._rows(texts), is_single(texts)
        prompts = [np.zeros(0, "int32")] * len(rows)
        if prompt is not None:
            prompts = self._rows(plain(prompt))
            prompts = prompts * len(rows) if len(prompts) == 1 else prompts
            if len(prompts) != len(rows):
                raise ValueError(
                    f"Give one prompt, or one a text. Received {len(prompts)} prompts "
                    f"for {len(rows)} texts."
                )
        joined = [np.concatenate(pair) for pair in zip(prompts, rows, strict=True)]
        limit = self.longest + 1
        for row in joined:
            if not 2 <= len(row) <= limit:
                raise ValueError(
                    f"A text to score needs from 2 to {limit} tokens, its prompt "
                    f"counted (context_length={limit - 1}). Received: {len(row)}"
                )
        scores: list[np.ndarray] = []
        for at in range(0, len(joined), SCORE_BATCH):
            padded = pad_right(joined[at : at + SCORE_BATCH], BUCKET, limit)
            scores += list(ops.convert_to_numpy(self._scorer(padded)))
        found = [
            score[max(len(before) - 1, 0) : len(row) - 1]
            for score, before, row in zip(scores, prompts, joined, strict=True)
        ]
        return found[0] if single else found

    # === Helpers ===

    @property
    def longest(self) -> float:
        """The most tokens that a prompt and its continuation may have."""
        return self.config.context_length

    @property
    def _scorer(self):
        if "scorer" not in self.__dict__:
            self.__dict__["scorer"] = engine().compile(
                lambda ids: token_log_probs(self, ids), lambda: self.variables
            )
        return self.__dict__["scorer"]

    def _check_request(self, rows, max_new_tokens, num_beams, sampling) -> None:
        if not rows or min(len(row) for row in rows) == 0:
            raise ValueError(
                "A prompt needs at least one token. To start from nothing, use the "
                "tokenizer's end-of-text token or a newline."
            )
        longest = max(len(row) for row in rows)
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be from 1, got {max_new_tokens}")
        if longest + max_new_tokens > self.longest:
            raise ValueError(
                f"A prompt of {longest} tokens and {max_new_tokens} new ones do not "
                f"fit into context_length={self.longest}. Shorten the prompt or ask "
                "for fewer."
            )
        if num_beams < 1:
            raise ValueError(f"num_beams must be from 1, got {num_beams}")
        if num_beams > 1 and sampling != Sampling():
            raise ValueError(
                "Beam search ranks by probability alone: leave temperature, top_k, "
                "top_p, repetition_penalty and allowed at their defaults. Received: "
                f"{sampling}"
            )
        if sampling.allowed is not None:
            self.check_ids(np.asarray([sampling.allowed.stop - 1]))

    def _padded(self, rows, max_new_tokens):
        """Prompts padded on the left to a bucket, and the room made for new tokens."""
        longest = max(len(row) for row in rows)
        length = int(min(-(-longest // BUCKET) * BUCKET, self.longest))
        padded = np.zeros((len(rows), length), "int32")
        for index, row in enumerate(rows):
            padded[index, length - len(row) :] = row
        pads = np.asarray([length - len(row) for row in rows], "int32")
        return padded, pads, -(-max_new_tokens // BUCKET) * BUCKET

    def _stops(self, stop: Stop) -> tuple[tuple[int, ...], ...]:
        if stop is None:
            return ()
        items = [stop] if isinstance(stop, (str, int, np.integer)) else list(stop)
        stops = []
        for item in items:
            if isinstance(item, str):
                item = self._need_tokenizer().encode(item)
            ids = tuple(int(i) for i in np.atleast_1d(item))
            if not ids:
                raise ValueError(f"A stop must not be empty. Received: {stop!r}")
            self.check_ids(np.asarray(ids))
            stops.append(ids)
        return tuple(stops)

    def _streamed(self, chosen, max_new_tokens, stops) -> Iterator[int]:
        """New ids one by one, holding back what may turn out to be a stop."""
        held: list[int] = []
        longest = max((len(stop) for stop in stops), default=1)
        for count, (tokens, done) in enumerate(chosen, start=1):
            held.append(int(tokens[0]))
            if done[0]:
                yield from cut(np.asarray(held), stops).tolist()
                return
            if count == max_new_tokens:
                break
            while len(held) >= longest:
                yield held.pop(0)
        yield from held

    def _pieces(self, ids: Iterator[int]) -> Iterator[str]:
        """Text as it grows; bytes of an unfinished character wait for the rest."""
        seen: list[int] = []
        text = ""
        for token in ids:
            seen.append(token)
            now = self.tokenizer.decode(seen)
            if not now.endswith("\ufffd"):
                yield now[len(text) :]
                text = now
        rest = self.tokenizer.decode(seen)[len(text) :]
        if rest:
            yield rest
