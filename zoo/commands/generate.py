"""`zoo generate`."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from zoo.commands.arguments import Name


@dataclass(frozen=True)
class GenerateConfig:
    """Continue a text with a language model.

        zoo generate gpt.shakespeare_char "ROMEO:" --temperature 0.8

    Attributes:
        name: a checkpoint that `zoo list` names, or a preset's folder.
        prompt: what the text begins with.
        max_new_tokens: at most so many; 0 for as many as the context takes.
        temperature: 0 takes the most probable token each time.
        top_k: choose among so many most probable tokens only; 0 for all.
        top_p: choose among the most probable ones that sum up to this.
        seed: the same seed gives the same text on a backend.
    """

    name: Name
    prompt: Annotated[str, tyro.conf.Positional] = "\n"
    max_new_tokens: int = 0
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 1.0
    seed: int | None = None


def run(config: GenerateConfig) -> None:
    """Prints the prompt, and the continuation as it grows."""
    import zoo
    from zoo.generation.generate import Generates

    model = zoo.from_preset(config.name)
    if not isinstance(model, Generates):
        raise ValueError(
            f"{config.name!r} is a {type(model).__name__}, which continues no text."
        )
    if model.tokenizer is None:
        raise ValueError(f"{config.name!r} has no tokenizer, and cannot read text.")
    room = model.config.context_length - len(model.tokenizer.encode(config.prompt))
    pieces = model.generate(
        config.prompt,
        config.max_new_tokens or max(room, 1),
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
        seed=config.seed,
        stream=True,
    )
    print(config.prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
