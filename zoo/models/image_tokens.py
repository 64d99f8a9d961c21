"""Images as tokens: a GPT over the codes of a VQ-VAE, prompted by classes or text.

van den Oord et al. 2017, section 4.1 (a second model learns the codes' distribution);
Ramesh et al. 2021 (DALL-E: one transformer for text tokens, then image tokens).

A sequence is a prefix that says what to draw, followed by the image's codes in
row-major order. The prefix has the first token ids, and the codes those after them.

Shapes: N images, L prefix tokens, (h, w) of an image's code, K codes.
"""

import json
import os
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zoo.configs.checks import check_choice, check_count, check_fields
from zoo.engine.current import engine
from zoo.files.atomic import is_empty, replacing_files
from zoo.models.autoencoders.vqvae import VQVAE
from zoo.models.language.gpt import GPT
from zoo.presets import registry, weights
from zoo.presets.registration import register
from zoo.presets.sharing import PushToHub
from zoo.tokenizers.tokenizer import Tokenizer
from zoo.version import __version__

SETTINGS, PARTS = "config.json", ("vqvae", "gpt")


@dataclass(frozen=True)
class ImageTokensConfig:
    """What a preset records besides its two models.

    Attributes:
        prompts: "classes", given as numbers, or "text".
    """

    prompts: str = "classes"

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_fields(self)
        check_choice(self, "prompts", ("classes", "text"))


class Prefix(Protocol):
    """Encodes prompts as the tokens that precede an image's codes.

    Attributes:
        length: tokens per prompt, L.
        vocab_size: number of token ids.
    """

    length: int
    vocab_size: int

    def encode(self, prompts: Sequence[Any]) -> np.ndarray:
        """Token ids (N, L), int32, of N prompts."""


class LabelPrefix:
    """A single token: the class number."""

    length = 1

    def __init__(self, num_classes: int) -> None:
        check_count("num_classes", num_classes)
        self.vocab_size = num_classes

    def encode(self, prompts: Sequence[int]) -> np.ndarray:
        """Token ids (N, 1), int32, of N class numbers."""
        labels = np.asarray(prompts)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise ValueError(
                f"Prompts must be a list of class numbers, got {prompts!r:.80}."
            )
        if not 0 <= labels.min(initial=0) <= labels.max(initial=0) < self.vocab_size:
            raise ValueError(
                f"Classes must be from 0 to {self.vocab_size - 1}, got values from "
                f"{labels.min()} to {labels.max()}."
            )
        return labels[:, None].astype("int32")


class TextPrefix:
    """The tokens of a text, left-padded to a fixed length.

    The codes thus have the same positions after every prompt.
    """

    def __init__(self, tokenizer: Tokenizer, length: int) -> None:
        check_count("length", length)
        self.tokenizer, self.length = tokenizer, length
        self.padding = tokenizer.vocab_size
        self.vocab_size = tokenizer.vocab_size + 1

    @classmethod
    def of(cls, prompts: Sequence[str]) -> "TextPrefix":
        """A prefix with these prompts' characters, and room for the longest of them."""
        tokenizer = Tokenizer.characters("".join(prompts))
        return cls(tokenizer, max(map(len, prompts)))

    def encode(self, prompts: Sequence[str]) -> np.ndarray:
        """Token ids (N, L), int32, of N texts."""
        if isinstance(prompts, str) or not all(isinstance(p, str) for p in prompts):
            raise ValueError(f"Prompts must be a list of strings, got {prompts!r:.80}.")
        found = np.full((len(prompts), self.length), self.padding, "int32")
        for row, prompt in zip(found, prompts, strict=True):
            ids = self.tokenizer.encode(prompt)
            if not 1 <= len(ids) <= self.length:
                raise ValueError(
                    f"A prompt must have from 1 to {self.length} tokens, got "
                    f"{len(ids)}: {prompt!r}."
                )
            row[self.length - len(ids) :] = ids
        return found


