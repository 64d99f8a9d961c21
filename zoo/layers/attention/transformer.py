"""The transformer block: attention and feed-forward, each with a residual path.

Vaswani et al. 2017; gated feed-forward layers, Shazeer 2020; both in parallel, Wang &
Komatsuzaki 2021 (GPT-J), Chowdhery et al. 2022 (PaLM).

Shapes: B batch, T tokens, D width, F feed-forward width.
"""

from typing import Any

import keras

from zoo.engine.current import engine
from zoo.engine.tensors import Function, Shape, Tensor
from zoo.layers.activations import activation as get_activation
from zoo.layers.attention.multi_head import MultiHeadAttention
from zoo.layers.attention.rotary import Rotary
from zoo.layers.dense import Dense
from zoo.layers.dropout import Dropout
from zoo.layers.gather import gather
from zoo.layers.layer import Layer
from zoo.layers.norm import token_norm

NORM_POSITIONS = ("pre", "post")
SUBLAYERS = ("sequential", "parallel", "parallel_shared_norm")


@keras.saving.register_keras_serializable("zoo")
class FeedForward(Layer):
    """Two dense layers with an activation between them (Vaswani et al., section 3.3).

    Args:
        width: D.
        hidden_width: F.
        activation: a name or a function.
        gated: whether the activation's output is multiplied with a second projection of
            the input: SwiGLU with "silu", GeGLU with "gelu" (Shazeer 2020).
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
        gated: bool = False,
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
        self.gate = None
        if gated:
            self.gate = Dense(
                hidden_width, name="gate", kernel_initializer=initializer, **make
            )
        self.contract = Dense(
            width,
            name="contract",
            kernel_initializer=output_initializer or initializer,
            **make,
        )
        self.dropout = Dropout(dropout, name="dropout", dtype=self.dtype_policy)

    def build(self, input_shape: Shape) -> None:
        """Creates the projections."""
        self.expand.build((None, None, self.width))
        if self.gate is not None:
            self.gate.build((None, None, self.width))
        self.contract.build((None, None, self.hidden_width))

    def call(
        self, x_BTD: Tensor, training: bool = False, seeds: Any = (None,)
    ) -> Tensor:
        """Maps (B, T, D) to (B, T, D)."""
        x_BTF = self.expand(x_BTD)
        if self.gate is None:
            x_BTF = self.activation(x_BTF)
        else:
            x_BTF = self.activation(self.gate(x_BTD)) * x_BTF
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
        norm: "layer" or "rms".
        norm_position: "pre" or "post".
        norm_epsilon: added to the norms' variance.
        sublayers: "sequential"; or "parallel", where the feed-forward layer reads the
            block's input and not attention's output (GPT-NeoX), or
            "parallel_shared_norm", the same with one norm for both (GPT-J, PaLM).

    Raises:
        ValueError: a name is unknown, or the arguments contradict each other.
    """

    def __init__(
        self,
        num_heads: int,
        width: int,
        hidden_width: int,
        *,
        key_value_heads: int = 0,
        head_width: int = 0,
        norm: str = "layer",
        norm_position: str = "pre",
        norm_epsilon: float = 1e-5,
        sublayers: str = "sequential",
        causal: bool = False,
        cross: bool = False,
        rotary: Rotary | bool = False,
        query_key_norm: bool = False,
        relative: keras.layers.Layer | None = None,
        window: int = 0,
        sinks: int = 0,
        use_bias: bool = True,
        qkv_bias: bool | None = None,
        output_bias: bool | None = None,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        activation: Any = "relu",
        gated: bool = False,
        initializer: Any = "glorot_uniform",
        output_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if norm_position not in NORM_POSITIONS:
            raise ValueError(
                f"norm_position must be one of {NORM_POSITIONS}, got {norm_position!r}."
            )
        if sublayers not in SUBLAYERS:
            raise ValueError(
                f"sublayers must be one of {SUBLAYERS}, got {sublayers!r}."
            )
        if sublayers != "sequential" and (norm_position == "post" or cross):
            raise ValueError(
                f"sublayers={sublayers!r} needs norm_position='pre' and cross=False, "
                f"got norm_position={norm_position!r}, cross={cross}."
            )
        self.norm_position, self.width, self.sublayers = norm_position, width, sublayers
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
            key_value_heads=key_value_heads,
            head_width=head_width,
            causal=causal,
            rotary=rotary,
            query_key_norm=query_key_norm,
            norm_epsilon=norm_epsilon,
            relative=relative,
            window=window,
            sinks=sinks,
            qkv_bias=qkv_bias,
            output_bias=output_bias,
            attention_dropout=attention_dropout,
            name="attention",
            **common,
        )

        def make_norm(name: str) -> keras.Layer:
            policy = self.dtype_policy
            return token_norm(norm, norm_epsilon, use_bias, name=name, dtype=policy)

        self.attention_norm = make_norm("attention_norm")
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
            self.cross_norm = make_norm("cross_norm")
        self.feed_forward = FeedForward(
            width,
            hidden_width,
            activation=activation,
            gated=gated,
            name="feed_forward",
            **common,
        )
        self.feed_forward_norm = None
        if sublayers != "parallel_shared_norm":
            self.feed_forward_norm = make_norm("feed_forward_norm")

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
        positions: Any = None,
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
        if self.sublayers != "sequential":
            x = self._parallel(x_BTD, attend, kept, training, seeds)
            return x if cache is None else (x, held[0])
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
        assert self.feed_forward_norm is not None
        x = self._residual(
            x,
            lambda x: self.feed_forward(x, training=training, seeds=next(seeds)),
            self.feed_forward_norm,
        )
        return x if cache is None else (x, held[0])

    def _parallel(
        self, x: Tensor, attend: Function, kept: Tensor, training: bool, seeds: Any
    ) -> Tensor:
        """Adds attention and feed-forward, which both read the block's input."""
        normed = self.attention_norm(x)
        attended = attend(normed)
        if self.feed_forward_norm is not None:
            normed = self.feed_forward_norm(kept)
        elif kept is not x:
            normed = self.attention_norm(kept)
        fed = self.feed_forward(normed, training=training, seeds=next(seeds))
        return kept + engine().by_rows(attended + fed)

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
    positions: Any = None,
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
