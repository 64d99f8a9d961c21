"""`zoo generate`."""

import math
from dataclasses import dataclass
from typing import Annotated

import tyro

from zoo.commands.arguments import Name

# New tokens of a model without a limit, where nobody says how many.
UNLIMITED = 200


@dataclass(frozen=True)
class GenerateConfig:
    """Continue a text with a language model.

        zoo generate gpt.shakespeare_char "ROMEO:" --temperature 0.8

    Attributes:
        name: a checkpoint that `zoo list` names, or a preset's folder.
        prompt: what the text begins with.
        max_new_tokens: at most so many; 0 for as many as the context takes, and for
            200 where it takes any number.
        temperature: 0 takes the most probable token each time.
        top_k: choose among so many most probable tokens only; 0 for all.
        top_p: choose among the most probable ones that sum up to this.
        stop: strings at which the text ends.
        window: a way past the context: when it is full, so many of the last tokens are
            kept, and all before them forgotten; 0 for none.
        seed: the same seed gives the same text on a backend.
    """

    name: Name
    prompt: Annotated[str, tyro.conf.Positional] = "\n"
    max_new_tokens: int = 0
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    window: int = 0
    seed: int | None = None


def run(config: GenerateConfig) -> None:
    """Prints the prompt, and the continuation as it grows."""
    import zoo
    from zoo.generation.arguments import whole
    from zoo.generation.generate import Generates

    count = whole("max_new_tokens", config.max_new_tokens, 0)
    window = whole("window", config.window, 0) or None
    model = zoo.from_preset(config.name)
    if not isinstance(model, Generates):
        raise ValueError(
            f"{config.name!r} is a {type(model).__name__}, which continues no text."
        )
    if model.tokenizer is None:
        raise ValueError(f"{config.name!r} has no tokenizer, and cannot read text.")
    if not count:
        room = model.longest - len(model.tokenizer.encode(config.prompt))
        count = UNLIMITED if room == math.inf else max(int(room), 1)
    pieces = model.generate(
        config.prompt,
        count,
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
        stop=config.stop,
        window=window,
        seed=config.seed,
        stream=True,
    )
    print(config.prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
