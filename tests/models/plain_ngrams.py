"""N-gram models as their formulas read, with dictionaries of tuples."""

from collections import Counter
from functools import cache


class PlainNgrams:
    """All probabilities are functions of a token and the tuple of those before it."""

    def __init__(self, documents, vocab_size, order):
        self.tokens, self.order = range(vocab_size), order
        self.counts = Counter(
            tuple(document[at : at + size])
            for document in documents
            for size in range(1, order + 1)
            for at in range(len(document) - size + 1)
        )
        self.left = Counter(ngram[1:] for ngram in self.counts)
        for name in ("kneser_ney", "kept", "katz"):
            setattr(self, name, cache(getattr(self, name)))

    def add_k(self, k, token, context):
        total = sum(self.counts[*context, w] for w in self.tokens)
        room = total + k * len(self.tokens)
        return (self.counts[*context, token] + k) / room if room else 0.0

    def kneser_ney(self, discount, token, context):
        lower = 1 / len(self.tokens)
        if context:
            lower = self.kneser_ney(discount, token, context[1:])
        counts = self.counts if len(context) + 1 == self.order else self.left
        total = sum(counts[*context, w] for w in self.tokens)
        kinds = sum(counts[*context, w] > 0 for w in self.tokens)
        if not total:
            return lower
        if not context and kinds == len(self.tokens):
            discount = 0
        own = max(counts[*context, token] - discount, 0)
        return own / total + discount * kinds / total * lower

    def kept(self, size, count):
        """Good-Turing's share of a count of n-grams of a size."""
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
