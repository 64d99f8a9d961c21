"""`zoo train`."""

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True)
class TrainConfig:
    """Train a model by a recipe.

    For example:

        zoo train gpt_text --variant nanogpt_cpu --out runs/mine

    does the same as `python -m zoo.recipes.gpt_text --variant nanogpt_cpu --out
    runs/mine`. `zoo train RECIPE --help` lists the recipe's flags; `zoo train` lists
    the recipes.

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

    from zoo.store.names import nearest_hint

    package, names = recipes()
    if not config.recipe:
        print("\n".join(names))
        return
    if config.recipe not in names:
        hint = nearest_hint(config.recipe, names)
        raise ValueError(
            f"There is no recipe {config.recipe!r}.{hint} Recipes: {', '.join(names)}."
        )
    sys.argv = [f"zoo train {config.recipe}", *config.flags]
    runpy.run_module(f"{package}.{config.recipe}", run_name="__main__")


def recipes() -> tuple[str, list[str]]:
    """The package of the recipes, and their names.

    It is `zoo.recipes` where zoo is installed, and `recipes` where Python runs in a
    checkout that is not.

    Raises:
        ValueError: this zoo's recipes can't be imported.
    """
    from importlib.util import find_spec
    from pathlib import Path

    import zoo

    installed = Path(zoo.__file__).resolve().parent / "recipes"
    checkout = installed.parents[1] / "recipes"
    for package in ("zoo.recipes", "recipes"):
        spec = find_spec(package)
        # Another zoo, or another project, may have a package of this name.
        for place in (spec and spec.submodule_search_locations) or ():
            folder = Path(place).resolve()
            if folder in (installed, checkout):
                names = sorted(file.stem for file in folder.glob("[!_]*.py"))
                return package, names
    if checkout.is_dir():
        raise ValueError(
            f"The recipes in {checkout} can't be imported from here. Change into "
            f"{checkout.parent}, or install it: pip install -e {checkout.parent}"
        )
    raise ValueError(
        f"{installed} is missing: this installation of zoo is not complete. Install "
        "it again."
    )
