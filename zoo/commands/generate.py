"""`zoo generate`."""

import math
from dataclasses import dataclass
from typing import Annotated

import tyro

from zoo.commands.shared.arguments import Json, Name, between, text_or_input, whole

# Default number of new tokens for models without a maximum length.
UNLIMITED = 200


@dataclass(frozen=True)
class GenerateConfig:
    """Continue a text with a language model.

    For example:

        zoo generate gpt.shakespeare_char "ROMEO:" --temperature 0.8

        echo "ROMEO:" | zoo generate gpt.shakespeare_char - --json

    Attributes:
        name: a checkpoint that `zoo list` shows, or a preset's folder.
        prompt: the beginning of the text; - reads standard input, without the line
            break at its end.
        max_new_tokens: the most tokens to generate. 0: as many as fit into the
            context, or 200 if the model has no limit.
        temperature: how random the choice of tokens is. 0: always take the most
            probable token.
        top_k: sample from this many most probable tokens. 0: from all.
        top_p: sample from the fewest most probable tokens whose probabilities sum to
            at least this.
        stop: strings that end the text.
        window: continue past the context length: whenever the context is full, keep
            only this many of the last tokens. 0: stop there.
        seed: makes the text reproducible on one backend.
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
    json: Json = False


def check(config: GenerateConfig) -> None:
    """Checks the numbers, before a backend starts."""
    for name in ("max_new_tokens", "top_k", "window", "seed"):
        whole(name, getattr(config, name), 0)
    between("temperature", config.temperature, 0, math.inf)
    between("top_p", config.top_p, 0, 1, open_below=True)


def run(config: GenerateConfig) -> None:
    """Prints the prompt, then its continuation token by token."""
    import zoo
    from zoo.commands.shared.printed import show_json
    from zoo.generation.generate import Generates
    from zoo.program import waiting

    with waiting(f"loading {config.name}"):
        model = zoo.from_preset(config.name)
    if not isinstance(model, Generates):
        raise ValueError(
            f"zoo generate needs a language model, but {config.name!r} is a "
            f"{type(model).__name__}. See `zoo list`."
        )
    if model.tokenizer is None:
        raise ValueError(
            f"zoo generate needs a model with a tokenizer, but {config.name!r} has "
            "none. Set model.tokenizer and save the preset again."
        )
    prompt, count = text_or_input(config.prompt), config.max_new_tokens
    if not count:
        room = model.longest - len(model.tokenizer.encode(prompt))
        count = UNLIMITED if room == math.inf else max(int(room), 1)
    pieces = model.generate(
        prompt,
        count,
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
        stop=config.stop,
        window=config.window or None,
        seed=config.seed,
        stream=True,
    )
    if config.json:
        with waiting("generating"):
            continuation = "".join(pieces)
        show_json({"prompt": prompt, "continuation": continuation})
        return
    print(prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
