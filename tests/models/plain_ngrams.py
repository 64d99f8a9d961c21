"""N-gram models written as their formulas, with dictionaries of tuples."""

from collections import Counter
from functools import cache

BEGIN = "^"


class PlainNgrams:
    """Probabilities are functions of a token and the tuple of tokens before it.

    With beginnings, texts start with a symbol, which the tuples include.
    """

    def __init__(self, documents, vocab_size, order, beginnings=False):
        self.tokens, self.order = range(vocab_size), order
        documents = [[BEGIN] * beginnings + list(document) for document in documents]
        self.counts = Counter(
            tuple(document[at : at + size])
            for document in documents
            for size in range(1, order + 1)
            for at in range(len(document) - size + 1)
        )
        del self.counts[BEGIN,]
        self.left = Counter(ngram[1:] for ngram in self.counts)
        for name in ("kneser_ney", "discounts", "kept", "katz"):
            setattr(self, name, cache(getattr(self, name)))

    def begun(self, context):
        """The context with the beginning symbol, if some text began so."""
        context = tuple(context)[max(len(context) + 1 - self.order, 0) :]
        begun = (BEGIN, *context)
        seen = any(self.counts[*begun, w] for w in self.tokens)
        return begun if len(begun) < self.order and seen else context

    def add_k(self, k, token, context):
        total = sum(self.counts[*context, w] for w in self.tokens)
        room = total + k * len(self.tokens)
        return (self.counts[*context, token] + k) / room if room else 0.0

    def count(self, *ngram):
        """Occurrences of the longest n-grams, and left neighbors of all others."""
        longest = len(ngram) == self.order or ngram[0] == BEGIN
        return self.counts[ngram] if longest else self.left[ngram]

    def discounts(self, size):
        """The discounts of modified Kneser-Ney, as Chen & Goodman write them."""
        found = [self.count(*ngram) for ngram in self.counts if len(ngram) == size]
        n1, n2, n3, n4 = (found.count(times) for times in (1, 2, 3, 4))
        if min(n1, n2, n3, n4) == 0:
            return 0, 0.5, 1, 1.5
        y = n1 / (n1 + 2 * n2)
        found = 0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
        return (0, 0.5, 1, 1.5) if min(found[1:]) <= 0 else found

    def kneser_ney(self, discount, token, context):
        """Kneser-Ney with one discount, or, for None, the modified ones."""
        lower = 1 / len(self.tokens)
        if context:
            lower = self.kneser_ney(discount, token, context[1:])
        counts = {w: self.count(*context, w) for w in self.tokens}
        total = sum(counts.values())
        if not total:
            return lower
        discounts = (0, discount, discount, discount)
        if discount is None:
            discounts = self.discounts(len(context) + 1)
        elif not context and min(counts.values()) > 0:
            discounts = (0, 0, 0, 0)
        taken = {w: discounts[min(count, 3)] for w, count in counts.items()}
        own = counts[token] - taken[token]
        return own / total + sum(taken.values()) / total * lower

    def kept(self, size, count):
        """The fraction that Good-Turing keeps of a count of n-grams of one size."""
        n = Counter(c for ngram, c in self.counts.items() if len(ngram) == size)
        if count > 5 or not n[count] or not n[1]:
            return 1.0
        common = 6 * n[6] / n[1]
        if common == 1:
            return 1.0
        share = (count + 1) * n[count + 1] / n[count] / count
        share = (share - common) / (1 - common)
        return share if 0 < share <= 1 else 1.0

    def katz(self, token, context):
        def lower(token):
            return self.katz(token, context[1:]) if context else 1 / len(self.tokens)

        seen = {w: self.counts[*context, w] for w in self.tokens}
        seen = {w: count for w, count in seen.items() if count}
        total = sum(seen.values())
        if not total:
            return lower(token)
        size = len(context) + 1
        all_seen = len(seen) == len(self.tokens)
        kept = {w: c if all_seen else c * self.kept(size, c) for w, c in seen.items()}
        if kept == seen and not all_seen:
            total += 1
        if token in seen:
            return kept[token] / total
        left = 1 - sum(kept.values()) / total
        return left * lower(token) / sum(lower(w) for w in self.tokens if w not in seen)
