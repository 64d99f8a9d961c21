"""N-gram language models: predict the next token from counts.

Shannon 1948, sections 3 and 7; for smoothing see `zoo.models.language.smoothing`. They
run on the host: fitting is one counting pass, and computation is in float64.

Shapes: T tokens, V vocabulary.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import keras
import numpy as np

from zoo.configs.checks import check_choice, check_fields, check_whole
from zoo.data.text.ngrams import (
    NOT_FOUND,
    NgramTable,
    count_ngrams,
    ngrams_ending,
    root,
)
from zoo.generation.generate import Generates
from zoo.generation.lookup import LookupDecoder
from zoo.generation.texts import Texts, is_single, plain
from zoo.models.language.smoothing import Order, add_k, katz, kneser_ney
from zoo.presets.preset import FromPreset
from zoo.presets.registration import register
from zoo.presets.weights import check_names

SMOOTHINGS = ("mle", "add_k", "katz", "kneser_ney")
PRECISION = "float64"


@dataclass(frozen=True)
class NgramConfig:
    """Configuration of an n-gram model: what is counted, and how it is smoothed.

    Attributes:
        vocab_size: number of token ids, V.
        order: tokens per n-gram; each token is predicted from the `order` - 1 before
            it.
        smoothing: "mle" (none), "add_k", "katz" (backoff with Good-Turing discounts)
            or "kneser_ney" (interpolated).
        k: constant that "add_k" adds to all counts; 1 is Laplace smoothing.
        discount: constant that "kneser_ney" subtracts from all counts; None for
            modified Kneser-Ney, which estimates three discounts per order.
        beginnings: whether the beginnings of texts are counted separately. False where
            texts are cut at arbitrary points.
    """

    vocab_size: int
    order: int = 3
    smoothing: str = "kneser_ney"
    k: float = 1.0
    discount: float | None = None
    beginnings: bool = True

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_whole(self, "vocab_size", "order")
        check_fields(self)
        check_choice(self, "smoothing", SMOOTHINGS)
        if not self.k > 0:
            raise ValueError(
                f"k must be above 0, got {self.k!r}. Use smoothing='mle' for k=0."
            )
        if self.discount is not None and not 0 < self.discount <= 1:
            raise ValueError(
                f"discount must be in (0, 1], or None, got {self.discount!r}."
            )


class NgramLM(FromPreset, Generates):
    """Predicts the next token from the last few, by counts.

    A context shorter than the order needs is taken as the beginning of a text: it
    predicts what followed in texts that began so. If no text did, or with
    `beginnings=False`, it predicts what followed those tokens anywhere. There is no
    end-of-text symbol.

    `generate` and `score` are as in `zoo.GPT`, without beam search; texts may have any
    length. Without smoothing, `generate` shortens a context that nothing ever followed
    from the front.
    """

    Config = NgramConfig
    dtype_policy = keras.dtype_policies.get(PRECISION)
    longest = math.inf

    def __init__(self, config: NgramConfig) -> None:
        if not isinstance(config, NgramConfig):
            raise TypeError(
                f"NgramLM must be made from an NgramConfig, got {config!r}. Use "
                "NgramLM(NgramConfig(...))."
            )
        self.config = config
        self._tables: list[NgramTable] = []
        self._orders: list[Order] = []

    def fit(self, texts: Texts) -> Self:
        """Counts the n-grams of one or several texts, replacing earlier counts.

        Args:
            texts: a string, ids, or a list of either. N-grams do not cross texts, and
                each text starts at its beginning, unless `beginnings=False`.

        Returns:
            The model.
        """
        rows = [row for row in self._rows(plain(texts)) if len(row)]
        if not rows:
            raise ValueError("texts must have tokens to count, got none.")
        config = self.config
        self._take(
            count_ngrams(rows, config.order, config.vocab_size, config.beginnings)
        )
        return self

    def probabilities(self, context: Texts) -> np.ndarray:
        """The distribution of the token after a context, (V,) in float64.

        Args:
            context: a string or ids, of any length, or empty. The last `order` - 1
                tokens count; fewer are taken as the beginning of a text.

        Returns:
            The probabilities of all V ids, which may be more than the tokenizer has.
            They sum to 1, except that under "mle" all are 0 after a context that
            nothing ever followed.
        """
        context = plain(context)
        if not is_single(context) and len(context):
            raise ValueError(
                f"context must be one text, as a string or ids, got {context!r:.80}."
            )
        rows = self._rows(context)
        return self._distribution(self._symbols(rows[0] if rows else []))

    def log_probs(self, token_ids: np.ndarray) -> np.ndarray:
        """Log-probabilities in nats of all tokens but the first, (T-1,) in float64.

        Args:
            token_ids: (T,), at least two.
        """
        ids = np.asarray(token_ids)
        if ids.ndim != 1 or len(ids) < 2:
            raise ValueError(
                f"token_ids must have shape (T,) with at least two tokens, got shape "
                f"{ids.shape}."
            )
        self.check_ids(ids)
        orders = self._fitted()
        beginnings = self.config.beginnings
        if beginnings:
            ids = np.append(self.config.vocab_size, ids)
        numbers = ngrams_ending(self._tables, ids, self._num_symbols)
        found = np.full(len(ids), self._lowest)
        for size, order in enumerate(orders, start=1):
            # Only tokens with enough symbols before them for n-grams of this size.
            at = slice(size - 1, None)
            contexts, whole = numbers[size - 1][at][:-1], numbers[size][size:]
            lower = found[at] if self._backs_off else self._lowest
            lower = order.weights[contexts] * lower
            values = np.where(whole == NOT_FOUND, lower, order.values[whole])
            if beginnings and (contexts[:1] == NOT_FOUND).any():
                values[0] = found[size - 1]  # no text began like this
            found[at] = values
        with np.errstate(divide="ignore"):
            return np.log(found[1 + beginnings :])

    def count_params(self) -> int:
        """The number of distinct n-grams counted, of all orders."""
        return sum(int(np.count_nonzero(table.counts)) for table in self._tables[1:])

    # === Helpers ===

    @property
    def _backs_off(self) -> bool:
        """Whether the lower-order distribution is that of the shortened context."""
        return self.config.smoothing in ("katz", "kneser_ney")

    @property
    def _num_symbols(self) -> int:
        """Number of symbols: the tokens, and the beginning if it is counted."""
        return self.config.vocab_size + self.config.beginnings

    @property
    def _lowest(self) -> float:
        """The probability of any token before any counts."""
        return 0.0 if self.config.smoothing == "mle" else 1 / self.config.vocab_size

    def _fitted(self) -> list[Order]:
        if not self._orders:
            raise ValueError(
                "This model has counted nothing yet. Call fit(ids) first, or load one "
                "with from_preset."
            )
        return self._orders

    def _take(self, tables: list[NgramTable]) -> None:
        config, size = self.config, self.config.vocab_size
        self._tables = tables
        match config.smoothing:
            case "mle":
                self._orders = add_k(tables, size, 0.0, config.beginnings)
            case "add_k":
                self._orders = add_k(tables, size, config.k, config.beginnings)
            case "katz":
                self._orders = katz(tables, size, config.beginnings)
            case "kneser_ney":
                discount = config.discount
                self._orders = kneser_ney(tables, size, discount, config.beginnings)

    def _symbols(self, context: np.ndarray | list) -> np.ndarray:
        """The symbols to predict from.

        They are the context's last tokens, preceded by the beginning if some text
        began with them.
        """
        config = self.config
        self._fitted()
        context = np.asarray(context, "int64")
        context = context[max(len(context) + 1 - config.order, 0) :]
        if not config.beginnings or len(context) == config.order - 1:
            return context
        begun = np.append(config.vocab_size, context)
        return begun if self._numbers(begun)[-1] != NOT_FOUND else context

    def _numbers(self, symbols: np.ndarray) -> list[np.integer]:
        """The numbers of the n-grams that end the symbols, from the empty one up."""
        tables = self._tables[: len(symbols) + 1]
        found = ngrams_ending(tables, symbols, self._num_symbols)
        return [ending[-1] for ending in found]

    def _distribution(self, context: np.ndarray) -> np.ndarray:
        """The distribution of what follows fewer symbols than the order."""
        orders, vocab_size = self._orders, self.config.vocab_size
        numbers = self._numbers(context)
        found = np.full(vocab_size, self._lowest)
        for size in range(0 if self._backs_off else len(context), len(context) + 1):
            order, keys = orders[size], self._tables[size + 1].keys
            found *= order.weights[numbers[size]]
            if numbers[size] != NOT_FOUND:
                start = numbers[size] * self._num_symbols
                after = slice(*np.searchsorted(keys, (start, start + vocab_size)))
                found[keys[after] - start] = order.values[after]
        return found

    def _next_log_probs(self, context: np.ndarray) -> np.ndarray:
        symbols = self._symbols(context)
        while not (found := self._distribution(symbols)).any():
            symbols = symbols[1:]
        with np.errstate(divide="ignore"):
            return np.log(found)

    @cached_property
    def _decoder(self) -> Any:
        return LookupDecoder(self._next_log_probs)

    @property
    def _scorer(self) -> Any:
        return lambda rows: np.stack([self.log_probs(row) for row in rows])

    # === Presets ===

    @classmethod
    def from_config(cls, saved: dict[str, Any]) -> Self:
        """Builds a model from a preset's settings."""
        policy = keras.dtype_policies.get(saved["dtype"])
        if policy.name != PRECISION or saved["name"] is not None:
            raise ValueError(
                f"NgramLM computes in {PRECISION} and has no name, got dtype="
                f"{policy.name!r}, name={saved['name']!r}. Leave dtype and name out."
            )
        # Files written before beginnings were counted lack the field.
        return cls(NgramConfig(**{"beginnings": False} | saved["config"]))

    def _arrays(self) -> dict[str, np.ndarray]:
        self._fitted()
        return {
            name: array
            for order, table in enumerate(self._tables[1:], start=1)
            for name, array in zip(_names(order), table, strict=True)
        }

    def _assign(self, arrays: Any, source: Any, new: Any = ()) -> None:
        names = [_names(order) for order in range(1, self.config.order + 1)]
        check_names(arrays, [name for order in names for name in order], source)
        counted = [NgramTable(*(arrays[name] for name in order)) for order in names]
        with_beginnings = counted[0].keys[-1] == self.config.vocab_size
        if with_beginnings != self.config.beginnings:
            raise ValueError(
                f"beginnings must be {bool(with_beginnings)} as in {source}, whose "
                "counts can't be changed. Leave beginnings out, or fit the texts again."
            )
        self._take([root(), *counted])


def _names(order: int) -> list[str]:
    """The names of a table's arrays in a file."""
    return [f"order_{order}/{field}" for field in NgramTable._fields]


register(NgramLM)
