"""The model sizes at which training speed is compared."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A GPT's size, and the batch that one step of it reads."""

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


# nanoGPT's README gives this size for a CPU (its overhead shows here) …
NANOGPT_CPU = Shape(layers=4, heads=4, width=128, context=64, batch=12, vocab=65)
# … and this one is large enough for the matrix products to decide.
SMALL = Shape(layers=6, heads=6, width=384, context=256, batch=8, vocab=65)

SHAPES = {"nanogpt_cpu": NANOGPT_CPU, "small": SMALL}
