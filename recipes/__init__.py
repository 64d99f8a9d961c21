"""One-page training programs: `python -m recipes.NAME --help`."""

from zoo.program import quiet

quiet()
