"""The memory of a GPT's training step besides its state, counted tensor by tensor.

The forward pass keeps what the backward pass reads. The tensors are those of XLA's
buffer assignment for this project's compiled step (`--xla_dump_to`, CPU, JAX 0.10); the
tests hold the sums to within 15 % of XLA's own. They exceed the minimum (Korthikanti et
al. 2022, section 4.1: 34 bytes per token and unit of width, in 16 bits, with dropout)
because a compiler keeps intermediate results rather than recompute them: norms keep
three tensors instead of one, a tanh GELU three instead of two.

Shapes: B rows of a micro-batch on one device, T tokens, D width, F feed-forward width,
N heads, V vocabulary. Tensors that the model axis shards count with their local size.
"""

from dataclasses import dataclass
from typing import Any, Literal

Attention = Literal["plain", "flash"]

FLOAT32 = 4
# Threefry, JAX's generator, keeps two 32-bit words for each unit that may be dropped.
RANDOM_BITS = 8
# Tensors kept of the hidden layer: before and after the activation, and those of its
# derivative: tanh(...) for the approximate GELU, the error function and the Gaussian
# for the exact one.
HIDDEN_TENSORS = {"relu": 2, "gelu_tanh": 3, "gelu": 4}

Bytes = dict[str, int]


@dataclass(frozen=True)
class Sizes:
    """Sizes of one device's tensors, in elements unless stated otherwise.

    Attributes:
        model: the model's configuration.
        rows: rows of a micro-batch on this device.
        parts: devices that share the heads and feed-forward units.
        stream_parts: shards of the residual stream's width. If the embedding is
            sharded by its width, XLA's partitioner leaves the stream and the norms
            sharded; otherwise every device holds them whole, as in Megatron-LM.
        vocabulary: logits that this device computes per token.
        itemsize: bytes per element in the precision of the computation.
        attention: "plain" keeps N maps of T·T per row; "flash" (Dao et al. 2022)
            recomputes them and keeps only the log-sum-exps.
    """

    model: Any
    rows: int
    parts: int
    stream_parts: int
    vocabulary: int
    itemsize: int
    attention: Attention

    @property
    def whole_stream(self) -> int:
        """Elements of the residual stream, B·T·D."""
        return self.rows * self.model.context_length * self.model.width

    @property
    def stream(self) -> int:
        """Elements of this device's shard of the residual stream."""
        return self.whole_stream // self.stream_parts

    @property
    def hidden(self) -> int:
        """Elements of the feed-forward's hidden layer, B·T·F over the parts."""
        width = self.model.feed_forward_width or 4 * self.model.width
        return self.rows * self.model.context_length * width // self.parts

    @property
    def maps(self) -> int:
        """Elements of all attention maps, B·N·T·T over the parts."""
        return self.logarithms * self.model.context_length

    @property
    def logarithms(self) -> int:
        """One number per head and query, B·N·T over the parts."""
        heads = self.model.num_heads // self.parts
        return self.rows * self.model.context_length * heads

    @property
    def logits(self) -> int:
        """Elements of the logits, B·T·V."""
        return self.rows * self.model.context_length * self.vocabulary


def attention_tensors(s: Sizes) -> Bytes:
    """Bytes that a block's attention keeps, by tensor: norm, projections, maps."""
    heads = s.whole_stream // s.parts
    kept = {
        "attention norm: centred, normalised (float32)": 2 * s.stream * FLOAT32,
        "attention norm: output": s.stream * s.itemsize,
        "queries, keys, values": 3 * heads * s.itemsize,
        "attended values": heads * s.itemsize,
    }
    # Flash kernels do not support dropout of the probabilities.
    dropped = s.model.attention_dropout > 0
    if s.attention == "flash" and not dropped:
        kept["log-sum-exp of the scores (float32)"] = s.logarithms * FLOAT32
    else:
        # The softmax is float32 in every precision. XLA keeps numerators and
        # denominators, the latter broadcast to full size, besides the quotient.
        kept["exponentials and their sums (float32)"] = 2 * s.maps * FLOAT32
        kept["attention probabilities"] = s.maps * s.itemsize
        if dropped:
            kept["random bits of the probabilities' dropout"] = s.maps * RANDOM_BITS
    return kept | _stream_after("attention", s)


def feed_forward_tensors(s: Sizes) -> Bytes:
    """Bytes that a block's feed-forward keeps, by tensor."""
    copies = HIDDEN_TENSORS[s.model.activation]
    return {
        "feed-forward norm: centred, normalised (float32)": 2 * s.stream * FLOAT32,
        "feed-forward norm: output": s.stream * s.itemsize,
        f"feed-forward hidden layer, {copies} tensors": copies * s.hidden * s.itemsize,
    } | _stream_after("feed-forward", s)


def _stream_after(sublayer: str, s: Sizes) -> Bytes:
    kept = {f"residual stream after the {sublayer}": s.stream * s.itemsize}
    if s.model.dropout:
        kept[f"random bits of the {sublayer}'s dropout"] = s.stream * RANDOM_BITS
    return kept


def block(s: Sizes) -> int:
    """Bytes that one block keeps for the backward pass."""
    return sum((attention_tensors(s) | feed_forward_tensors(s)).values())


def between_blocks(s: Sizes, remat: bool) -> int:
    """Bytes of the embedded tokens and of everything that the blocks keep.

    With rematerialisation, blocks keep their inputs only (Chen et al. 2016).
    """
    dropout = s.stream * RANDOM_BITS if s.model.dropout else 0
    each = s.stream * s.itemsize if remat else block(s)
    return s.stream * s.itemsize + dropout + s.model.num_layers * each


def head(s: Sizes) -> int:
    """Bytes at the loss: the final norm's three tensors and three of the logits' size.

    The latter are float32: the logits' exponentials, the one-hot targets and the
    gradient.
    """
    norm = 0
    if s.model.norm_position == "pre":
        norm = 2 * s.stream * FLOAT32 + s.stream * s.itemsize
    return norm + 3 * s.logits * FLOAT32


def block_backward(s: Sizes, remat: bool) -> int:
    """Bytes that a block's backward pass needs at its peak, beyond what is kept.

    The peak is at its beginning: the gradients of the output and of the hidden layer
    exist, and nothing has been freed. Later it needs less: the feed-forward's tensors
    are gone, and the gradient of the attention maps replaces the probabilities.
    Rematerialisation adds the block's own tensors, except its output.
    """
    gradients = (s.hidden + s.stream) * s.itemsize
    again = block(s) - s.stream * s.itemsize if remat else 0
    return gradients + again
