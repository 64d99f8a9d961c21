"""`zoo sample`."""

from dataclasses import dataclass
from pathlib import Path

from zoo.commands.arguments import Name


@dataclass(frozen=True)
class SampleConfig:
    """Draw pictures into a PNG.

        zoo sample dcgan.mnist --count 64 --out digits.png

        zoo sample vqvae.mnist --prompts 3 1 4 --out pi.png

    Attributes:
        name: a checkpoint that `zoo list` names, or a preset's folder.
        count: how many pictures; with prompts, as many as there are prompts.
        out: the PNG.
        seed: the same seed gives the same pictures on a backend.
        prompts: of a model that takes them: class numbers, or texts.
        temperature: of a model that draws codes one by one.
    """

    name: Name
    count: int = 64
    out: Path = Path("samples.png")
    seed: int = 0
    prompts: tuple[str, ...] = ()
    temperature: float = 0.8


def run(config: SampleConfig) -> None:
    """Draws, and says where."""
    import math

    import numpy as np

    import zoo
    from zoo.evaluation.pictures import image_grid
    from zoo.models.config_checks import check_count

    check_count("count", config.count)
    model = zoo.from_preset(config.name)
    if isinstance(model, zoo.ImageTokens):
        asked: list = list(config.prompts)
        if model.config.prompts == "classes":
            drawn = np.arange(config.count) % model.prefix.vocab_size
            asked = [int(prompt) for prompt in asked] or drawn.tolist()
        images = model.sample(asked, seed=config.seed, temperature=config.temperature)
    elif hasattr(model, "sample"):
        images = model.sample(config.count, seed=config.seed)
    else:
        raise ValueError(
            f"{config.name!r} is a {type(model).__name__}, which draws no pictures."
        )
    columns = math.ceil(math.sqrt(len(images)))
    rest = -len(images) % columns
    blank = np.ones((rest, *images.shape[1:]), images.dtype)
    image_grid(
        config.out,
        np.concatenate([images, blank]),
        columns=columns,
        title=f"{config.name}, seed {config.seed}",
    )
    print(f"{len(images)} pictures in {config.out}")
