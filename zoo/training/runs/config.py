"""The flags that all recipes share, and their command line."""

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from zoo.files.text_files import OnBad
from zoo.store.names import check_names
from zoo.training.runs.flags import parse_flags
from zoo.training.trackers.tracker import TrackerName

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
C = TypeVar("C", bound="RunConfig")


@dataclass(frozen=True)
class RunConfig:
    """The flags that every recipe takes.

    Attributes:
        variant: a named configuration; other flags override it.
        dataset: the name of the dataset to train on.
        data_dir: the folder of a local dataset.
        out: the run's folder.
        precision: precision of computation; weights are stored in float32.
        mesh_data: devices that share each batch; -1 for all available.
        mesh_model: devices that share each weight.
        shard_parameters: also shard weights and optimizer state along the data axis.
        seed: seed of weights, data order, dropout and samples.
        log: loggers of other projects that also get the figures and samples.
        samples: show samples in the run's page and loggers at each evaluation.
        patience: stop after this many evaluations without a better or equal measure;
            0 for never.
        keep_checkpoints: number of checkpoints to keep, the newest ones.
        keep_best: also keep the checkpoint of the best evaluation, and end with it.
        resume: continue from the checkpoint in `out`, with its settings.
        resume_with: names of settings that may differ when resuming, including `data`.
        smoke: train a tiny model for two updates, to check that everything works.
    """

    variant: str = ""
    dataset: str = ""
    data_dir: Path | None = None
    out: Path = Path("runs/run")
    precision: Precision = "float32"
    mesh_data: int = 1
    mesh_model: int = 1
    shard_parameters: bool = False
    seed: int = 0
    log: tuple[TrackerName, ...] = ()
    samples: bool = True
    patience: int = 0
    keep_checkpoints: int = 1
    keep_best: bool = False
    resume: bool = False
    resume_with: tuple[str, ...] = ()
    smoke: bool = False


@dataclass(frozen=True)
class TextRunConfig(RunConfig):
    """The flags of a recipe that reads text or tables.

    Attributes:
        on_bad: for unusable lines or questions: stop at the first, or skip them and
            report how many.
    """

    on_bad: OnBad = "error"


def parse(
    variants: Mapping[str, C], description: str, args: list[str] | None = None
) -> C:
    """The configuration from the command line: a variant, overridden by flags."""
    args = sys.argv[1:] if args is None else args
    first = next(iter(variants))
    chosen = first
    for index, arg in enumerate(args):
        if arg == "--variant" and index + 1 < len(args):
            chosen = args[index + 1]
        elif arg.startswith("--variant="):
            chosen = arg.split("=", 1)[1]
    if chosen not in variants:
        sys.exit(
            f"There is no variant {chosen!r}. Choose one of {', '.join(variants)}."
        )
    listing = "\n".join(f"  {name}" for name in variants)
    description = (
        f"{description}\n\nVariants (default {first}):\n{listing}\n\n"
        f"The defaults below are those of variant {chosen}."
    )
    default = dataclasses.replace(variants[chosen], variant=chosen)
    try:
        config = parse_flags(default, args, description)
        check_names(config)
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    return config
