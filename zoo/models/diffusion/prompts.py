"""What a diffusion model is asked to draw: classes or texts, checked.

Shapes: N images, L tokens.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.models.image_tokens import TextPrefix


class TakesPrompts:
    """A mixin: the conditions of a model with `num_classes` or `vocab_size`."""

    config: Any
    tokenizer: Any

    @property
    def prompt_classes(self) -> int | None:
        """How many classes prompts name by number; None for texts, 0 for no prompts."""
        return None if self.config.vocab_size else self.config.num_classes

    def tokens(self, prompts: Sequence[str]) -> np.ndarray:
        """Token ids (N, L), int32, of N texts, as `fit` takes them.

        Raises:
            ValueError: the model takes no texts or has no tokenizer, or a text is empty
                or too long.
        """
        if not self.config.vocab_size:
            raise ValueError(
                f"A {type(self).__name__} takes texts if it has vocab_size and "
                "text_length, and this one has vocab_size=0."
            )
        if self.tokenizer is None:
            raise ValueError(
                "Texts need a tokenizer: set model.tokenizer to that of the training."
            )
        return TextPrefix(self.tokenizer, self.config.text_length).encode(prompts)

    def conditions(
        self,
        count: int | None,
        labels: Any,
        prompts: Any,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        """Classes (N,) or token ids (N, L), int32; zeros (N,) for a model with neither.

        Args:
            count: how many, N; None for as many as are given.
            labels: classes (N,).
            prompts: N texts, or N classes.
            rng: draws classes where none are given; None if they must be.

        Raises:
            ValueError: they are missing, too many or too few, out of range, or the
                model takes none.
        """
        if labels is not None and prompts is not None:
            raise ValueError("Images are drawn by labels or by prompts: give one.")
        given = labels if prompts is None else prompts
        if given is None and rng is not None and count and self.config.num_classes:
            given = rng.integers(self.config.num_classes, size=count)
        if given is None and self.prompt_classes == 0:
            if count is None:
                raise ValueError("count must be given for a model without classes.")
            return np.zeros(count, "int32")
        if given is None:
            kind = "labels=[...]" if self.config.num_classes else "prompts=[...]"
            raise ValueError(f"This {type(self).__name__} must be given {kind}.")
        found = self._classes(given) if self.prompt_classes is not None else None
        if found is None:
            if prompts is None:
                raise ValueError(
                    f"labels must be None for a {type(self).__name__} of texts: give "
                    "prompts=[...]."
                )
            found = self.tokens(prompts)
        if not len(found) or count not in (None, len(found)):
            raise ValueError(
                f"There must be one label or prompt per image, {count or 'at least 1'},"
                f" got {len(found)}."
            )
        return found.astype("int32")

    def _classes(self, given: Any) -> np.ndarray:
        """Classes (N,) as an array."""
        classes = self.config.num_classes
        if not classes:
            raise ValueError(
                f"labels and prompts must be None for a {type(self).__name__} without "
                "classes (num_classes=0)."
            )
        found = np.asarray(given)
        if found.ndim != 1 or found.dtype.kind not in "iu":
            raise ValueError(
                f"Labels must be integers of shape (N,), got {found.dtype} of shape "
                f"{found.shape}."
            )
        low, high = found.min(initial=0), found.max(initial=0)
        if not 0 <= low <= high < classes:
            raise ValueError(
                f"Labels must be from 0 to {classes - 1}, got values from {low} to "
                f"{high}."
            )
        return found
