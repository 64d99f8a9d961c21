"""The transformer block: attention and feed-forward, each with a residual path.

Shapes: B batch, T tokens, D width, F feed-forward width.
"""

from typing import Any

import keras

from zoo.engine.current import engine
from zoo.engine.tensors import Function, Shape, Tensor
from zoo.layers.activations import activation as get_activation
from zoo.layers.attention.multi_head import MultiHeadAttention
from zoo.layers.dense import Dense
from zoo.layers.dropout import Dropout
from zoo.layers.gather import gather
from zoo.layers.layer import Layer
from zoo.layers.norm import LayerNorm

NORM_POSITIONS = ("pre", "post")


@keras.saving.register_keras_serializable("zoo")
class FeedForward(Layer):
    """Two dense layers with an activation between them (Vaswani et al., section 3.3).

    Args:
        width: D.
        hidden_width: F.
        activation: a name or a function.
        use_bias: whether the layers have biases.
        dropout: dropout rate of the output.
        initializer: initializer of the matrices.
        output_initializer: initializer of the second matrix; None for `initializer`.
    """

    def __init__(
        self,
        width: int,
        hidden_width: int,
        *,
        activation: Any = "relu",
        use_bias: bool = True,
        dropout: float = 0.0,
        initializer: Any = "glorot_uniform",
        output_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.width, self.hidden_width = width, hidden_width
        self.activation = get_activation(activation)
        make = {"use_bias": use_bias, "dtype": self.dtype_policy}
        self.expand = Dense(
            hidden_width, name="expand", kernel_initializer=initializer, **make
        )
        self.contract = Dense(
            width,
            name="contract",
            kernel_initializer=output_initializer or initializer,
            **make,
        )
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)

    def build(self, input_shape: Shape) -> None:
        """Creates both projections."""
        self.expand.build((None, None, self.width))
        self.contract.build((None, None, self.hidden_width))

    def call(
        self, x_BTD: Tensor, training: bool = False, seeds: Any = (None,)
    ) -> Tensor:
        """Maps (B, T, D) to (B, T, D)."""
        x_BTF = self.activation(self.expand(x_BTD))
        return self.dropout(self.contract(x_BTF), training=training, seed=seeds[0])

    def draw_seeds(self) -> tuple:
        """The dropout seed for one call, in a tuple."""
        return (self.dropout.draw(),)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape


