"""`zoo runs`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from zoo.commands.shared.arguments import Json

if TYPE_CHECKING:
    from zoo.reports.run_folder import RunFolder


@dataclass(frozen=True)
class RunsConfig:
    """List and compare training runs.

    For example:

        zoo runs                                  # all runs below the folder runs/
        zoo runs runs/a runs/b --page both.html   # two of them, with their curves

    Progress counts updates; `best` is the best value of the measure that the run is
    judged by. A run is `killed` if its process is gone without a word. With several
    runs of a recipe, the settings in which they differ are listed too.

    Attributes:
        folders: folders of runs, or folders that contain such folders.
        page: file to write a page to that compares the runs' curves and settings.
    """

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional] = (Path("runs"),)
    json: Json = False
    page: Path | None = None


def run(config: RunsConfig) -> None:
    """Prints the table, or JSON; writes the page if asked."""
    from zoo.commands.shared.printed import show_json
    from zoo.reports.comparison import comparison_page, facts
    from zoo.reports.run_folder import RunFolder, found_runs

    runs = []
    for folder in found_runs(config.folders):
        try:
            runs.append(RunFolder.read(folder))
        except ValueError as error:  # the other runs are still worth listing
            print(f"zoo: {error}", file=sys.stderr)
    if not runs:
        raise ValueError(
            f"There are no runs in {', '.join(map(str, config.folders))}. A recipe "
            "writes its run into the folder that --out names, below runs/ by default."
        )
    if config.json:
        show_json([facts(each) | {"settings": each.settings} for each in runs])
    else:
        _print(runs)
    if config.page is not None:
        from zoo.files.atomic import replacing

        with replacing(config.page) as file:
            file.write(comparison_page(runs).encode())
        if not config.json:
            print(f"\nWrote {config.page}")


def _print(runs: "list[RunFolder]") -> None:
    """Prints all runs, and for each recipe with several runs how they differ."""
    from zoo.commands.shared.printed import show_table
    from zoo.reports.comparison import COLUMNS, differing, line
    from zoo.reports.html import shown

    show_table(COLUMNS, map(line, runs))
    recipes: dict[str, list[RunFolder]] = {}
    for each in runs:
        recipes.setdefault(each.recipe, []).append(each)
    for recipe, own in recipes.items():
        found = differing(own) if len(own) > 1 else {}
        if found:
            print()
            show_table(
                ("setting", *(each.name for each in own)),
                [(name, *map(shown, values)) for name, values in found.items()],
                title=f"Settings in which the runs of {recipe or 'a recipe'} differ",
            )
