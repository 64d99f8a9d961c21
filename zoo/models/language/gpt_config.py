"""The configuration of a GPT, and of the decoders that followed it."""

from dataclasses import dataclass

from zoo.configs.checks import check_choice, check_fields, check_rate, check_whole
from zoo.layers.activations import ACTIVATIONS
from zoo.layers.attention.grouped import check_groups
from zoo.layers.attention.multi_head import check_heads
from zoo.layers.attention.rotary import Rotary
from zoo.layers.attention.transformer import NORM_POSITIONS, SUBLAYERS
from zoo.layers.norm import NORMS

POSITIONS = ("learned", "sinusoidal", "rotary", "t5_bias", "transformer_xl")


@dataclass(frozen=True)
class GPTConfig:
    """Configuration of a GPT.

    Attributes:
        vocab_size: number of token ids, V.
        context_length: maximum number of tokens.
        num_layers: number of transformer blocks.
        num_heads: attention heads; must divide `width` unless `head_width` is given.
        width: width of the residual stream, D.
        num_key_value_heads: heads of keys and values, each shared by equally many of
            queries (grouped-query attention); 0 for `num_heads`.
        head_width: width of a head; 0 for width / num_heads.
        feed_forward_width: width of the hidden layer; 0 means 4·width.
        dropout: dropout rate after embeddings, attention and feed-forward.
        attention_dropout: dropout rate of attention probabilities, as in GPT-2. At 0,
            attention uses a fused kernel, which is faster and takes less memory.
        use_bias: whether dense layers and norms have biases.
        qkv_bias: whether the projections to queries, keys and values have, as in Qwen2;
            None for `use_bias`.
        output_bias: whether attention's output projection has; None for `use_bias`.
        activation: "gelu_tanh" (GPT-2), "gelu", "relu" or "silu" (LLaMA).
        gated: whether the feed-forward layers are gated: SwiGLU with "silu" (LLaMA),
            GeGLU with "gelu" (Shazeer 2020).
        norm: "layer" (GPT-2) or "rms" (LLaMA).
        norm_position: "pre" (GPT-2) or "post" (GPT-1).
        norm_epsilon: constant added to the variance in norms.
        query_key_norm: whether queries and keys go through an RMS norm, as in Qwen3.
        sublayers: "sequential"; "parallel", where attention and feed-forward layer read
            the same input, each through its own norm (GPT-NeoX); or
            "parallel_shared_norm" (GPT-J, PaLM).
        positions: absolute positions, "learned", "sinusoidal" or "rotary"; or relative
            ones, "t5_bias" (Raffel et al. 2020) or "transformer_xl" (Dai et al. 2019).
        rotary: how "rotary" positions rotate: base, share of a head, order of the
            pairs, scaling to longer texts; a `zoo.layers.Rotary` or a dict of its
            fields.
        window: each token attends to itself and the `window` - 1 tokens before it; 0
            for all of them.
        sinks: how many of the first tokens are seen from outside the window too.
        tie_embeddings: whether the output head shares the token embedding.
        scale_embeddings: whether token embeddings are multiplied by sqrt(width)
            (Gemma).
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
    num_key_value_heads: int = 0
    head_width: int = 0
    qkv_bias: bool | None = None
    output_bias: bool | None = None
    gated: bool = False
    norm: str = "layer"
    query_key_norm: bool = False
    sublayers: str = "sequential"
    rotary: Rotary = Rotary()
    sinks: int = 0
    scale_embeddings: bool = False

    def __post_init__(self) -> None:
        """Validates the fields."""
        sizes = ("vocab_size", "context_length", "num_layers", "num_heads", "width")
        check_whole(self, *sizes)
        counts = ("feed_forward_width", "window", "num_key_value_heads", "head_width")
        check_whole(self, *counts, "sinks", least=0)
        check_fields(self)
        if not self.head_width:
            check_heads(self.width, self.num_heads)
        check_groups(self.num_heads, self.key_value_heads)
        check_choice(self, "activation", tuple(ACTIVATIONS))
        check_choice(self, "norm", NORMS)
        check_choice(self, "norm_position", NORM_POSITIONS)
        check_choice(self, "sublayers", SUBLAYERS)
        check_choice(self, "positions", POSITIONS)
        check_rate(self, "dropout")
        check_rate(self, "attention_dropout")
        if self.sublayers != "sequential" and self.norm_position == "post":
            raise ValueError(
                f"sublayers={self.sublayers!r} needs norm_position='pre', got 'post'."
            )
        if self.sinks and not self.window:
            raise ValueError(
                f"sinks={self.sinks} needs a window; without one all tokens are seen."
            )
        if self.positions == "rotary":
            if not self.head_width and self.width // self.num_heads % 2:
                raise ValueError(
                    "width / num_heads must be even for rotary positions, which rotate "
                    f"pairs, got width={self.width}, num_heads={self.num_heads}."
                )
            self.rotary.width(self.head_width or self.width // self.num_heads)
        elif self.rotary != Rotary():
            raise ValueError(
                "rotary says how positions='rotary' rotate, got "
                f"positions={self.positions!r}. Leave it out."
            )

    @property
    def key_value_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_key_value_heads or self.num_heads