@keras.saving.register_keras_serializable("zoo")
class TransformerBlock(Layer):
    """Attention, then feed-forward, each with a norm before (GPT-2) or after (BERT).

    With `cross=True` there is a cross-attention to a context between the two, as in the
    original decoder. The arguments not listed are those of `MultiHeadAttention` and
    `FeedForward`.

    Args:
        norm_position: "pre" or "post".
        norm_epsilon: added to the norms' variance.

    Raises:
        ValueError: `norm_position` is unknown.
    """

    def __init__(
        self,
        num_heads: int,
        width: int,
        hidden_width: int,
        *,
        norm_position: str = "pre",
        norm_epsilon: float = 1e-5,
        causal: bool = False,
        cross: bool = False,
        rotary: bool = False,
        relative: keras.layers.Layer | None = None,
        window: int = 0,
        use_bias: bool = True,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        activation: Any = "relu",
        initializer: Any = "glorot_uniform",
        output_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if norm_position not in NORM_POSITIONS:
            raise ValueError(
                f"norm_position must be one of {NORM_POSITIONS}, got {norm_position!r}."
            )
        self.norm_position, self.width = norm_position, width
        common = {
            "use_bias": use_bias,
            "dropout": dropout,
            "initializer": initializer,
            "output_initializer": output_initializer,
            "dtype": self.dtype_policy,
        }
        self.attention = MultiHeadAttention(
            num_heads,
            width,
            causal=causal,
            rotary=rotary,
            relative=relative,
            window=window,
            attention_dropout=attention_dropout,
            name="attention",
            **common,
        )
        self.attention_norm = self._norm("attention_norm", norm_epsilon, use_bias)
        self.cross_attention: MultiHeadAttention | None = None
        if cross:
            self.cross_attention = MultiHeadAttention(
                num_heads,
                width,
                cross=True,
                attention_dropout=attention_dropout,
                name="cross_attention",
                **common,
            )
            self.cross_norm = self._norm("cross_norm", norm_epsilon, use_bias)
        self.feed_forward = FeedForward(
            width, hidden_width, activation=activation, name="feed_forward", **common
        )
        self.feed_forward_norm = self._norm("feed_forward_norm", norm_epsilon, use_bias)

    def _norm(self, name: str, epsilon: float, use_bias: bool) -> LayerNorm:
        return LayerNorm(
            epsilon=epsilon, center=use_bias, name=name, dtype=self.dtype_policy
        )

    def build(self, input_shape: Shape) -> None:
        """Creates all parts for inputs (B, T, D)."""
        shape = (None, None, self.width)
        for layer in self._flatten_layers(include_self=False, recursive=False):
            layer.build(shape)

    def draw_seeds(self) -> list:
        """Seeds for one call, in the order in which `call` uses them."""
        parts = (self.attention, self.cross_attention, self.feed_forward)
        return [part.draw_seeds() for part in parts if part is not None]

    def call(
        self,
        x_BTD: Tensor,
        context_BSD: Tensor | None = None,
        attention_mask: Tensor | None = None,
        context_mask: Tensor | None = None,
        context_cache: Any = None,
        positions: Tensor | None = None,
        queries: Tensor | None = None,
        cache: Any = None,
        index: Any = None,
        training: bool = False,
        seeds: Any = None,
    ) -> Any:
        """Maps (B, T, D) to (B, T, D); also returns the new cache if one was given.

        The arguments are those of `MultiHeadAttention`; `context_mask` is the mask of
        the cross-attention, and `context_cache` holds its keys and values, from
        `keys_values`, in place of the context. With `queries` (B, Q) the result has
        only those tokens, (B, Q, D).
        """
        seeds = iter(seeds or [(None, None)] * 3)
        held = []

        def attend(x: Tensor) -> Any:
            out = self.attention(
                x,
                attention_mask=attention_mask,
                positions=positions,
                queries=queries,
                cache=cache,
                index=index,
                training=training,
                seeds=next(seeds),
            )
            if cache is None:
                return out
            held.append(out[1])
            return out[0]

        kept = x_BTD if queries is None else gather(x_BTD, queries)
        x = self._residual(x_BTD, attend, self.attention_norm, kept)
        cross = self.cross_attention
        if cross is not None:
            x = self._residual(
                x,
                lambda x: cross(
                    x,
                    context_BSD,
                    context_mask,
                    cache=context_cache,
                    training=training,
                    seeds=next(seeds),
                ),
                self.cross_norm,
            )
        x = self._residual(
            x,
            lambda x: self.feed_forward(x, training=training, seeds=next(seeds)),
            self.feed_forward_norm,
        )
        return x if cache is None else (x, held[0])

    def keys_values(self, context_BSD: Tensor) -> Any:
        """A context's keys and values, for `call(..., context_cache=)`."""
        assert self.cross_attention is not None
        return self.cross_attention.keys_values(context_BSD)

    def cross_probabilities(
        self, x_BTD: Tensor, context_BSD: Tensor, context_mask: Tensor | None = None
    ) -> Tensor:
        """The probabilities of the cross-attention, (B, N, T, S)."""
        assert self.cross_attention is not None
        x = self._residual(x_BTD, self.attention, self.attention_norm)
        x = self.cross_norm(x) if self.norm_position == "pre" else x
        return self.cross_attention.probabilities(x, context_BSD, context_mask)

    def _residual(
        self, x: Tensor, sublayer: Function, norm: Function, kept: Tensor | None = None
    ) -> Tensor:
        """Adds a sublayer; `kept` are the rows of x that the sublayer returns."""
        kept = x if kept is None else kept
        if self.norm_position == "pre":
            return kept + engine().by_rows(sublayer(norm(x)))
        return norm(kept + engine().by_rows(sublayer(x)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape


def rematerialised(
    block: TransformerBlock,
    x: Tensor,
    attention_mask: Tensor | None = None,
    positions: Tensor | None = None,
    context: Tensor | None = None,
    context_mask: Tensor | None = None,
) -> Any:
    """Runs a block in training with rematerialisation.

    Activations are recomputed in the backward pass instead of stored: less memory for
    more time (Chen et al. 2016).
    """
    # Drawn outside: otherwise the second run would draw other seeds, and JAX's
    # generators would leak out of the recomputation.
    seeds = block.draw_seeds()

    def run(x: Tensor, *context: Any) -> Any:
        return block(
            x,
            *context,
            attention_mask=attention_mask,
            context_mask=context_mask,
            positions=positions,
            training=True,
            seeds=seeds,
        )

    # An argument, since TensorFlow does not backpropagate through a closure.
    return keras.remat(run)(x, *(() if context is None else (context,)))