def token_sizes(vqvae: VQVAE, prefix: Prefix) -> tuple[int, int]:
    """`vocab_size` and `context_length` of the GPT for this VQ-VAE and prefix."""
    height, width = vqvae.config.code_shape
    return (
        prefix.vocab_size + vqvae.config.num_codes,
        prefix.length + height * width,
    )


class ImageTokens(PushToHub):
    """Draws images with a VQ-VAE and a GPT over its codes.

    Train the GPT by its own `fit`, on what `sequences` returns.

    Args:
        vqvae: encodes images as codes and decodes them.
        gpt: has the sizes that `token_sizes` returns.
        prefix: encodes the prompts.
    """

    Config = ImageTokensConfig

    def __init__(self, vqvae: VQVAE, gpt: GPT, prefix: Prefix) -> None:
        sizes = (gpt.config.vocab_size, gpt.config.context_length)
        needed = token_sizes(vqvae, prefix)
        if sizes != needed:
            raise ValueError(
                f"gpt must have vocab_size and context_length {needed}, got {sizes}. "
                "Use GPTConfig(*token_sizes(vqvae, prefix), ...)."
            )
        self.vqvae, self.gpt, self.prefix = vqvae, gpt, prefix
        if isinstance(prefix, TextPrefix):
            gpt.tokenizer = prefix.tokenizer

    def sequences(
        self, codes: np.ndarray, prompts: Sequence[Any]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The GPT's training data: inputs, targets and weights.

        Args:
            codes: (N, h, w), from `vqvae.encode`.
            prompts: N class numbers or texts, as the prefix takes them.

        Returns:
            Three arrays (N, L + h·w - 1). Weights are 1 where the target is a code and
            0 where it belongs to the prefix.

        Raises:
            ValueError: there are not N prompts, or the codes or prompts do not fit.
        """
        self.vqvae.check_codes(codes)
        if len(codes) != len(prompts):
            raise ValueError(
                f"Each image needs one prompt, got {len(codes)} images and "
                f"{len(prompts)} prompts."
            )
        prefix = self.prefix.encode(prompts)
        numbers = codes.reshape(len(codes), -1).astype("int32")
        tokens = np.concatenate([prefix, numbers + self.prefix.vocab_size], axis=1)
        targets = tokens[:, 1:]
        weights = np.ones(targets.shape, "float32")
        weights[:, : self.prefix.length - 1] = 0
        return tokens[:, :-1], targets, weights

    def sample(
        self,
        count: Any = None,
        *,
        seed: int | None = None,
        prompts: Sequence[Any] | None = None,
        temperature: float = 1.0,
        top_k: int = 0,
        batch_size: int = 100,
    ) -> np.ndarray:
        """Draws one image per prompt.

        Args:
            count: how many images to draw, N; by default one per prompt.
            seed: the same seed gives the same images on a backend; None draws anew.
            prompts: N class numbers or texts, as the prefix takes them. Classes are
                drawn uniformly by default; texts must be given.
            temperature: of the codes; 0 takes the most probable ones.
            top_k: sample from this many most probable codes only; 0 for all.
            batch_size: images computed at once.

        Returns:
            (N, H, W, C) in [0, 1].

        Raises:
            ValueError: there are no prompts, or not `count` of them.
        """
        if count is not None and not isinstance(count, (int, np.integer)):
            warnings.warn(
                "sample is now called with prompts=; prompts by position go in 0.3.",
                DeprecationWarning,
                stacklevel=2,
            )
            count, prompts = None, count
        rng = np.random.default_rng(seed)
        prefix = self.prefix.encode(self._asked(count, prompts, rng))
        if not len(prefix):
            raise ValueError("prompts must have at least one prompt, got none.")
        height, width = self.vqvae.config.code_shape
        first = self.prefix.vocab_size
        found = []
        for start in range(0, len(prefix), batch_size):
            # Full batches, so that only one shape is compiled.
            rows = np.arange(start, start + batch_size) % len(prefix)
            rows = rows if len(prefix) > batch_size else np.arange(len(prefix))
            tokens = self.gpt.generate(
                prefix[rows],
                height * width,
                temperature=temperature,
                top_k=top_k,
                allowed=range(first, self.gpt.config.vocab_size),
                seed=int(rng.integers(2**31)),
            )
            found.append(tokens[:, self.prefix.length :] - first)
        codes = np.concatenate(found)[: len(prefix)]
        return self.vqvae.decode(codes.reshape(-1, height, width))

    def _asked(
        self,
        count: int | None,
        prompts: Sequence[Any] | None,
        rng: np.random.Generator,
    ) -> Sequence[Any]:
        """The prompts to draw images for."""
        if prompts is None and count is not None:
            check_count("count", count)
            if isinstance(self.prefix, LabelPrefix):
                return rng.integers(self.prefix.vocab_size, size=count).tolist()
        if prompts is None:
            raise ValueError("sample needs prompts, got none. Give prompts=[...].")
        if count is not None and count != len(prompts):
            raise ValueError(
                f"count must be the number of prompts, {len(prompts)}, got {count}. "
                "Leave count out."
            )
        return prompts

    # === Presets ===

    def save_to_preset(self, directory: str | os.PathLike[str]) -> None:
        """Writes a folder: the presets `vqvae/` and `gpt/`, and a small JSON file.

        The folder is replaced as a whole, so it never mixes a new model with an old
        one.

        Raises:
            ValueError: the folder exists and holds something else.
        """
        folder = Path(directory).expanduser()
        if folder.exists() and not self._replaceable(folder):
            raise ValueError(
                f"{folder} must be empty or a preset of ImageTokens, and holds "
                "something else. Choose another folder, or empty it."
            )
        settings = {
            "architecture": "ImageTokens",
            "config": asdict(self.config),
            "dtype": self.gpt.dtype_policy.name,
            "zoo_version": __version__,
        }
        is_main = engine().is_main
        gone = [f"{part}/{x}" for part in PARTS for x in weights.TOKENIZER_FILES]
        with replacing_files(folder, gone) if is_main else nullcontext(folder) as new:
            for part in PARTS:
                getattr(self, part).save_to_preset(new / part)
            if is_main:
                (new / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n")
        engine().wait()

    @staticmethod
    def _replaceable(folder: Path) -> bool:
        """Whether a folder is empty or a preset of this class."""
        if not folder.is_dir():
            return False
        if is_empty(folder):
            return True
        if (folder / SETTINGS).is_file():
            return registry.find(folder).architecture == "ImageTokens"
        return False

    @property
    def prompt_classes(self) -> int | None:
        """How many classes prompts may name by number; None if prompts are texts."""
        return None if isinstance(self.prefix, TextPrefix) else self.prefix.vocab_size

    @property
    def config(self) -> ImageTokensConfig:
        """The configuration that a preset records."""
        return ImageTokensConfig(
            "text" if isinstance(self.prefix, TextPrefix) else "classes"
        )

    @classmethod
    def from_preset(
        cls, preset: str | os.PathLike[str], *, dtype: Any = None
    ) -> "ImageTokens":
        """Loads both models from what `save_to_preset` wrote.

        Args:
            preset: a folder or a checkpoint's name.
            dtype: the precision; by default the saved one.

        Raises:
            ValueError: the preset is damaged or of another class.
        """
        with registry.opened(preset) as found:
            if found.architecture != "ImageTokens" or found.folder is None:
                raise ValueError(
                    f"{os.fspath(preset)!r} is a {found.architecture}, not a "
                    f"{cls.__name__}: use zoo.from_preset."
                )
            vqvae = VQVAE.from_preset(found.folder / "vqvae", dtype=dtype)
            gpt = GPT.from_preset(found.folder / "gpt", dtype=dtype)
        if cls.Config(**found.fields).prompts == "text":
            height, width = vqvae.config.code_shape
            length = gpt.config.context_length - height * width
            return cls(vqvae, gpt, TextPrefix(gpt.tokenizer, length))
        num_classes = gpt.config.vocab_size - vqvae.config.num_codes
        return cls(vqvae, gpt, LabelPrefix(num_classes))


register(ImageTokens, measured="requests")
