"""What a model can be asked for: one signature per request, in all families.

A family has the methods that make sense for it, and `isinstance(model, Samples)` says
whether it has them. Its own options are keyword-only and have defaults.

Shapes: N examples, T tokens, (H, W, C) of an image.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

# The names of options that some families add to `Samples.sample`.
SAMPLE_OPTIONS = (
    *("labels", "prompts", "temperature", "top_k", "batch_size"),
    *("steps", "solver", "guidance"),
)


@runtime_checkable
class Samples(Protocol):
    """Draws new data."""

    def sample(self, count: int, *, seed: int | None = None) -> np.ndarray:
        """New data (N, ...), such as images (N, H, W, C).

        Families that can be told what to draw take `labels` (N,) of classes or
        `prompts`, N class numbers or texts; where the data are drawn token by token,
        they take `temperature` and `top_k` too; where noise is carried to data,
        `steps`, `solver` and `guidance`.

        Args:
            count: how many to draw, N.
            seed: the same seed gives the same data on a backend; None draws anew.
        """
        ...


@runtime_checkable
class DrawsPrompts(Protocol):
    """Draws what prompts ask for: `sample` takes `prompts`.

    Attributes:
        prompt_classes: prompts are class numbers, from 0 to this, exclusive; None if
            they are texts, 0 if the model takes none.
    """

    @property
    def prompt_classes(self) -> int | None: ...


@runtime_checkable
class Reconstructs(Protocol):
    """Encodes images and decodes them again."""

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Images (N, H, W, C) as decoded from their own codes.

        Args:
            images: (N, H, W, C) in [0, 1].
        """
        ...


@runtime_checkable
class TranslatesImages(Protocol):
    """Turns images of one domain into images of another.

    Texts are translated by `generate`; see `zoo.generation.translate`.
    """

    def translate(
        self,
        images: np.ndarray | Sequence[np.ndarray],
        *,
        tile: int | None = None,
        overlap: int = 64,
    ) -> Any:
        """Images as they would look in the other domain, in the form of `images`.

        Args:
            images: in [0, 1], of shape (N, H, W, C); or a sequence of (H, W, C), each
                of its own size.
            tile: the longest side in pixels computed at once; None for no limit.
            overlap: of neighbouring tiles, in pixels.
        """
        ...


@runtime_checkable
class Scores(Protocol):
    """Scores texts: how probable each token is, given what precedes it."""

    def score(self, texts: Any, prompt: Any = None) -> Any:
        """Log-probabilities in nats, one array per text.

        Args:
            texts: a string, token ids (T,), or a list of either.
            prompt: what precedes the texts; one for all of them, or one per text.
        """
        ...


class ScoresPairs(Protocol):
    """Scores targets given sources, as in translation."""

    def score(self, sources: Any, targets: Any, batch_size: int = 64) -> Any:
        """Log-probabilities in nats, one array per target.

        Args:
            sources: a string, token ids (T,), or a list of either.
            targets: one per source.
            batch_size: pairs computed at once.
        """
        ...
