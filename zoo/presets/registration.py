"""What a model says about itself, beside its class: `register`.

Presets, `zoo sample`, `zoo evaluate`, `zoo convert` and exports ask here; no list
elsewhere has to name the model. A class of one's own registers in the same way, and
another program that is to find it by its presets declares it as an entry point:

    [project.entry-points."zoo.models"]
    MyVAE = "my_package.models:MyVAE"
"""

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo import catalog

ENTRY_POINTS = "zoo.models"


@dataclass(frozen=True)
class Registration:
    """What is known of a model.

    Attributes:
        cls: its class.
        presets: its configurations by size, by name.
        measured: how `zoo evaluate` measures it: the name of one of
            `zoo.evaluation.measures`, or a function of the model and the command's
            configuration that returns figures by name; None where it can't.
        served: makes its `zoo.presets.inference.Served`; None where nothing is
            exported. A second argument, where it takes one, is the `direction`.
        formats: the modules that write it for other libraries, by the names that
            `zoo convert --to` takes; each has `write` and `their_names`.
        papers: what to cite: keys of `zoo/store/papers.bib`, or whole BibTeX entries.
        task: what it does, in the words of the Hugging Face hub's `pipeline_tag`.

    Papers and tasks of zoo's own models are in `zoo.catalog`, which is read without
    importing the class.
    """

    cls: type
    presets: Mapping[str, Any] = field(default_factory=dict)
    measured: str | Callable[[Any, Any], dict[str, Any]] | None = None
    served: Callable[..., Any] | None = None
    formats: Mapping[str, str] = field(default_factory=dict)
    papers: tuple[str, ...] = ()
    task: str = ""


_registered: dict[str, Registration] = {}


def register(cls: type | None = None, **what: Any) -> Any:
    """Registers a model's class; a decorator, with or without arguments.

    For example::

        @zoo.register(measured="likelihood")
        class MyVAE(zoo.VAE):
            ...

    Its presets (`save_to_preset`) then load again by `zoo.from_preset`, and the
    commands know it. A subclass inherits what it does not state, except presets.

    Args:
        cls: the class; its name is the architecture's in files.
        what: see `Registration`.

    Raises:
        ValueError: another class has that name.
    """
    if cls is None:
        return lambda cls: register(cls, **what)
    name = cls.__name__
    known = catalog.MODELS.get(name)
    taken = known.module if known else None
    if name in _registered:
        taken = _registered[name].cls.__module__
    if taken not in (None, cls.__module__):
        raise ValueError(
            f"There is a model {name!r} already, in {taken}. Give {cls.__module__}."
            f"{cls.__qualname__} another name: files know models by it."
        )
    if (base := registration_of(cls)) is not None:
        inherited = {
            "measured": base.measured,
            "served": base.served,
            "formats": base.formats,
            "papers": base.papers,
            "task": base.task,
        }
        what = inherited | what
    if known is not None:
        what = what | {"papers": known.papers, "task": known.task}
    _registered[name] = Registration(cls, **what)
    if known is None:
        made = _registered[name]
        catalog.MODELS[name] = catalog.Entry(
            cls.__module__,
            presets=tuple(made.presets),
            papers=made.papers,
            task=made.task,
        )
    return cls


def registration(architecture: str) -> Registration:
    """Of the model with that name, whose module is imported if need be.

    Raises:
        ValueError: there is none.
    """
    if architecture not in _registered:
        entry = catalog.MODELS.get(architecture)
        if entry is not None and "preset" in entry.forms:
            importlib.import_module(entry.module)
        for point in importlib.metadata.entry_points(
            group=ENTRY_POINTS, name=architecture
        ):
            register(point.load())
    if architecture not in _registered:
        raise ValueError(
            f"There is no architecture {architecture!r}. Known: "
            f"{', '.join(catalog.architectures())}. The file may be from another "
            "version. A class of your own needs @zoo.register."
        )
    return _registered[architecture]


def registration_of(cls: type) -> Registration | None:
    """Of a model's class, or of the nearest base that has one."""
    for base in cls.__mro__:
        found = _registered.get(base.__name__)
        if found is not None and found.cls is base:
            return found
    return None


def all_registrations() -> dict[str, Registration]:
    """Of every model, by name; imports them all."""
    return {name: registration(name) for name in catalog.architectures()}
