"""Trainings of one page each, as programs: `python -m recipes.NAME --help`."""

from zoo.program import quiet

quiet()
