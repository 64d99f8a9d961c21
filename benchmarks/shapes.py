"""Model sizes for comparing training speed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The size of a GPT and of one step's batch."""

    layers: int
    heads: int
    width: int
    context: int
    batch: int
    vocab: int
    bias: bool = False  # in linear maps and layer norms

    @property
    def head_dim(self) -> int:
        return self.width // self.heads

    @property
    def tokens_per_step(self) -> int:
        return self.batch * self.context


# nanoGPT's README suggests this size for a CPU; overhead is visible.
NANOGPT_CPU = Shape(layers=4, heads=4, width=128, context=64, batch=12, vocab=65)
# Large enough for matrix products to dominate.
SMALL = Shape(layers=6, heads=6, width=384, context=256, batch=8, vocab=65)

SHAPES = {"nanogpt_cpu": NANOGPT_CPU, "small": SMALL}
