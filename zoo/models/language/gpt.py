"""GPT: a causal transformer language model.

Radford et al. 2018 (GPT-1), Radford et al. 2019 (GPT-2) and Brown et al. 2020
(GPT-3). Parameter names and numerics follow OpenAI's gpt-2 and its Hugging Face port.
What came later is a matter of options: GPT-NeoX (Black et al. 2022), PaLM (Chowdhery et
al. 2022), LLaMA (Touvron et al. 2023) and what descends from it.

Shapes: B batch, T tokens, S cached tokens, D width, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from zoo.engine.current import engine
from zoo.engine.tensors import Tensor
from zoo.layers.attention.relative import T5Bias, TransformerXLPositions
from zoo.layers.attention.rotary import Rotary
from zoo.layers.attention.transformer import TransformerBlock, rematerialised
from zoo.layers.dense import Dense
from zoo.layers.dropout import Dropout
from zoo.layers.embeddings import LearnedPositions, SinusoidalPositions, TokenEmbedding
from zoo.layers.initializers import Normal, residual
from zoo.layers.norm import token_norm
from zoo.models.language.gpt_config import GPTConfig
from zoo.models.language.gpt_sizes import PRESETS
from zoo.models.language.language_model import LanguageModel
from zoo.presets.inference import BATCH, Array, Served, Side
from zoo.presets.registration import register


@keras.saving.register_keras_serializable("zoo")
class GPT(LanguageModel):
    """A causal transformer; see `LanguageModel` for its calls and training."""

    Config = GPTConfig
    # Heads and hidden units are sharded, as in Megatron-LM (Shoeybi et al. 2019); but
    # embeddings by their width, since vocabulary sizes such as 50257 have no divisors.
    layout = (
        (r"embeddings$", (None, "model")),
        (r"(query_key_value|expand|gate|position)/kernel$", (None, "model")),
        (r"(query_key_value|expand|gate)/bias$|(content|position)_bias$", ("model",)),
        (r"(output|contract)/kernel$", ("model", None)),
        (r"head/kernel$", ("model", None)),
    )
    fusion_pays = True
    divided = ("num_heads", "key_value_heads")

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
                key_value_heads=config.num_key_value_heads,
                head_width=config.head_width,
                norm=config.norm,
                norm_position=config.norm_position,
                norm_epsilon=config.norm_epsilon,
                sublayers=config.sublayers,
                causal=True,
                rotary=self._rotary(index) or False,
                query_key_norm=config.query_key_norm,
                relative=self._relative(shared),
                window=config.window,
                sinks=config.sinks,
                use_bias=config.use_bias,
                qkv_bias=config.qkv_bias,
                output_bias=config.output_bias,
                dropout=config.dropout,
                attention_dropout=config.attention_dropout,
                activation=config.activation,
                gated=config.gated,
                output_initializer=residual(config.initial_stddev, config.num_layers),
                name=f"block_{index}",
                **shared,
            )
            for index in range(config.num_layers)
        ]
        self.final_norm = None
        if config.norm_position == "pre":
            self.final_norm = token_norm(
                config.norm,
                config.norm_epsilon,
                config.use_bias,
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

    def _rotary(self, index: int) -> Rotary | None:
        """How the block with this number rotates queries and keys."""
        rotary = self.config.rotary
        rotates = self.config.positions == "rotary" and rotary.rotates(index)
        return rotary if rotates else None

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
        positions: Any = None,
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
        if self.config.scale_embeddings:
            x = x * ops.cast(self.config.width**0.5, x.dtype)
        if self.config.positions == "rotary":
            # Once for all blocks.
            if positions is None:
                positions = ops.arange(token_ids.shape[1], dtype="int32")
            head_width = self.blocks[0].attention.head_width
            positions = self.config.rotary.turns(positions, head_width)
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
        "huggingface": "zoo.formats.huggingface.gpt",
        "keras_hub": "zoo.formats.keras_hub.writing",
    },
)
