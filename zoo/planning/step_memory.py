"""What a GPT's training step holds besides its state: counted tensor by tensor.

The forward pass keeps what the backward pass reads. The list is that of XLA's buffer
assignment for this project's compiled step (`--xla_dump_to`, CPU, JAX 0.10); the tests
hold the sums to within 15 % of XLA's own. It is longer than the shortest possible one
(Korthikanti et al. 2022, section 4.1: 34 bytes a token and unit of width, in 16 bits,
with dropout) because a compiler keeps what it has rather than compute it again:
norms keep three tensors instead of one, a tanh GELU three instead of two.

Shapes: B rows of a micro-batch on one device, T tokens, D width, F feed-forward width,
N heads, V vocabulary; where the model axis cuts a tensor, its size is the part's.
"""

from dataclasses import dataclass
from typing import Any, Literal

Attention = Literal["plain", "flash"]

FLOAT32 = 4
# Threefry, JAX's generator, leaves two 32-bit words for every unit that may be dropped.
RANDOM_BITS = 8
# Of the hidden layer: before and after the activation, and what its derivative needs:
# tanh(...) of the approximate GELU; the error function and the Gaussian of the exact.
HIDDEN_TENSORS = {"relu": 2, "gelu_tanh": 3, "gelu": 4}

Bytes = dict[str, int]


@dataclass(frozen=True)
class Sizes:
    """What one device computes on at a time. Elements, unless it says bytes.

    Attributes:
        model: the model's configuration.
        rows: of a micro-batch, on this device.
        parts: devices among which heads and feed-forward units are divided.
        stream_parts: into which the residual stream's width is cut. Where the
            embedding is cut by its width, XLA's partitioner leaves the stream and the
            norms cut; otherwise every device holds them whole, as in Megatron-LM.
        vocabulary: scores that this device computes for each token.
        itemsize: bytes of an element in the precision of the computation.
        attention: "plain" keeps N maps of T·T a row; "flash" (Dao et al. 2022)
            recomputes them, and keeps the logarithms of the sums alone.
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
        """The residual stream, B·T·D."""
        return self.rows * self.model.context_length * self.model.width

    @property
    def stream(self) -> int:
        """A device's part of it."""
        return self.whole_stream // self.stream_parts

    @property
    def hidden(self) -> int:
        """The feed-forward's hidden layer, B·T·F, divided."""
        width = self.model.feed_forward_width or 4 * self.model.width
        return self.rows * self.model.context_length * width // self.parts

    @property
    def maps(self) -> int:
        """Every head's attention map, B·N·T·T, divided."""
        return self.logarithms * self.model.context_length

    @property
    def logarithms(self) -> int:
        """One number a head and query, B·N·T, divided."""
        heads = self.model.num_heads // self.parts
        return self.rows * self.model.context_length * heads

    @property
    def logits(self) -> int:
        """Scores, B·T·V."""
        return self.rows * self.model.context_length * self.vocabulary


def attention_tensors(s: Sizes) -> Bytes:
    """Kept by a block's attention, in bytes: norm, projections, maps."""
    heads = s.whole_stream // s.parts
    kept = {
        "attention norm: centred, normalised (float32)": 2 * s.stream * FLOAT32,
        "attention norm: output": s.stream * s.itemsize,
        "queries, keys, values": 3 * heads * s.itemsize,
        "attended values": heads * s.itemsize,
    }
    # Its kernels drop no probabilities.
    dropped = s.model.attention_dropout > 0
    if s.attention == "flash" and not dropped:
        kept["log-sum-exp of the scores (float32)"] = s.logarithms * FLOAT32
    else:
        # The softmax is float32 in every precision; XLA keeps numerators and
        # denominators, the latter at full size, beside the quotient.
        kept["exponentials and their sums (float32)"] = 2 * s.maps * FLOAT32
        kept["attention probabilities"] = s.maps * s.itemsize
        if dropped:
            kept["random bits of the probabilities' dropout"] = s.maps * RANDOM_BITS
    return kept | _stream_after("attention", s)


def feed_forward_tensors(s: Sizes) -> Bytes:
    """Kept by a block's feed-forward, in bytes."""
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
    """Bytes of the embedded tokens, and of all that the blocks keep.

    With rematerialisation that is every block's input alone (Chen et al. 2016).
    """
    dropout = s.stream * RANDOM_BITS if s.model.dropout else 0
    each = s.stream * s.itemsize if remat else block(s)
    return s.stream * s.itemsize + dropout + s.model.num_layers * each


def head(s: Sizes) -> int:
    """Bytes at the loss: the final norm's three tensors, and three of the logits.

    The logits are float32: their exponentials, the targets' one-hot rows and the
    gradient.
    """
    norm = 0
    if s.model.norm_position == "pre":
        norm = 2 * s.stream * FLOAT32 + s.stream * s.itemsize
    return norm + 3 * s.logits * FLOAT32


def block_backward(s: Sizes, remat: bool) -> int:
    """Bytes of a block at the worst moment of its backward pass, beyond what is kept.

    That is its beginning: the gradients of its output and of its hidden layer exist,
    and nothing is freed yet. Later there is less: the feed-forward's tensors are gone,
    and the gradient of the attention maps takes the place of the probabilities. With
    rematerialisation the block's own tensors come on top, except its output.
    """
    gradients = (s.hidden + s.stream) * s.itemsize
    again = block(s) - s.stream * s.itemsize if remat else 0
    return gradients + again
