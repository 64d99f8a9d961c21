"""N-gram language models: the next token by counts of what followed before.

Shannon 1948, sections 3 and 7; for the smoothing see `zoo.models.smoothing`. A model of
the host: it is counted in one pass, without training, and computes in float64.

Shapes: T tokens, V vocabulary.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import keras
import numpy as np

from zoo.data.ngrams import NOT_FOUND, NgramTable, count_ngrams, ngrams_ending, root
from zoo.generation.generate import Generates
from zoo.generation.lookup import LookupDecoder
from zoo.generation.texts import Texts, is_single, plain
from zoo.models.config_checks import check_choice, check_whole
from zoo.models.smoothing import Order, add_k, katz, kneser_ney
from zoo.presets.preset import FromPreset
from zoo.presets.weights import check_names

SMOOTHINGS = ("mle", "add_k", "katz", "kneser_ney")
PRECISION = "float64"


@dataclass(frozen=True)
class NgramConfig:
    """What is counted, and what becomes of what was never counted.

    Attributes:
        vocab_size: number of token ids, V.
        order: tokens of an n-gram; a token is predicted from the `order` - 1 before.
        smoothing: "mle" (none), "add_k", "katz" (backoff with Good-Turing discounts)
            or "kneser_ney" (interpolated).
        k: what "add_k" adds to all counts; 1 is Laplace's rule.
        discount: what "kneser_ney" takes from all counts.
    """

    vocab_size: int
    order: int = 3
    smoothing: str = "kneser_ney"
    k: float = 1.0
    discount: float = 0.75

    def __post_init__(self) -> None:
        """Checks each field's range."""
        check_whole(self, "vocab_size", "order")
        check_choice(self, "smoothing", SMOOTHINGS)
        if not self.k > 0:
            raise ValueError(
                f"k must be above 0, got {self.k!r}; smoothing='mle' adds nothing"
            )
        if not 0 < self.discount <= 1:
            raise ValueError(f"discount must be in (0, 1], got {self.discount!r}")


