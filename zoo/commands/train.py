"""`zoo train`."""

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True)
class TrainConfig:
    """Train a model by a recipe. Call this from within a checkout of zoo.

    For example:

        zoo train gpt_text --variant nanogpt_cpu --out runs/mine

    does the same as `python -m recipes.gpt_text --variant nanogpt_cpu --out runs/mine`.
    `zoo train RECIPE --help` lists the recipe's flags; `zoo train` lists the recipes.

    Attributes:
        recipe: the recipe's name.
        flags: the recipe's flags.
    """

    recipe: Annotated[str, tyro.conf.Positional] = ""
    flags: Annotated[tuple[str, ...], tyro.conf.Positional] = ()


def run(config: TrainConfig) -> None:
    """Runs the recipe as a module, in this process."""
    import runpy
    import sys
    from pathlib import Path

    folder = Path("recipes")
    names = sorted(
        file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")
    )
    if not names:
        raise ValueError(
            "zoo train needs a folder 'recipes' in the current directory, but there is "
            "none. Recipes are not installed with the package: change into a checkout "
            "of zoo."
        )
    if not config.recipe:
        print("\n".join(names))
        return
    if config.recipe not in names:
        raise ValueError(
            f"Unknown recipe {config.recipe!r}. Recipes: {', '.join(names)}."
        )
    sys.path.insert(0, str(Path.cwd()))
    sys.argv = [f"zoo train {config.recipe}", *config.flags]
    runpy.run_module(f"recipes.{config.recipe}", run_name="__main__")
