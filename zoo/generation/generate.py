"""`generate` and `score`, for every model that predicts the next token.

A network with the mixin `Generates` has a `config` with `vocab_size` and
`context_length`, and `hidden`, `logits` and `empty_caches` as documented in
`zoo.models.language.language_model.LanguageModel`. A model that computes nothing on a
device (`zoo.NgramLM`) provides its own decoder and scorer.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import ops

from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.generation import arguments
from zoo.generation.arguments import generator, whole
from zoo.generation.sampling import Sampling
from zoo.generation.scoring import pad_right, token_log_probs
from zoo.generation.stops import Stop, Stops, Written, write
from zoo.generation.texts import TakesTexts, Texts, is_single, plain

# Lengths are rounded up to multiples of this, so that few shapes are compiled.
BUCKET = 64
# With string stops, the text is checked after this many new tokens.
CHUNK = 16
SCORE_BATCH = 16


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
        window: int | None = None,
        seed: int | None = None,
        stream: bool = False,
    ) -> Any:
        """Continues prompts.

        Args:
            prompts: a string, a list of ids, or a list of either; or an array of ids
                (T,) or (B, T). Strings need `model.tokenizer`.
            max_new_tokens: the maximum number of new tokens per prompt.
            temperature: see `Sampling`; 0 is greedy.
            top_k: see `Sampling`.
            top_p: see `Sampling`.
            repetition_penalty: see `Sampling`.
            allowed: see `Sampling`; it restricts a model with several kinds of ids to
                one kind. Ids unknown to the tokenizer are only chosen if they are
                listed here.
            num_beams: above 1, beam search; then leave `temperature` and the other
                sampling options at their defaults.
            length_penalty: beams are ranked by log-probability / length**this.
            stop: strings, ids or sequences of ids that end a row; they are not
                returned. Strings are searched for in the text and may end it within a
                token; returned ids are those of whole tokens before the stop.
            window: allows texts longer than the context. When the context is full, all
                but the last `window` tokens are dropped and the model rereads those:
                each token is predicted from the `window` to `context_length` tokens
                before it (or from all, if fewer). Half the context is a good choice;
                larger windows remember more and take longer.
            seed: seed for sampling; the same seed gives the same text on a backend.
            stream: whether to return an iterator over the new tokens (or pieces of
                text) of one prompt as they are chosen.

        Returns:
            Prompt and continuation, in the form of `prompts`.

        Raises:
            ValueError: an argument is invalid, or the text does not fit the context.
        """
        sampling = Sampling(temperature, top_k, top_p, repetition_penalty, allowed)
        prompts = plain(prompts)
        rows = self._rows(prompts)
        stops = Stops.of(stop, self)
        max_new_tokens = whole("max_new_tokens", max_new_tokens, 1)
        num_beams = whole("num_beams", num_beams, 1)
        self._check_request(rows, max_new_tokens, num_beams, sampling, window)
        if stream and (len(rows) > 1 or num_beams > 1):
            raise ValueError(
                f"stream=True takes one prompt and no beams, got {len(rows)} prompts "
                f"and num_beams={num_beams}."
            )
        sampling = self._drawable(sampling, prompts)
        rng = generator(seed)
        written = [Written(stops, row) for row in rows]
        if num_beams > 1:
            length_penalty = arguments.length_penalty(length_penalty)
            padded, pads, room = self._padded(rows, max_new_tokens)
            found = self._decoder.beams(
                padded,
                pads,
                room,
                num_beams,
                length_penalty,
                stops,
                np.int32(padded.shape[1] + max_new_tokens),
                sampling.allowed,
            )
            for row, tokens in zip(written, found, strict=True):
                row.extend(tokens)
                row.close()
        else:
            chunk = 1 if stream else CHUNK if stops.strings else 0
            parts = self._parts(
                rows, max_new_tokens, sampling, stops, window, rng, chunk
            )
            if stream:
                streamed = _pieces if isinstance(prompts, str) else _ids
                return streamed(written[0], parts)
            write(written, parts)
        full = [
            np.concatenate([row, np.asarray(new.ids(), "int32")])
            for row, new in zip(rows, written, strict=True)
        ]
        return self._like(prompts, full, lambda number: written[number].text())

    def score(self, texts: Texts, prompt: Texts = None) -> Any:
        """Log-probabilities (nats) of tokens, each given all before it.

        Args:
            texts: a string, ids, or a list of either.
            prompt: the text before; one for all texts, or one per text. With it, every
                token of the text is scored, p(text | prompt); without it, all but the
                first. Probabilities are over the model's ids, which may be more than
                its tokenizer's.

        Returns:
            A float array for one text, a list of them for several.

        Raises:
            ValueError: a text is too short or too long, or the prompts do not match.
        """
        texts = plain(texts)
        rows, single = self._rows(texts), is_single(texts)
        prompts = [np.zeros(0, "int32")] * len(rows)
        if prompt is not None:
            prompts = self._rows(plain(prompt))
            prompts = prompts * len(rows) if len(prompts) == 1 else prompts
            if len(prompts) != len(rows):
                raise ValueError(
                    "prompt must be one prompt, or one per text, "
                    f"got {len(prompts)} prompts for {len(rows)} texts."
                )
        joined = [np.concatenate(pair) for pair in zip(prompts, rows, strict=True)]
        limit = self.longest + 1
        for row in joined:
            if not 2 <= len(row) <= limit:
                raise ValueError(
                    f"A text to score must have from 2 to {limit} tokens, including "
                    f"its prompt (context_length={limit - 1}), got {len(row)}."
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
        """The maximum number of tokens of a prompt and its continuation."""
        return self.config.context_length

    @property
    def _scorer(self) -> Any:
        if "scorer" not in self.__dict__:
            made = engine().compile(
                lambda ids: token_log_probs(self, ids), lambda: self.variables
            )
            return self.__dict__.setdefault("scorer", made)
        return self.__dict__["scorer"]

    def _check_request(
        self, rows: Any, max_new_tokens: int, num_beams: int, sampling: Any, window: Any
    ) -> None:
        if not rows or min(len(row) for row in rows) == 0:
            raise ValueError(
                "A prompt must have at least one token. To start from nothing, use the "
                "tokenizer's end-of-text token or a newline."
            )
        longest = max(len(row) for row in rows)
        fits = longest + max_new_tokens <= self.longest
        if window is not None:
            whole("window", window, 1, self.longest - 1)
            if num_beams > 1 and not fits:
                raise ValueError(
                    "Beam search compares whole texts and has no window, got "
                    f"num_beams={num_beams} and window={window}. Leave one out, or "
                    f"stay within context_length={self.longest}."
                )
        elif not fits:
            raise ValueError(
                f"A prompt of {longest} tokens and {max_new_tokens} new ones do not "
                f"fit into context_length={self.longest}. Shorten the prompt, ask for "
                "fewer new tokens, or let the model drop the beginning of a long text: "
                f"window={max(self.longest // 2, 1)} keeps that many of the last "
                "tokens when the context is full."
            )
        if num_beams > 1 and sampling != Sampling():
            raise ValueError(
                f"Beam search ranks by probability alone, got {sampling}. Leave "
                "temperature, top_k, top_p, repetition_penalty and allowed at their "
                "defaults."
            )
        if sampling.allowed is not None:
            self.check_ids(np.asarray([sampling.allowed.stop - 1]))

    def _padded(self, rows: Any, max_new_tokens: int) -> tuple[Tensor, Tensor, Tensor]:
        """Left-padded prompts, padding per row, and slots for new tokens."""
        longest = max(len(row) for row in rows)
        length = int(min(-(-longest // BUCKET) * BUCKET, self.longest))
        padded = np.zeros((len(rows), length), "int32")
        for index, row in enumerate(rows):
            padded[index, length - len(row) :] = row
        pads = np.asarray([length - len(row) for row in rows], "int32")
        return padded, pads, -(-max_new_tokens // BUCKET) * BUCKET

    def _parts(
        self,
        rows: Any,
        max_new_tokens: int,
        sampling: Any,
        stops: Any,
        window: Any,
        rng: np.random.Generator,
        chunk: int,
    ) -> Iterator[np.ndarray]:
        """New tokens of all rows, (B, n) at a time, beyond the context by a window.

        Each row drops tokens when it is full, independently of the others.
        """
        while max_new_tokens:
            rows = [row if len(row) < self.longest else row[-window:] for row in rows]
            room = self.longest - max(len(row) for row in rows)
            count = int(min(max_new_tokens, room))
            padded, pads, slots = self._padded(rows, count)
            for part in self._decoder.tokens(
                padded,
                pads,
                slots,
                sampling,
                stops,
                rng.integers(2**31 - 1, dtype="int32"),
                np.int32(padded.shape[1] + count),
                chunk,
            ):
                rows = [np.append(*pair) for pair in zip(rows, part, strict=True)]
                yield part
            max_new_tokens -= count


def _ids(row: Written, parts: Iterator[np.ndarray]) -> Iterator[int]:
    """Yields new ids one by one, but holds back a possible start of a stop."""
    given = 0
    for _ in _grown(row, parts):
        found = row.ids()
        yield from found[given:]
        given = len(found)


def _pieces(row: Written, parts: Iterator[np.ndarray]) -> Iterator[str]:
    """Yields new text, but holds back a possible stop and unfinished characters."""
    given = ""
    for _ in _grown(row, parts):
        found = row.new_text()
        if len(found) > len(given):
            yield found[len(given) :]
            given = found


def _grown(row: Written, parts: Iterator[np.ndarray]) -> Iterator[None]:
    """Extends the row; yields after each token, and once more at the end."""
    for part in parts:
        row.extend(part[0].tolist())
        yield
        if row.ended:
            return
    row.close()
    yield
