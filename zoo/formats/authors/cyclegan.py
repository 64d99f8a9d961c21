"""Reads weights of the authors' pytorch-CycleGAN-and-pix2pix.

Its generators are `latest_net_G_A.pth` (A to B) and `latest_net_G_B.pth` (B to A). Its
discriminator `latest_net_D_A.pth` judges images of B, `latest_net_D_B.pth` those of A.
Published checkpoints are single generators (`latest_net_G.pth`).
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zoo.files.stored_arrays import LazyArrays
from zoo.files.torch_files import read_state_dict
from zoo.models.gan.cyclegan import CycleGAN, CycleGANConfig
from zoo.models.gan.cyclegan_generator import CycleGANGenerator
from zoo.models.gan.cyclegan_networks import CycleGANGeneratorConfig
from zoo.presets import weights

BLOCK = 10  # index of the first residual block
# Some versions of torch save instance norm's running statistics; none uses them.
STATISTICS = re.compile(r"\.(running_mean|running_var|num_batches_tracked)$")


def load_translator(file: str | os.PathLike[str]) -> CycleGANGenerator:
    """Loads a generator from its `.pth` file; the weights determine its shape.

    Raises:
        ValueError: the file does not hold a ResNet generator with instance norm and
            transposed convolutions.
    """
    arrays = _read(file)
    config = _translator_config(arrays, file)
    translator = CycleGANGenerator(config)
    _assign(translator, arrays, _generator_names(config.residual_blocks), file)
    return translator


def load_cyclegan(
    folder: str | os.PathLike[str], epoch: str = "latest", **fields: Any
) -> CycleGAN:
    """Loads a whole CycleGAN from the four files of a checkpoint, to continue training.

    Args:
        folder: the folder of `{epoch}_net_G_A.pth`, and the same for G_B, D_A and D_B.
        epoch: the epoch in the files' names.
        fields: fields of `CycleGANConfig` that the files do not determine, such as
            `image_size`, by default 256 x 256.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file holds another network.
    """
    path = Path(folder).expanduser()
    files = {name: path / f"{epoch}_net_{name}.pth" for name in _NETWORKS}
    arrays = {name: _read(file) for name, file in files.items()}
    one = _translator_config(arrays["G_A"], files["G_A"])
    names = [name for name in arrays["D_A"] if name.endswith("weight")]
    config = CycleGANConfig(
        channels=one.channels,
        width=one.width,
        residual_blocks=one.residual_blocks,
        discriminator_layers=len(names) - 2,
        **fields,
    )
    model = CycleGAN(config)
    for name, network in _NETWORKS.items():
        table = (
            _generator_names(config.residual_blocks)
            if name.startswith("G")
            else _discriminator_names(config.discriminator_layers)
        )
        _assign(network(model), arrays[name], table, files[name])
    return model


_NETWORKS: dict[str, Callable] = {
    "G_A": lambda model: model.a_to_b,
    "G_B": lambda model: model.b_to_a,
    "D_A": lambda model: model.discriminator_b,
    "D_B": lambda model: model.discriminator_a,
}


def _generator_names(blocks: int) -> dict[str, str]:
    """Our names of a generator's layers, by theirs."""
    after = BLOCK + blocks
    return {
        "model.1": "generator/first",
        "model.4": "generator/down_0",
        "model.7": "generator/down_1",
        **{
            f"model.{BLOCK + block}.conv_block.{place}": (
                f"generator/residual_{block}/body/convolve_{index}"
            )
            for block in range(blocks)
            for index, place in enumerate((1, 5))
        },
        f"model.{after}": "generator/up_0",
        f"model.{after + 3}": "generator/up_1",
        f"model.{after + 7}": "generator/last",
    }


def _discriminator_names(num_layers: int) -> dict[str, str]:
    """Our names of a discriminator's layers, by theirs."""
    places = [0, *(2 + 3 * index for index in range(num_layers))]
    return {
        **{f"model.{place}": f"down_{index}" for index, place in enumerate(places)},
        f"model.{2 + 3 * num_layers}": "score",
    }


def _read(file: str | os.PathLike[str]) -> LazyArrays:
    found = weights.unwrapped(read_state_dict(file), file)
    return found.renamed({n: n for n in found if not STATISTICS.search(n)})


def _translator_config(arrays: LazyArrays, file: object) -> CycleGANGeneratorConfig:
    blocks = {
        int(match[1])
        for name in arrays
        if (match := re.match(r"model\.(\d+)\.conv_block\.", name))
    }
    first, last = "model.1.weight", f"model.{BLOCK + len(blocks) + 7}.weight"
    if not blocks or first not in arrays or last not in arrays:
        raise ValueError(
            f"{file} must hold a ResNet generator, got weights "
            f"{', '.join(list(arrays)[:4])} ..."
        )
    width, given = arrays.shapes[first][:2]
    return CycleGANGeneratorConfig(
        (int(given), int(arrays.shapes[last][0])), int(width), len(blocks)
    )


def _assign(
    network: Any, arrays: LazyArrays, names: Mapping[str, str], file: object
) -> None:
    """Sets a network's weights, or raises if any are missing or left over."""
    expected = {
        f"{theirs}.{part}": (ours, part)
        for theirs, ours in names.items()
        for part in ("weight", "bias")
    }
    weights.check_names(arrays, expected, file)
    converted = {}
    for name, (ours, part) in expected.items():
        array = arrays[name]
        # (out, in, h, w) to (h, w, in, out); for transposed convolutions,
        # (in, out, h, w) to (h, w, out, in).
        moved = array.transpose(2, 3, 1, 0) if part == "weight" else array
        converted[f"{ours}/{'kernel' if part == 'weight' else 'bias'}"] = moved
    weights.assign(network, converted, file)
