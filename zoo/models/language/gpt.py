"""GPT: a causal transformer language model.

Radford et al. 2018 (GPT-1), Radford et al. 2019 (GPT-2) and Brown et al. 2020
(GPT-3). Parameter names and numerics follow OpenAI's gpt-2 and its Hugging Face port.

Shapes: B batch, T tokens, S cached tokens, D width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from zoo.configs.checks import check_choice, check_fields, check_rate, check_whole
from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.layers.activations import ACTIVATIONS
from zoo.layers.attention.multi_head import check_heads
from zoo.layers.attention.relative import T5Bias, TransformerXLPositions
from zoo.layers.attention.transformer import (
    NORM_POSITIONS,
    TransformerBlock,
    rematerialised,
)
from zoo.layers.dense import Dense
from zoo.layers.dropout import Dropout
from zoo.layers.embeddings import LearnedPositions, SinusoidalPositions, TokenEmbedding
from zoo.layers.initializers import Normal, residual
from zoo.layers.norm import LayerNorm
from zoo.models.language.language_model import LanguageModel
from zoo.presets.inference import BATCH, Array, Served, Side
from zoo.presets.registration import register

POSITIONS = ("learned", "sinusoidal", "rotary", "t5_bias", "transformer_xl")


@dataclass(frozen=True)
class GPTConfig:
    """Configuration of a GPT.

    Attributes:
        vocab_size: number of token ids, V.
        context_length: maximum number of tokens.
        num_layers: number of transformer blocks.
        num_heads: attention heads; must divide `width`.
        width: width of the residual stream, D.
        feed_forward_width: width of the hidden layer; 0 means 4·width.
        dropout: dropout rate after embeddings, attention and feed-forward.
        attention_dropout: dropout rate of attention probabilities, as in GPT-2. At 0,
            attention uses a fused kernel, which is faster and takes less memory.
        use_bias: whether dense layers and norms have biases.
        activation: "gelu_tanh" (GPT-2), "gelu" or "relu".
        norm_position: "pre" (GPT-2) or "post" (GPT-1).
        norm_epsilon: constant added to the variance in norms.
        positions: absolute positions, "learned", "sinusoidal" or "rotary"; or relative
            ones, "t5_bias" (Raffel et al. 2020) or "transformer_xl" (Dai et al. 2019).
        window: each token attends to itself and the `window` - 1 tokens before it; 0
            for all of them.
        tie_embeddings: whether the output head shares the token embedding.
        initial_stddev: standard deviation of all initial matrices; those that write to
            the residual stream use this value / sqrt(2·layers).
        remat: whether to recompute blocks in the backward pass instead of keeping
            their activations.
    """

    vocab_size: int
    context_length: int
    num_layers: int
    num_heads: int
    width: int
    feed_forward_width: int = 0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    use_bias: bool = True
    activation: str = "gelu_tanh"
    norm_position: str = "pre"
    norm_epsilon: float = 1e-5
    positions: str = "learned"
    window: int = 0
    tie_embeddings: bool = True
    initial_stddev: float = 0.02
    remat: bool = False

    def __post_init__(self) -> None:
        """Validates the fields."""
        sizes = ("vocab_size", "context_length", "num_layers", "num_heads", "width")
        check_whole(self, *sizes)
        check_whole(self, "feed_forward_width", "window", least=0)
        check_fields(self)
        check_heads(self.width, self.num_heads)
        check_choice(self, "activation", tuple(ACTIVATIONS))
        check_choice(self, "norm_position", NORM_POSITIONS)
        check_choice(self, "positions", POSITIONS)
        check_rate(self, "dropout")
        check_rate(self, "attention_dropout")
        if self.positions == "rotary" and self.width // self.num_heads % 2:
            raise ValueError(
                "width / num_heads must be even for rotary positions, which rotate "
                f"pairs, got width={self.width}, num_heads={self.num_heads}."
            )


def _gpt2(num_layers: int, num_heads: int, width: int) -> GPTConfig:
    return GPTConfig(50257, 1024, num_layers, num_heads, width)


def _gpt3(num_layers: int, num_heads: int, width: int) -> GPTConfig:
    return GPTConfig(50257, 2048, num_layers, num_heads, width)


PRESETS: dict[str, GPTConfig] = {
    "gpt1": GPTConfig(40478, 512, 12, 12, 768, norm_position="post"),
    "gpt2": _gpt2(12, 12, 768),
    "gpt2_medium": _gpt2(24, 16, 1024),
    "gpt2_large": _gpt2(36, 20, 1280),
    "gpt2_xl": _gpt2(48, 25, 1600),
    # Brown et al. 2020, table 2.1. Two rows can't be built as printed: XL's 24 heads of
    # width 128 do not add up to its width of 2048 (16 do), and 13B's width of 5140 is
    # not a multiple of its 40 heads (5120, 40 heads of width 128, is).
    "gpt3_125m": _gpt3(12, 12, 768),
    "gpt3_350m": _gpt3(24, 16, 1024),
    "gpt3_760m": _gpt3(24, 16, 1536),
    "gpt3_1_3b": _gpt3(24, 16, 2048),
    "gpt3_2_7b": _gpt3(32, 32, 2560),
    "gpt3_6_7b": _gpt3(32, 32, 4096),
    "gpt3_13b": _gpt3(40, 40, 5120),
    "gpt3_175b": _gpt3(96, 96, 12288),
}

GPT3_LEARNING_RATES = {
    "gpt3_125m": 6.0e-4,
    "gpt3_350m": 3.0e-4,
    "gpt3_760m": 2.5e-4,
    "gpt3_1_3b": 2.0e-4,
    "gpt3_2_7b": 1.6e-4,
    "gpt3_6_7b": 1.2e-4,
    "gpt3_13b": 1.0e-4,
    "gpt3_175b": 0.6e-4,
}


@keras.saving.register_keras_serializable("zoo")
class GPT(LanguageModel):
    """A causal transformer; see `LanguageModel` for its calls and training."""

    Config = GPTConfig
    # Heads and hidden units are sharded, as in Megatron-LM (Shoeybi et al. 2019); but
    # embeddings by their width, since vocabulary sizes such as 50257 have no divisors.
    layout = (
        (r"embeddings$", (None, "model")),
        (r"(query_key_value|expand|position)/kernel$", (None, "model")),
        (r"(query_key_value|expand)/bias$|(content|position)_bias$", ("model",)),
        (r"(output|contract)/kernel$", ("model", None)),
        (r"head/kernel$", ("model", None)),
    )
    fusion_pays = True
    divided = ("num_heads",)

    def __init__(self, config: GPTConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        initializer = Normal(config.initial_stddev)
        shared = {"initializer": initializer, "dtype": self.dtype_policy}
        self.token_embedding = TokenEmbedding(
            config.vocab_size, config.width, name="token_embedding", **shared
        )
        self.positions = None
        if config.positions == "learned":
            self.positions = LearnedPositions(
                config.context_length, config.width, name="positions", **shared
            )
        elif config.positions == "sinusoidal":
            self.positions = SinusoidalPositions(
                config.context_length,
                config.width,
                name="positions",
                dtype=self.dtype_policy,
            )
        self.relative = None
        if config.positions == "t5_bias":
            self.relative = T5Bias(
                config.num_heads, causal=True, name="relative_positions", **shared
            )
        self.dropout = Dropout(config.dropout, name="dropout", dtype=self.dtype_policy)
        self.blocks = [
            TransformerBlock(
                config.num_heads,
                config.width,
                config.feed_forward_width or 4 * config.width,
                norm_position=config.norm_position,
                norm_epsilon=config.norm_epsilon,
                causal=True,
                rotary=config.positions == "rotary",
                relative=self._relative(shared),
                window=config.window,
                use_bias=config.use_bias,
                dropout=config.dropout,
                attention_dropout=config.attention_dropout,
                activation=config.activation,
                output_initializer=residual(config.initial_stddev, config.num_layers),
                name=f"block_{index}",
                **shared,
            )
            for index in range(config.num_layers)
        ]
        self.final_norm = None
        if config.norm_position == "pre":
            self.final_norm = LayerNorm(
                epsilon=config.norm_epsilon,
                center=config.use_bias,
                name="final_norm",
                dtype=self.dtype_policy,
            )
        self.head = None
        if not config.tie_embeddings:
            self.head = Dense(
                config.vocab_size,
                use_bias=False,
                kernel_initializer=initializer,
                name="head",
                dtype=self.dtype_policy,
            )
        self.build()

    def _relative(self, shared: dict) -> keras.Layer | None:
        """A block's own relative positions, or T5's, which all blocks share."""
        if self.config.positions != "transformer_xl":
            return self.relative
        return TransformerXLPositions(
            self.config.num_heads,
            self.config.width,
            causal=True,
            name="relative",
            **shared,
        )

    def stack(self) -> list[list[keras.Layer]]:
        """Layers by depth: embeddings, then each block; the last has the final norm."""
        layers = self._flatten_layers(include_self=False, recursive=False)
        others = (*self.blocks, self.final_norm, self.head)
        embeddings = [layer for layer in layers if layer not in others]
        top = [] if self.final_norm is None else [self.final_norm]
        below = [[block] for block in self.blocks[:-1]]
        return [embeddings, *below, [self.blocks[-1], *top]]

    def hidden(
        self,
        token_ids: Tensor,
        positions: Tensor | None = None,
        attention_mask: Tensor | None = None,
        caches: Sequence[Any] | None = None,
        index: Any = None,
        training: bool = False,
    ) -> Any:
        """The residual stream (B, T, D) after the last block and the final norm.

        There is one cache per block; caches need the mask and `index`. For arguments
        see `LanguageModel.hidden`.
        """
        self.check_length(token_ids.shape[1])
        x = self.token_embedding(token_ids)
        if self.positions is not None:
            x = self.positions(x, positions)
        x = self.dropout(engine().by_rows(x), training=training)
        new_caches = []
        for number, block in enumerate(self.blocks):
            if caches is not None:
                x, cache = block(
                    x,
                    attention_mask=attention_mask,
                    positions=positions,
                    cache=caches[number],
                    index=index,
                )
                new_caches.append(cache)
            elif self.config.remat and training:
                x = rematerialised(block, x, attention_mask, positions)
            else:
                x = block(
                    x,
                    attention_mask=attention_mask,
                    positions=positions,
                    training=training,
                )
        if self.final_norm is not None:
            x = self.final_norm(x)
        return x if caches is None else (x, new_caches)

    def empty_caches(self, batch: int, length: int) -> list:
        """Empty keys and values, one pair per block, with room for `length` tokens."""
        return [block.attention.empty_cache(batch, length) for block in self.blocks]


def served_logits(model: Any) -> Served:
    """Exports logits (B, T, V) of token ids (B, T)."""
    config = model.config
    # Windows and relative positions are laid out for a fixed length.
    fixed = config.window or config.positions in ("t5_bias", "transformer_xl")
    length = config.context_length
    tokens = length if fixed else Side("tokens", length)
    return Served(
        model,
        lambda inputs: [model(inputs["token_ids"], training=False)],
        [Array("token_ids", (BATCH, tokens), "ids", config.vocab_size)],
        ["logits"],
    )


register(
    GPT,
    presets=PRESETS,
    measured="text",
    served=served_logits,
    formats={
        "huggingface": "zoo.formats.huggingface.gpt2",
        "keras_hub": "zoo.formats.keras_hub.writing",
    },
)
