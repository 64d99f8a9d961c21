"""`zoo translate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from zoo.commands.arguments import Name


@dataclass(frozen=True)
class TranslateConfig:
    """Translate a picture into the other domain, or a sentence.

        zoo translate cyclegan.digits three.png outline.png --direction a_to_b

        zoo translate runs/translation/preset "A man rides a horse."

    Attributes:
        name: a checkpoint that `zoo list` names, or a preset's folder.
        source: a picture's file, or a sentence.
        target: the PNG to write, of a picture.
        direction: of a model that translates pictures both ways.
        tile: the longest side that is computed at once, of large pictures.
        num_beams: of a sentence's search.
    """

    name: Name
    source: Annotated[str, tyro.conf.Positional]
    target: Annotated[Path | None, tyro.conf.Positional] = None
    direction: Literal["a_to_b", "b_to_a"] = "a_to_b"
    tile: int | None = None
    num_beams: int = 5


def run(config: TranslateConfig) -> None:
    """Prints the sentence, or writes the picture."""
    import numpy as np

    import zoo
    from zoo.data.images.pictures import Picture, decode

    model = zoo.from_preset(config.name)
    if isinstance(model, zoo.Transformer):
        print(model.generate([config.source], num_beams=config.num_beams)[0])
        return
    if isinstance(model, zoo.CycleGAN):
        model = getattr(model, config.direction)
    if not isinstance(model, zoo.CycleGANGenerator):
        raise ValueError(
            f"{config.name!r} is a {type(model).__name__}, which translates nothing."
        )
    if config.target is None:
        raise ValueError("Say where it goes: zoo translate NAME in.png out.png")
    picture = Picture(Path(config.source), config.source, 0)
    given = decode([picture], channels=model.config.channels[0]) / np.float32(255)
    (found,) = model.translate(given, tile=config.tile)
    write_png(config.target, found)
    print(f"Translated into {config.target}")


def write_png(path: Path, image) -> None:
    """Writes (H, W, C) in [0, 1], whole or not at all."""
    import numpy as np
    from PIL import Image

    from zoo.files.atomic import replacing

    pixels = np.round(np.clip(image, 0, 1) * 255).astype("uint8")
    with replacing(path) as file:
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(
            file, format="PNG"
        )
