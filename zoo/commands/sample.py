"""`zoo sample`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.commands.shared.arguments import (
    Json,
    Name,
    between,
    not_both,
    whole,
    writable_file,
)


@dataclass(frozen=True)
class SampleConfig:
    """Sample pictures from a model into a PNG file.

        zoo sample dcgan.mnist --count 64 --out digits.png

        zoo sample vqvae.mnist --prompts 3 1 4 --out pi.png

    Attributes:
        name: a checkpoint from `zoo list`, or a preset's folder.
        count: number of pictures; with prompts, there is one per prompt.
        out: the PNG file; - for standard output.
        seed: the same seed gives the same pictures on a backend.
        prompts: class numbers or texts, for a model that takes them.
        temperature: sampling temperature, for a model that draws tokens; 0.8 if it is
            not given.
        steps: steps of the solver, for a diffusion model.
        guidance: how far a diffusion model follows the prompts; 1 is its own estimate.
    """

    name: Name
    count: int = 64
    out: Path = Path("samples.png")
    seed: int = 0
    prompts: tuple[str, ...] = ()
    temperature: float | None = None
    steps: int | None = None
    guidance: float | None = None
    json: Json = False


TEMPERATURE = 0.8


def check(config: SampleConfig) -> None:
    """Checks the numbers and the file, before a backend starts."""
    whole("count", config.count, 1)
    whole("seed", config.seed, 0)
    if config.temperature is not None:
        between("temperature", config.temperature, 0, math.inf)
    if config.steps is not None:
        whole("steps", config.steps, 1)
    if config.guidance is not None:
        between("guidance", config.guidance, 0, math.inf)
    not_both(config, config.out)
    writable_file(config.out)


def run(config: SampleConfig) -> None:
    """Samples, writes the file and prints its name."""
    import numpy as np

    import zoo
    from zoo.commands.shared.arguments import STANDARD, file_or_output
    from zoo.commands.shared.printed import show_json
    from zoo.evaluation.images.pictures import image_grid
    from zoo.models.protocols import Samples
    from zoo.program import waiting

    with waiting(f"loading {config.name}"):
        model = zoo.from_preset(config.name)
    if not isinstance(model, Samples):
        raise ValueError(
            f"{config.name!r} is a {type(model).__name__}, which can't sample pictures."
        )
    options, asked = _options(model, config)
    with waiting("sampling"):
        count = len(asked) if asked else config.count
        images = model.sample(count, seed=config.seed, **options)
    columns = math.ceil(math.sqrt(len(images)))
    rest = -len(images) % columns
    blank = np.ones((rest, *images.shape[1:]), images.dtype)
    with file_or_output(config.out) as file:
        image_grid(
            file,
            np.concatenate([images, blank]),
            columns=columns,
            title=f"{config.name}, seed {config.seed}",
            captions=[str(prompt) for prompt in asked],
        )
    if config.json:
        facts = {"file": str(config.out), "count": len(images), "seed": config.seed}
        show_json(facts | {"prompts": list(asked)} if asked else facts)
    elif str(config.out) != STANDARD:
        print(f"{len(images)} pictures in {config.out}")


def _options(model: Any, config: SampleConfig) -> tuple[dict[str, Any], list[Any]]:
    """The options of the model's `sample`, and the prompts among them.

    Raises:
        ValueError: the model does not take what was given, or needs a prompt.
    """
    import inspect

    import numpy as np

    from zoo.models.protocols import DrawsPrompts

    takes, kind = inspect.signature(model.sample).parameters, type(model).__name__
    options: dict[str, Any] = {}
    if "temperature" in takes:
        given = config.temperature
        options["temperature"] = TEMPERATURE if given is None else given
    elif config.temperature is not None:
        raise ValueError(
            f"{config.name!r} is a {kind}, which draws no tokens: leave --temperature "
            "out."
        )
    for option in ("steps", "guidance"):
        given = getattr(config, option)
        if given is not None and option not in takes:
            raise ValueError(
                f"{config.name!r} is a {kind}, which takes no noise out of images: "
                f"leave --{option} out."
            )
        if given is not None:
            options[option] = given
    if isinstance(model, DrawsPrompts) and model.prompt_classes != 0:
        asked = _prompts(config, model.prompt_classes)
        return options | {"prompts": asked}, asked
    classes = getattr(model.config, "num_classes", 0) if "labels" in takes else 0
    if not config.prompts:
        return options, []
    if not classes:
        raise ValueError(
            f"{config.name!r} is a {kind} that takes no prompts: leave --prompts out."
        )
    asked = _prompts(config, classes)
    return options | {"labels": np.array(asked)}, asked


def _prompts(config: SampleConfig, classes: int | None) -> list[Any]:
    """Class numbers, by default each in turn; or texts, if there are no classes."""
    if classes is None:
        if not config.prompts:
            raise ValueError(
                f"{config.name!r} draws what a text says: give --prompts, for "
                "instance --prompts 'the digit three'"
            )
        return list(config.prompts)
    if not config.prompts:
        return [number % classes for number in range(config.count)]
    numbers = [int(p) if p.isdecimal() else -1 for p in config.prompts]
    if wrong := [
        prompt
        for prompt, number in zip(config.prompts, numbers, strict=True)
        if not 0 <= number < classes
    ]:
        raise ValueError(
            f"{config.name!r} draws classes by their numbers, from 0 to {classes - 1}; "
            f"got --prompts {' '.join(map(repr, wrong))}"
        )
    return numbers
