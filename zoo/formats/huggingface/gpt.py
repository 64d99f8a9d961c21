"""Writes a GPT in the format of the Hugging Face model that computes the same."""

import os
from typing import Any

from zoo.formats.huggingface import decoders, gpt2
from zoo.presets import weights


def kind_of(model: Any) -> str:
    """The model type that computes what the model does.

    Raises:
        ValueError: none does; the message says what the nearest one lacks.
    """
    config = model.config
    if config.positions != "rotary":
        return "gpt2"  # whose writer says what it can't write
    kind = decoders.nearest(config)
    if wrong := decoders.refusals(model, kind):
        raise ValueError(
            f"Hugging Face's {kind}, the nearest to this model, can't compute the "
            f"same: {'; '.join(wrong)}."
        )
    return kind


def write(model: Any, directory: str | os.PathLike[str]) -> None:
    """Writes a folder that `transformers` loads.

    Learned positions are written as GPT2LMHeadModel. Rotary ones are written as
    GPT-NeoX with layer norms, and as LLaMA, Mistral, Qwen2, Qwen3, SmolLM3 or Gemma
    with RMS norms. Biases that GPT-2 and GPT-NeoX need and the model lacks are written
    as zeros.

    Args:
        model: a `zoo.GPT`.
        directory: the folder to write.

    Raises:
        ValueError: none of these computes what the model does.
    """
    kind = kind_of(model)
    if kind == "gpt2":
        return gpt2.write(model, directory)
    arrays, config = decoders.their_form(model, kind)
    texts = {"config.json": config, **gpt2.tokenizer_files(model)}
    weights.write(directory, arrays, texts, {"format": "pt"})
    return None


def their_names(model: Any) -> dict[str, list[str]]:
    """Hugging Face's names of each of our weights."""
    of_kind = gpt2 if kind_of(model) == "gpt2" else decoders
    names: dict[str, list[str]] = of_kind.their_names(model)
    return names
