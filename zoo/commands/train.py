"""`zoo train`."""

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True)
class TrainConfig:
    """Run a recipe of the checkout that this is called in.

        zoo train gpt_text --variant nanogpt_cpu --out runs/mine

    is `python -m recipes.gpt_text --variant nanogpt_cpu --out runs/mine`; the recipe's
    own `--help` lists its flags. Without a recipe's name the recipes are listed.

    Attributes:
        recipe: its name.
        flags: of the recipe.
    """

    recipe: Annotated[str, tyro.conf.Positional] = ""
    flags: Annotated[tuple[str, ...], tyro.conf.Positional] = ()


def run(config: TrainConfig) -> None:
    """Runs it in this process, as a module."""
    import runpy
    import sys
    from pathlib import Path

    folder = Path("recipes")
    names = sorted(
        file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")
    )
    if not names:
        raise ValueError(
            "There is no folder 'recipes' here. Recipes are not part of the installed "
            "package: change into a checkout of zoo."
        )
    if not config.recipe:
        print("\n".join(names))
        return
    if config.recipe not in names:
        raise ValueError(
            f"There is no recipe {config.recipe!r}. Recipes: {', '.join(names)}."
        )
    sys.path.insert(0, str(Path.cwd()))
    sys.argv = [f"zoo train {config.recipe}", *config.flags]
    runpy.run_module(f"recipes.{config.recipe}", run_name="__main__")
