"""`zoo translate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from zoo.commands.arguments import Name


@dataclass(frozen=True)
class TranslateConfig:
    """Translate a picture into the other domain, or a sentence into another language.

    For example:

        zoo translate cyclegan.digits three.png outline.png --direction a_to_b

        zoo translate runs/translation/preset "A man rides a horse."

    Attributes:
        name: a checkpoint that `zoo list` shows, or a preset's folder.
        source: a picture file, or a sentence.
        target: pictures only: the PNG file to write.
        direction: pictures only: which way to translate.
        tile: pictures only: translate large pictures in overlapping tiles of at most
            this side length in pixels, a multiple of 4, to save memory.
        num_beams: sentences only: the width of the beam search.
    """

    name: Name
    source: Annotated[str, tyro.conf.Positional]
    target: Annotated[Path | None, tyro.conf.Positional] = None
    direction: Literal["a_to_b", "b_to_a"] = "a_to_b"
    tile: int | None = None
    num_beams: int = 5


def run(config: TranslateConfig) -> None:
    """Prints the translated sentence, or writes the translated picture."""
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
            f"zoo translate needs a CycleGAN or a Transformer, but {config.name!r} is "
            f"a {type(model).__name__}. See `zoo list`."
        )
    if config.target is None:
        raise ValueError(
            "A picture needs a target file, got none. Use: zoo translate NAME in.png "
            "out.png"
        )
    picture = Picture(Path(config.source), config.source, 0)
    given = decode([picture], channels=model.config.channels[0]) / np.float32(255)
    (found,) = model.translate(given, tile=config.tile)
    write_png(config.target, found)
    print(f"Wrote {config.target}")


def write_png(path: Path, image: Any) -> None:
    """Writes an image (H, W, C) with values in [0, 1], atomically."""
    import numpy as np
    from PIL import Image

    from zoo.files.atomic import replacing

    pixels = np.round(np.clip(image, 0, 1) * 255).astype("uint8")
    with replacing(path) as file:
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(
            file, format="PNG"
        )
