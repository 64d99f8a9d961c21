"""Words that occur together more often than by chance, to mask them together.

Levine et al. 2021, "PMI-Masking: Principled Masking of Correlated Spans", section 4.

Shapes: K tokens, W words, N n-grams.
"""

import functools
from dataclasses import dataclass, field

import numpy as np

from zoo.data.text.documents import Documents
from zoo.tokenizers.tokenizer import Tokenizer

# The share of the list by number of words (the authors' README).
SHARES = {2: 0.5, 3: 0.25, 4: 0.125, 5: 0.125}


@dataclass(frozen=True)
class Collocations:
    """N-grams of words.

    Attributes:
        phrases: the token ids of each n-gram, grouped by number of words, the highest
            PMI first.
    """

    phrases: dict[int, tuple[tuple[int, ...], ...]] = field(repr=False)

    def inside(self, token_ids: np.ndarray, begins: np.ndarray) -> np.ndarray:
        """Tells which tokens begin a word of an n-gram other than its first word.

        Where n-grams overlap, the longest is taken, and the first of equally long ones.

        Args:
            token_ids: token ids of shape (B, T). Each row begins with a special token.
            begins: whether each token begins a word, bool of shape (B, T).

        Returns:
            bool of shape (B, T).
        """
        words = np.flatnonzero(begins)
        ends = np.append(words[1:], token_ids.size)
        prints = _Fingerprints(token_ids.ravel())
        taken, inner = bytearray(len(words)), bytearray(len(words))
        for size in sorted(self._prints, reverse=True):
            known = self._prints[size]
            found = prints.of(words[: 1 - size], ends[size - 1 :])
            places = np.minimum(np.searchsorted(known, found), len(known) - 1)
            # In sequence, since each match takes words away from later ones.
            for place in np.flatnonzero(known[places] == found).tolist():
                if taken.find(1, place, place + size) < 0:
                    taken[place : place + size] = b"\1" * size
                    inner[place + 1 : place + size] = b"\1" * (size - 1)
        result: np.ndarray = np.zeros(token_ids.size, bool)
        result[words] = np.frombuffer(inner, bool)
        return result.reshape(token_ids.shape)

    @functools.cached_property
    def _prints(self) -> dict[int, np.ndarray]:
        """The fingerprints of the n-grams, ascending, by number of words."""
        prints = {}
        for size, phrases in self.phrases.items():
            if phrases:
                tokens = np.array([token for phrase in phrases for token in phrase])
                stops = np.cumsum([len(phrase) for phrase in phrases])
                starts = np.append(0, stops[:-1])
                prints[size] = np.sort(_Fingerprints(tokens).of(starts, stops))
        return prints


def collocations(
    documents: Documents, tokenizer: Tokenizer, size: int, *, min_count: int = 10
) -> Collocations:
    """Counts a text's n-grams of 2 to 5 words and returns those of the highest PMI.

    The pointwise mutual information of an n-gram is the log of its probability over
    the product of the probabilities of its parts, minimized over all ways to split it
    (the paper's equation 3). Half of the list are bigrams, a quarter trigrams, and an
    eighth each n-grams of 4 and 5 words. None crosses the end of a sentence.

    Args:
        documents: the text.
        tokenizer: the tokenizer that encoded it; a `##` token continues a word.
        size: the most n-grams; 800,000 in the paper. Those without a positive PMI are
            left out.
        min_count: how often an n-gram must occur.
    """
    for name, value in (("size", size), ("min_count", min_count)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
    tokens = documents.tokens
    begins = ~tokenizer.continuations[tokens]
    begins[documents.sentences[:-1]] = True
    words = np.flatnonzero(begins)
    ends = np.append(words[1:], len(tokens))
    sentence = np.searchsorted(documents.sentences, words, "right")
    prints = _Fingerprints(tokens)
    # The number of special tokens before each token.
    specials = np.append(0, np.cumsum(np.isin(tokens, tokenizer.special_ids)))
    # For the n-gram that begins at each word: its log-probability, and that of its
    # likeliest split into parts, the whole n-gram included.
    log_p: dict[int, np.ndarray] = {}
    likeliest: dict[int, np.ndarray] = {}
    phrases = {}
    for n in range(1, 1 + max(SHARES)):
        count = max(len(words) - n + 1, 0)
        inside = np.flatnonzero(sentence[:count] == sentence[n - 1 :])
        _, first, kind, counts = np.unique(
            prints.of(words[inside], ends[inside + n - 1]),
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        log_p[n] = np.full(count, -np.inf)
        log_p[n][inside] = np.log(counts / max(len(inside), 1))[kind]
        parts = np.full(count, -np.inf)
        for m in range(1, n):
            cut = log_p[m][:count] + likeliest[n - m][m : m + count]
            np.maximum(parts, cut, out=parts)
        likeliest[n] = np.maximum(log_p[n], parts)
        if n in SHARES:
            places = inside[first[counts >= min_count]]
            # [UNK] stands for many words, and special tokens are never masked.
            is_plain = specials[ends[places + n - 1]] == specials[words[places]]
            places = places[is_plain]
            pmi = log_p[n][places] - parts[places]
            order = np.lexsort((places, -pmi))[: round(SHARES[n] * size)]
            phrases[n] = tuple(
                tuple(tokens[words[place] : ends[place + n - 1]].tolist())
                for place in places[order[pmi[order] > 0]]
            )
    return Collocations(phrases)


class _Fingerprints:
    """64-bit hashes of stretches of tokens: differences of polynomial prefix sums."""

    BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64

    def __init__(self, tokens: np.ndarray) -> None:
        powers = np.full(len(tokens) + 1, self.BASE, np.uint64)
        inverse = np.full(len(tokens) + 1, pow(self.BASE, -1, 2**64), np.uint64)
        powers[0] = inverse[0] = 1
        self._inverse = np.cumprod(inverse)
        terms = _scrambled(tokens.astype(np.uint64)) * np.cumprod(powers)[:-1]
        self._sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms)])

    def of(self, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
        """Returns the hash of tokens[start:stop] for each pair, uint64 (N,)."""
        return (self._sums[stops] - self._sums[starts]) * self._inverse[starts]


def _scrambled(x: np.ndarray) -> np.ndarray:
    """Hashes each number to a pseudorandom one, by SplitMix64 (Steele et al. 2014)."""
    x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
