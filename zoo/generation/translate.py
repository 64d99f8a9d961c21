"""`generate` and `score`, for every model that writes one text given another.

A model with the mixin `Translates` has a `config` with `vocab_size`, `context_length`,
`num_layers`, `pad_id`, `begin_id` and `end_id`; it is called with sources and targets
and has `context`, `hidden`, `logits` and `empty_caches`, as in `zoo.Transformer`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from zoo.generation import arguments
from zoo.generation.arguments import generator, whole
from zoo.generation.sampling import Sampling
from zoo.generation.scoring import log_probs_of, pad_right
from zoo.generation.stops import Stop, Stops, Written, write
from zoo.generation.texts import TakesTexts, Texts, is_single, plain
from zoo.training.batched import Batched

# Lengths are rounded up to multiples of this, so that few shapes are compiled.
BUCKET = 8
# With string stops, the text is checked after this many new tokens.
CHUNK = 8
GREEDY = Sampling(temperature=0.0)


class Translates(TakesTexts):
    """Sampling, beam search and scoring on top of a cached encoder-decoder.

    Texts are strings, or ids without special tokens; special tokens around them (begin,
    end, padding) are ignored.
    """

    def generate(
        self,
        sources: Texts,
        max_new_tokens: int | None = None,
        *,
        num_beams: int = 1,
        length_penalty: float = 0.6,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        stop: Stop = None,
        seed: int | None = None,
        batch_size: int = 64,
    ) -> Any:
        """Writes a target for each source.

        Args:
            sources: a string, a list of ids, or a list of either; or an array of ids
                (S,) or (B, S). Strings need `model.tokenizer`.
            max_new_tokens: the maximum target length, including the end token; None for
                50 more than the source, as in Vaswani et al. 2017, section 6.1.
            num_beams: above 1, beam search; then leave `temperature` and the other
                sampling options at their defaults.
            length_penalty: the α of Wu et al. 2016, equation 14, for beams.
            temperature: see `Sampling`; 0 is greedy.
            top_k: see `Sampling`.
            top_p: see `Sampling`.
            repetition_penalty: see `Sampling`.
            stop: strings, ids or sequences of ids that end a target, besides the end
                token; see `Generates.generate`.
            seed: seed for sampling; the same seed gives the same texts on a backend.
            batch_size: sources at a time, of similar length.

        Returns:
            The targets, without special tokens around them, in the form of `sources`.

        Raises:
            ValueError: an argument is invalid, or a source does not fit the context.
        """
        sampling = Sampling(temperature, top_k, top_p, repetition_penalty)
        sources = plain(sources)
        rows = self._sentences(sources)
        num_beams = whole("num_beams", num_beams, 1)
        length_penalty = arguments.length_penalty(length_penalty)
        batch_size = whole("batch_size", batch_size, 1)
        if max_new_tokens is not None:
            most = self.config.context_length - 1
            max_new_tokens = whole("max_new_tokens", max_new_tokens, 1, most)
        self._check_request(rows, num_beams, sampling)
        sampling = self._drawable(sampling, sources)
        config, rng = self.config, generator(seed)
        asked = Stops.of(stop, self)
        stops = Stops(((config.end_id,), *asked.ids), asked.strings, self._text)
        found = [Written(stops) for _ in rows]
        for numbers in _by_length([len(row) for row in rows], batch_size):
            padded = self._padded([rows[number] for number in numbers])
            limit = max_new_tokens or padded.shape[1] + 50
            last = np.int32(min(1 + limit, config.context_length))
            begin = np.full((len(numbers), 1), config.begin_id, "int32")
            pads = np.zeros(len(numbers), "int32")
            room = -(-int(last - 1) // BUCKET) * BUCKET
            written = [found[number] for number in numbers]
            if num_beams > 1:
                new = self._decoder.beams(
                    begin,
                    pads,
                    room,
                    num_beams,
                    length_penalty,
                    stops,
                    last,
                    sampling.allowed,
                    (padded,),
                    length_offset=5,
                )
                for row, tokens in zip(written, new, strict=True):
                    row.extend(tokens)
                    row.close()
            else:
                parts = self._decoder.tokens(
                    begin,
                    pads,
                    room,
                    sampling,
                    stops,
                    rng.integers(2**31 - 1, dtype="int32"),
                    last,
                    CHUNK if stops.strings else 0,
                    (padded,),
                )
                write(written, parts)
        new = [self._bare(np.asarray(row.ids(), "int32")) for row in found]
        return self._like(sources, new, lambda number: found[number].text())

    def score(self, sources: Texts, targets: Texts, batch_size: int = 64) -> Any:
        """Log-probabilities (nats) of targets given sources, token by token.

        Args:
            sources: as for `generate`.
            targets: one per source, in a form that `generate` takes.
            batch_size: pairs at a time, of similar length.

        Returns:
            A float array for one pair, a list of them for several. Each has one value
            per target token, and one more for the end token.

        Raises:
            ValueError: the numbers differ, or a text does not fit the context.
        """
        sources, targets = plain(sources), plain(targets)
        batch_size = whole("batch_size", batch_size, 1)
        rows, outs = self._sentences(sources), self._sentences(targets)
        if len(rows) != len(outs):
            raise ValueError(
                f"There must be one target per source, got {len(outs)} targets for "
                f"{len(rows)} sources."
            )
        self._check_sources(rows)
        self._check_lengths(outs, "target")
        found: dict[int, np.ndarray] = {}
        lengths = [max(len(a), len(b)) for a, b in zip(rows, outs, strict=True)]
        for numbers in _by_length(lengths, batch_size):
            scores = self._scorer(
                self._padded([rows[number] for number in numbers]),
                self._padded([outs[number] for number in numbers], begin=True),
            )
            for number, score in zip(numbers, scores, strict=True):
                found[number] = score[: len(outs[number]) + 1]
        return found[0] if is_single(targets) else [found[n] for n in range(len(rows))]

    # === Helpers ===

    @property
    def _scorer(self) -> Batched:
        if "scorer" not in self.__dict__:
            model: Any = self
            made = Batched(
                lambda sources, targets: log_probs_of(
                    model((sources, targets[:, :-1]), training=False), targets[:, 1:]
                ),
                lambda: self.variables,
            )
            return self.__dict__.setdefault("scorer", made)
        return self.__dict__["scorer"]

    def _sentences(self, texts: Texts) -> list[np.ndarray]:
        """The ids of each text, without special tokens around them."""
        return [self._bare(row) for row in self._rows(texts)]

    def _bare(self, row: np.ndarray) -> np.ndarray:
        config = self.config
        row = row[np.cumsum(row != config.begin_id) > 0]
        row = row[np.cumsum(row == config.end_id) == 0]
        return row[np.cumsum(row[::-1] != config.pad_id)[::-1] > 0]

    def _text(self, ids: Sequence[int]) -> str:
        """A target's text, without special tokens around it."""
        return self.need_tokenizer().decode(self._bare(np.asarray(ids, "int32")))

    def _padded(self, rows: Sequence[np.ndarray], begin: bool = False) -> np.ndarray:
        """Sentences with the end token, targets with the begin token; padded."""
        config = self.config
        before = [config.begin_id] if begin else []
        rows = [np.concatenate([before, row, [config.end_id]]) for row in rows]
        limit = config.context_length + begin
        return pad_right(rows, BUCKET, limit, config.pad_id)

    def _check_sources(self, rows: list[np.ndarray]) -> None:
        lengths = [len(row) for row in rows]
        if not rows or min(lengths) == 0:
            raise ValueError(
                "A source must have at least one token that is not padding, got "
                f"lengths {lengths[:8]}."
            )
        self._check_lengths(rows, "source")

    def _check_lengths(self, rows: list[np.ndarray], kind: str) -> None:
        longest = max(len(row) for row in rows)
        if longest + 1 > self.config.context_length:
            raise ValueError(
                f"A {kind} of {longest} tokens and its end do not fit into "
                f"context_length={self.config.context_length}. Shorten the text, or "
                "make the model with a longer context."
            )

    def _check_request(self, rows: Any, num_beams: int, sampling: Any) -> None:
        self._check_sources(rows)
        if num_beams > 1 and sampling != GREEDY:
            raise ValueError(
                f"Beam search ranks by probability alone, got {sampling}. Leave "
                "temperature, top_k, top_p and repetition_penalty at their defaults."
            )


def _by_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Yields row numbers in batches of similar length."""
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size].tolist()