class NgramLM(FromPreset, Generates):
    """Predicts the next token from the last few, by counts.

    At the beginning of a text, where there are fewer tokens before than the order
    asks for, it predicts from those that there are, by n-grams of that length: there
    are no symbols for the beginning and the end.

    `generate` and `score` are those of `zoo.GPT`, but for beams; texts may be of any
    length. Without smoothing, `generate` drops tokens from the front of a context that
    nothing ever followed.
    """

    Config = NgramConfig
    dtype_policy = keras.dtype_policies.get(PRECISION)
    longest = math.inf

    def __init__(self, config: NgramConfig) -> None:
        if not isinstance(config, NgramConfig):
            raise TypeError(
                "NgramLM is made from an NgramConfig: NgramLM(NgramConfig(...)). "
                f"Received: {config!r}"
            )
        self.config = config
        self._tables: list[NgramTable] = []
        self._orders: list[Order] = []

    def fit(self, texts: Texts) -> Self:
        """Counts the n-grams of a text, or of several, in place of earlier counts.

        Args:
            texts: a string, ids, or a list of either, none of whose n-grams reach from
                one text into the next.

        Returns:
            The model.
        """
        rows = [row for row in self._rows(plain(texts)) if len(row)]
        if not rows:
            raise ValueError("There is nothing to count: the texts have no tokens.")
        config = self.config
        self._take(count_ngrams(rows, config.order, config.vocab_size))
        return self

    def probabilities(self, context: Texts) -> np.ndarray:
        """The distribution (V,) of the token after a context, float64.

        Args:
            context: a string or ids, of any length; also of none. Its last
                `order` - 1 tokens count.

        Returns:
            Probabilities that sum to 1; all 0 under "mle" after a context that nothing
            ever followed.
        """
        context = plain(context)
        if not is_single(context) and len(context):
            raise ValueError(f"Give one context, as text or ids, not {context!r:.80}")
        rows = self._rows(context)
        return self._distribution(rows[0] if rows else np.zeros(0, "int32"))

    def log_probs(self, token_ids: np.ndarray) -> np.ndarray:
        """Log-probabilities (nats) of a text's tokens but the first, float64.

        Args:
            token_ids: (T,), at least two.
        """
        ids = np.asarray(token_ids)
        if ids.ndim != 1 or len(ids) < 2:
            raise ValueError(
                f"A text needs at least two tokens, got token ids of shape {ids.shape}"
            )
        self.check_ids(ids)
        orders = self._fitted()
        numbers = ngrams_ending(self._tables, ids, self.config.vocab_size)
        found = np.full(len(ids), self._lowest)
        for size, order in enumerate(orders, start=1):
            # These have enough tokens before them for n-grams of this size.
            at = slice(size - 1, None)
            lower = found[at] if self._backs_off else self._lowest
            lower = order.weights[numbers[size - 1][at][:-1]] * lower
            whole = numbers[size][size:]
            found[at] = np.where(whole == NOT_FOUND, lower, order.values[whole])
        with np.errstate(divide="ignore"):
            return np.log(found[1:])

    def count_params(self) -> int:
        """How many n-grams of all orders it has counted."""
        return sum(len(table.keys) for table in self._tables[1:])

    # === Helpers ===

    @property
    def _backs_off(self) -> bool:
        """Whether the lower distribution is that of the shorter context."""
        return self.config.smoothing in ("katz", "kneser_ney")

    @property
    def _lowest(self) -> float:
        """The probability of any token where nothing is known."""
        return 0.0 if self.config.smoothing == "mle" else 1 / self.config.vocab_size

    def _fitted(self) -> list[Order]:
        if not self._orders:
            raise ValueError(
                "This model has counted nothing yet: call fit(ids) first, or load one "
                "with from_preset."
            )
        return self._orders

    def _take(self, tables: list[NgramTable]) -> None:
        config, size = self.config, self.config.vocab_size
        self._tables = tables
        match config.smoothing:
            case "mle":
                self._orders = add_k(tables, size, 0.0)
            case "add_k":
                self._orders = add_k(tables, size, config.k)
            case "katz":
                self._orders = katz(tables, size)
            case "kneser_ney":
                self._orders = kneser_ney(tables, size, config.discount)

    def _distribution(self, context: np.ndarray) -> np.ndarray:
        orders, vocab_size = self._fitted(), self.config.vocab_size
        context = context[max(len(context) + 1 - len(orders), 0) :]
        tables = self._tables[: len(context) + 1]
        numbers = [ending[-1] for ending in ngrams_ending(tables, context, vocab_size)]
        found = np.full(vocab_size, self._lowest)
        for size in range(0 if self._backs_off else len(context), len(context) + 1):
            order, keys = orders[size], self._tables[size + 1].keys
            found *= order.weights[numbers[size]]
            if numbers[size] != NOT_FOUND:
                start = numbers[size] * vocab_size
                after = slice(*np.searchsorted(keys, (start, start + vocab_size)))
                found[keys[after] - start] = order.values[after]
        return found

    def _next_log_probs(self, context: np.ndarray) -> np.ndarray:
        found = self._distribution(context)
        while not found.any():
            context = context[max(len(context) + 1 - self.config.order, 0) + 1 :]
            found = self._distribution(context)
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
        """Makes a model from what a preset says."""
        policy = keras.dtype_policies.get(saved["dtype"])
        if policy.name != PRECISION or saved["name"] is not None:
            raise ValueError(
                f"NgramLM computes in {PRECISION} and has no name: leave dtype and "
                f"name out. Received: dtype={policy.name!r}, name={saved['name']!r}"
            )
        return cls(NgramConfig(**saved["config"]))

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
        self._take([root(), *counted])


def _names(order: int) -> list[str]:
    """What a table's arrays are called in a file."""
    return [f"order_{order}/{field}" for field in NgramTable._fields]
