"""The papers behind models, as BibTeX, read without a backend."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from zoo import catalog
from zoo.version import __version__

FILE = Path(__file__).with_name("papers.bib")
ENTRY = re.compile(r"^@(\w+)\{(\w+),\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^  (\w+) = \{(.*)\},?$", re.MULTILINE)

PROJECT = f"""\
@software{{zoo,
  title = {{zoo: Generative Models in Keras 3 for TensorFlow, JAX and PyTorch}},
  author = {{{{The zoo authors}}}},
  year = {{2026}},
  version = {{{__version__}}}
}}"""


@dataclass(frozen=True)
class Paper:
    """An entry of `papers.bib`.

    Attributes:
        kind: BibTeX's type, such as `article`.
        key: its key.
        fields: its fields by name, in the file's order.
        presets: patterns of the names of presets that it is limited to; empty for
            all of its models.
    """

    kind: str
    key: str
    fields: Mapping[str, str]
    presets: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The entry in BibTeX."""
        lines = [f"  {name} = {{{value}}}" for name, value in self.fields.items()]
        return f"@{self.kind}{{{self.key},\n" + ",\n".join(lines) + "\n}"


@cache
def papers() -> dict[str, Paper]:
    """All entries of `papers.bib`, by key."""
    found = {}
    for kind, key, body in ENTRY.findall(FILE.read_text("utf-8")):
        fields = dict(FIELD.findall(body))
        presets = re.split(r",\s*", fields.pop("presets", ""))
        found[key] = Paper(kind, key, fields, tuple(filter(None, presets)))
    return found


def cited(architecture: str, name: str = "") -> list[str]:
    """What to cite for a model, as BibTeX.

    Args:
        architecture: the model's class.
        name: its preset, which leaves out papers about other presets.
    """
    entries: Iterable[str] = ()
    if architecture in catalog.MODELS:
        entries = catalog.MODELS[architecture].papers
    known = papers()
    # Entries that are not keys are BibTeX of other packages' models.
    found = [known.get(each, each) for each in entries]
    fitting = [
        each
        for each in found
        if isinstance(each, str)
        or not each.presets
        or any(fnmatch(name, pattern) for pattern in each.presets)
    ]
    return [str(each) for each in fitting or found]
