"""`zoo translate`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from zoo.commands.shared.arguments import (
    STANDARD,
    Json,
    Name,
    file_or_output,
    not_both,
    readable_file,
    text_or_input,
    whole,
    writable_file,
)


@dataclass(frozen=True)
class TranslateConfig:
    """Translate a picture into the other domain, or a sentence into another language.

    For example:

        zoo translate cyclegan.digits three.png outline.png --direction a_to_b

        zoo translate runs/translation/preset "A man rides a horse."

    Attributes:
        name: a checkpoint that `zoo list` shows, or a preset's folder.
        source: a picture file, or a sentence. - reads standard input: a picture, or
            one sentence per line.
        target: pictures only: the PNG file to write; - for standard output.
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
    json: Json = False


def check(config: TranslateConfig) -> None:
    """Checks the files and numbers, before a backend starts."""
    whole("num_beams", config.num_beams, 1)
    whole("tile", config.tile, 1)
    if config.target is not None:  # so the source is a picture
        not_both(config, config.target)
        writable_file(config.target)
        readable_file(config.source)


def run(config: TranslateConfig) -> None:
    """Prints the translated sentences, or writes the translated picture."""
    import zoo
    from zoo.program import waiting

    with waiting(f"loading {config.name}"):
        model = zoo.from_preset(config.name)
    if isinstance(model, zoo.Transformer):
        _sentences(model, config)
        return
    if isinstance(model, zoo.CycleGAN):
        model = getattr(model, config.direction)
    if not isinstance(model, zoo.CycleGANGenerator):
        raise ValueError(
            f"zoo translate needs a CycleGAN or a Transformer, but {config.name!r} is "
            f"a {type(model).__name__}. See `zoo list`."
        )
    _picture(model, config)


def _sentences(model: Any, config: TranslateConfig) -> None:
    from zoo.commands.shared.printed import show_json

    if config.target is not None:
        raise ValueError(
            f"{config.name!r} translates sentences, which are printed: leave the "
            f"target {config.target} out."
        )
    sources = [config.source]
    if config.source == STANDARD:
        sources = text_or_input(config.source).splitlines()
    found = [model.generate([x], num_beams=config.num_beams)[0] for x in sources]
    if config.json:
        pairs = zip(sources, found, strict=True)
        show_json([{"source": x, "translation": y} for x, y in pairs])
    else:
        print("\n".join(found))


def _picture(model: Any, config: TranslateConfig) -> None:
    import numpy as np

    from zoo.commands.shared.printed import show_json
    from zoo.data.images.pictures import Picture, decode
    from zoo.program import waiting

    if config.target is None:
        raise ValueError(
            "A picture needs a target file, got none. Use: zoo translate NAME in.png "
            "out.png"
        )
    file: Path | bytes = Path(config.source)
    if config.source == STANDARD:
        file = sys.stdin.buffer.read()
    picture = Picture(file, config.source, 0)
    given = decode([picture], channels=model.config.channels[0]) / np.float32(255)
    with waiting("translating"):
        (found,) = model.translate(given, tile=config.tile)
    with file_or_output(config.target) as path:
        write_png(path, found)
    if config.json:
        show_json({"source": config.source, "file": str(config.target)})
    elif str(config.target) != STANDARD:
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
