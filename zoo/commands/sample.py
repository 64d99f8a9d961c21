"""`zoo sample`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.commands.arguments import Name


@dataclass(frozen=True)
class SampleConfig:
    """Sample pictures from a model into a PNG file.

        zoo sample dcgan.mnist --count 64 --out digits.png

        zoo sample vqvae.mnist --prompts 3 1 4 --out pi.png

    Attributes:
        name: a checkpoint from `zoo list`, or a preset's folder.
        count: number of pictures; with prompts, there is one per prompt.
        out: the PNG file.
        seed: the same seed gives the same pictures on a backend.
        prompts: class numbers or texts, for a model that takes them.
        temperature: sampling temperature of image tokens.
    """

    name: Name
    count: int = 64
    out: Path = Path("samples.png")
    seed: int = 0
    prompts: tuple[str, ...] = ()
    temperature: float = 0.8


def run(config: SampleConfig) -> None:
    """Samples, writes the file and prints its name."""
    import math

    import numpy as np

    import zoo
    from zoo.configs.checks import check_count
    from zoo.evaluation.images.pictures import image_grid

    check_count("count", config.count)
    model = zoo.from_preset(config.name)
    asked = _asked(model, config)
    if isinstance(model, zoo.ImageTokens):
        images = model.sample(
            prompts=asked, seed=config.seed, temperature=config.temperature
        )
    elif asked:
        images = model.sample(len(asked), seed=config.seed, labels=np.array(asked))
    else:
        images = model.sample(config.count, seed=config.seed)
    columns = math.ceil(math.sqrt(len(images)))
    rest = -len(images) % columns
    blank = np.ones((rest, *images.shape[1:]), images.dtype)
    image_grid(
        config.out,
        np.concatenate([images, blank]),
        columns=columns,
        title=f"{config.name}, seed {config.seed}",
        captions=[str(prompt) for prompt in asked],
    )
    print(f"{len(images)} pictures in {config.out}")


def _asked(model: Any, config: SampleConfig) -> list[Any]:
    """Returns what to draw: class numbers or texts, or nothing for other models.

    Raises:
        ValueError: the model does not take the prompts, or needs some.
    """
    import numpy as np

    import zoo

    kind = type(model).__name__
    if isinstance(model, zoo.ImageTokens):
        if model.config.prompts != "classes":
            if not config.prompts:
                raise ValueError(
                    f"{config.name!r} draws what a text says: give --prompts, for "
                    "instance --prompts 'the digit three'"
                )
            return list(config.prompts)
        classes, default = model.prefix.vocab_size, True
    elif not hasattr(model, "sample"):
        raise ValueError(f"{config.name!r} is a {kind}, which can't sample pictures.")
    else:
        classes, default = getattr(model.config, "num_classes", 0), False
    if config.prompts and not classes:
        raise ValueError(
            f"{config.name!r} is a {kind} that takes no prompts: leave --prompts out"
        )
    if not config.prompts:
        return (np.arange(config.count) % classes).tolist() if default else []
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
