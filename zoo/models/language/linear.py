"""A linear language model: the mean of the context's embeddings, and a classifier.

It does with all tokens so far what word2vec's CBOW (Mikolov et al. 2013, "Efficient
estimation of word representations") and fastText (Joulin et al. 2017) do with a bag of
words. It is a step from counting towards attention: attention with equal weights.

Shapes: B batch, T tokens, S cached tokens, D width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.configs.checks import check_count, check_fields, check_whole
from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.layers.dense import Dense
from zoo.layers.embeddings import TokenEmbedding
from zoo.layers.initializers import Normal
from zoo.models.language.language_model import LanguageModel
from zoo.presets.registration import register


@dataclass(frozen=True)
class LinearLMConfig:
    """Configuration of a linear language model.

    Attributes:
        vocab_size: number of token ids, V.
        context_length: maximum number of tokens.
        width: width of the embeddings, D.
        initial_stddev: standard deviation of the initial embeddings and classifier.
    """

    vocab_size: int
    context_length: int
    width: int
    initial_stddev: float = 0.1

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_whole(self, "vocab_size", "context_length", "width")
        check_fields(self)


@keras.saving.register_keras_serializable("zoo")
class LinearLM(LanguageModel):
    """Averages embeddings; see `LanguageModel` for its calls and training."""

    Config = LinearLMConfig
    layout = ((r"embeddings$", (None, "model")), (r"head/kernel$", ("model", None)))

    def __init__(self, config: LinearLMConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        initializer = Normal(config.initial_stddev)
        self.token_embedding = TokenEmbedding(
            config.vocab_size,
            config.width,
            initializer,
            name="token_embedding",
            dtype=self.dtype_policy,
        )
        self.head = Dense(
            config.vocab_size,
            kernel_initializer=initializer,
            name="head",
            dtype=self.dtype_policy,
        )
        self.build()

    def hidden(
        self,
        token_ids: Tensor,
        positions: Tensor | None = None,
        attention_mask: Tensor | None = None,
        caches: Sequence[Any] | None = None,
        index: Any = None,
        training: bool = False,
    ) -> Any:
        """The mean embedding (B, T, D) of the tokens so far.

        Positions are ignored. For arguments see `LanguageModel.hidden`.
        """
        length = token_ids.shape[1]
        self.check_length(length)
        x = engine().by_rows(self.token_embedding(token_ids))
        if caches is not None:
            x = engine().write(caches[0], x, index)
            return mean_of_visible(x, attention_mask), [x]
        visible = ops.convert_to_tensor(np.tri(length, dtype=bool)[None])
        if attention_mask is not None:
            visible = ops.logical_and(visible, attention_mask)
        return mean_of_visible(x, visible)

    def empty_caches(self, batch: int, length: int) -> list:
        """Room for the embeddings of `length` tokens, zeros (B, S, D)."""
        shape = (batch, length, self.config.width)
        return [ops.zeros(shape, dtype=self.compute_dtype)]

    def nearest(self, token: int | str, k: int = 10) -> list[tuple[Any, float]]:
        """The tokens whose embeddings have the largest cosine with a token's.

        Args:
            token: an id, or the text of a single token.
            k: maximum number of tokens to return.

        Returns:
            Pairs of a token, as an id or text, and its cosine, the largest first;
            without the token itself.

        Raises:
            ValueError: the text is not a single token.
        """
        check_count("k", k)
        (ids,) = self._rows(token if isinstance(token, str) else [token])
        if len(ids) != 1:
            raise ValueError(
                f"token must be a single token, got {token!r}: {len(ids)} tokens."
            )
        table = engine().numpy(self.token_embedding.embeddings).astype("float64")
        table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
        cosines = table @ table[ids[0]]
        order = np.argsort(-cosines, kind="stable")
        text = isinstance(token, str)
        if text:  # the model's vocabulary may be larger than the tokenizer's
            order = order[order < self.tokenizer.vocab_size]
        found = order[order != ids[0]][:k].tolist()
        names = [self.tokenizer.decode([i]) for i in found] if text else found
        return list(zip(names, cosines[found].tolist(), strict=True))


def mean_of_visible(x: Tensor, visible: Tensor) -> Tensor:
    """Means (B, T, D) of the vectors that each token sees; 0 where it sees none.

    Args:
        x: vectors (B, S, D).
        visible: (B or 1, T, S), True where a token sees a vector.
    """
    seen = ops.cast(visible, "float32")
    shares = seen / ops.maximum(ops.sum(seen, axis=-1, keepdims=True), 1.0)
    return ops.matmul(ops.cast(shares, x.dtype), x)


register(LinearLM, measured="text")
