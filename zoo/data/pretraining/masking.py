"""Masked language modelling: which tokens to predict, and what replaces them.

Devlin et al. 2019 (BERT), section 3.1 and appendix A.1; whole words: its later code;
Joshi et al. 2020 (SpanBERT), section 3.1; Levine et al. 2021 (PMI-Masking).

Shapes: B sequences, T tokens and M masked positions per sequence, V vocabulary.
"""

from typing import Literal, get_args

import numpy as np

from zoo.data.pretraining.pmi import Collocations
from zoo.tokenizers.tokenizer import Tokenizer

Unit = Literal["token", "word", "span"]

# SpanBERT's span lengths in words: geometric with p = 0.2, truncated at 10.
SPAN_LENGTHS = np.arange(1, 11)
SPAN_SHARES = 0.2 * 0.8 ** (SPAN_LENGTHS - 1)
SPAN_SHARES /= SPAN_SHARES.sum()


def most_masked(rate: float, length: int) -> int:
    """Returns how many masked tokens to leave room for: 1.4 times the mean number.

    Args:
        rate: the share of tokens to mask.
        length: the number of tokens in a sequence.
    """
    return max(1, round(1.4 * rate * length))


class Masking:
    """Chooses random tokens to predict, and masks them.

    Of the chosen tokens, 80 % become [MASK], 10 % become a random token and 10 % stay.
    Special tokens are never chosen, and never used as replacements.

    Units (such as words) are taken in random order until the rate is reached. The unit
    that would exceed it is taken with the probability that makes the mean equal to the
    rate.

    Args:
        tokenizer: the tokenizer of the sequences.
        max_masked: M, the most tokens to choose per sequence (20 of 128 in BERT). A
            value below rate · T lowers the actual rate.
        rate: the mean share of ordinary tokens to choose.
        unit: what is chosen as a whole: a "token"; a "word" with its `##` pieces; a
            "span" of 1 to 10 words, which also share one outcome of the 80/10/10 draw
            (the last span of a sequence may be cut between words); or the n-grams of
            `Collocations`, and words elsewhere.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_masked: int,
        *,
        rate: float = 0.15,
        unit: Unit | Collocations = "token",
    ) -> None:
        """Checks the arguments; raises ValueError naming the one at fault."""
        if max_masked < 1:
            raise ValueError(f"max_masked must be at least 1, got {max_masked}.")
        if not 0 < rate <= 1:
            raise ValueError(f"rate must be above 0 and at most 1, got {rate}.")
        if not isinstance(unit, Collocations) and unit not in get_args(Unit):
            raise ValueError(
                f"unit must be one of {get_args(Unit)} or Collocations, got {unit!r}."
            )
        framing = [getattr(tokenizer, f"{x}_id") for x in ("mask", "pad", "cls", "sep")]
        if plain := np.setdiff1d(framing, tokenizer.special_ids).tolist():
            raise ValueError(
                f"These tokens of {tokenizer!r} must be special, got ordinary ones: "
                f"{[tokenizer.id_to_token(i) for i in plain]}."
            )
        self.max_masked, self.rate, self.unit = max_masked, rate, unit
        self._mask_id = tokenizer.mask_id
        self._special = np.zeros(tokenizer.vocab_size, bool)
        self._special[tokenizer.special_ids] = True
        self._ordinary = np.flatnonzero(~self._special).astype(np.int32)
        if unit != "token":
            self._continues = tokenizer.continuations

    def __call__(
        self, token_ids: np.ndarray, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Masks a batch.

        Args:
            token_ids: token ids of shape (B, T), with special tokens.
            rng: the source of randomness.

        Returns:
            `token_ids`, int32 of shape (B, T), with tokens masked; and, of shape
            (B, M), `mask_positions`, int32 in ascending order, `mask_ids`, int32, the
            original tokens, and `mask_weights`, float32: 1.0, or 0.0 for unused
            entries.
        """
        special = self._special[token_ids]
        units, groups = self._units(token_ids, special, rng)
        positions, weights = self._choose(units, groups, special, rng)
        original = np.take_along_axis(token_ids, positions, axis=1)
        fate = rng.random(positions.shape, np.float32)
        if self.unit == "span":
            chosen = np.take_along_axis(groups, positions, axis=1)
            new = np.diff(chosen, axis=1, prepend=-1) != 0
            fate = np.take_along_axis(fate, np.cumsum(new, axis=1) - 1, axis=1)
        replaced = self._ordinary[rng.integers(len(self._ordinary), size=fate.shape)]
        replaced = np.where(fate < 0.8, self._mask_id, replaced)
        replaced = np.where(fate < 0.9, replaced, original)
        used = weights > 0
        masked = np.array(token_ids, np.int32)
        rows, _ = np.nonzero(used)
        masked[rows, positions[used]] = replaced[used]
        return {
            "token_ids": masked,
            "mask_positions": positions.astype(np.int32),
            "mask_ids": np.where(used, original, 0).astype(np.int32),
            "mask_weights": weights,
        }

    def _units(
        self, token_ids: np.ndarray, special: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns each token's unit, and the group of units that is drawn together."""
        if self.unit == "token":
            each = np.broadcast_to(np.arange(token_ids.shape[1]), token_ids.shape)
            return each, each
        begins = ~self._continues[token_ids] | special  # (B, T), of words so far
        begins[:, 1:] |= special[:, :-1]
        words = _numbered(begins)
        if self.unit == "word":
            return words, words
        if isinstance(self.unit, Collocations):
            begins &= ~self.unit.inside(token_ids, begins)
            phrases = _numbered(begins)
            return phrases, phrases
        firsts = np.cumsum(
            rng.choice(SPAN_LENGTHS, p=SPAN_SHARES, size=token_ids.shape), axis=1
        )
        first = np.zeros((len(token_ids), token_ids.shape[1] + len(SPAN_LENGTHS)), bool)
        np.put_along_axis(first, np.minimum(firsts, first.shape[1] - 1), True, axis=1)
        begins &= np.take_along_axis(first, words, axis=1) | special
        begins[:, 1:] |= special[:, :-1]
        return words, _numbered(begins)

    def _choose(
        self,
        units: np.ndarray,
        groups: np.ndarray,
        special: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns positions, ascending, 0 where unused, and weights; both (B, M)."""
        length = units.shape[1]
        # Sorts tokens by a random number per group, then by position.
        keys = rng.integers(2**30, size=units.shape, dtype=np.int64)
        keys = np.take_along_axis(keys, groups, axis=1)
        keys[special] = 2**30
        keys = keys << 32 | np.arange(length)
        keys.sort(axis=1)
        # One column more than M, to see whether a unit exceeds M.
        order = keys[:, : self.max_masked + 1] & (2**32 - 1)
        columns = np.arange(order.shape[1])
        sorted_units = np.take_along_axis(units, order, axis=1)
        first = np.diff(sorted_units, axis=1, prepend=-1) != 0
        before = np.maximum.accumulate(np.where(first, columns, 0), axis=1)
        ends = np.full(order.shape, order.shape[1])
        ends[:, :-1] = np.where(first[:, 1:], columns[1:], order.shape[1])
        after = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
        budget = self.rate * (~special).sum(axis=1, keepdims=True)
        chance = rng.random((len(units), 1))
        taken = (before + chance * (after - before) < budget) & (
            after <= self.max_masked
        )
        taken = taken[:, : self.max_masked]
        places = np.full((len(units), self.max_masked), length)
        places[:, : taken.shape[1]] = np.where(
            taken, order[:, : taken.shape[1]], length
        )
        places.sort(axis=1)
        used = places < length
        return np.where(used, places, 0), used.astype(np.float32)


def _numbered(begins: np.ndarray) -> np.ndarray:
    """Numbers the stretches that begin at `begins`, from 0, per token."""
    begins[:, 0] = True
    return np.cumsum(begins, axis=1) - 1
