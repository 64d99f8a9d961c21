"""`from_preset` and `save_to_preset`, for every model that has a configuration."""

import contextlib
import dataclasses
import logging
import os
from collections.abc import Collection
from typing import Any, ClassVar, Self

import keras

from zoo.data.tokenizers import Tokenizer
from zoo.presets import registry, weights
from zoo.presets.manifest import MANIFEST
from zoo.training.engine import engine


def from_preset(preset: str | os.PathLike[str], **options: Any) -> Any:
    """A preset's model, of whichever class it is; see `FromPreset.from_preset`."""
    with registry.opened(preset) as found:
        return registry.model_class(found.architecture).from_preset(preset, **options)


class FromPreset:
    """Makes models from presets and saves them as presets.

    A folder holds `config.json` (architecture, configuration, precision, version),
    `model.safetensors` (weights by name) and the tokenizer's file, if there is one.
    """

    Config: ClassVar[Any]
    # The layer that a family of models shares. From another member's preset a model
    # takes all weights of names that it has, and must find all of this layer's.
    family: ClassVar[str] = ""
    config: Any
    dtype_policy: Any
    tokenizer: Any = None
    # Names of weights for which `from_preset` found none: they are as they were drawn.
    new_weights: tuple[str, ...] = ()

    @classmethod
    def from_preset(
        cls,
        preset: str | os.PathLike[str],
        load_weights: bool = True,
        *,
        strict: bool = True,
        dtype: Any = None,
        name: str | None = None,
        **changes: Any,
    ) -> Self:
        """Makes a model, with its weights and tokenizer.

        From another model of its family (BERT's) it takes what both have; the log names
        the weights that are new.

        Args:
            preset: a checkpoint's name, a folder from `save_to_preset`, a Hugging
                Face folder or address (`hf://owner/name`), or a configuration's name,
                which comes without weights. BERT's are read from Keras Hub's presets
                and its authors' folders too.
            load_weights: False leaves them random.
            strict: False takes the weights whose names the model has, leaves others of
                the model new and passes over others of the file, and the log names
                both. A shape that differs raises all the same. It is for folders of
                ours, and for models of other classes only within a family.
            dtype: a precision; default is the saved one.
            name: the model's.
            changes: fields of the configuration to change, such as `dropout=0.1`.

        Raises:
            ValueError: there is no such preset, or no weights, or they do not fit.
        """
        with registry.opened(preset) as found:
            cls._check(found, preset, changes)
            if load_weights and found.folder is None:
                raise ValueError(cls._without_weights(preset))
            policy = keras.dtype_policies.get(dtype or found.dtype)
            # Weights that are about to come get no first values: neither time nor
            # memory is lost on those, and a file that does not fit its configuration
            # takes neither.
            bare = load_weights and cls._assign is FromPreset._assign
            bare = bare and engine().mesh.size == 1
            with registry.no_initialisation() if bare else contextlib.nullcontext():
                model = cls.from_config(  # type: ignore[attr-defined]
                    {
                        "config": cls._fields(found) | changes,
                        "name": name,
                        # Not serialised, for which Keras imports TensorFlow.
                        "dtype": policy,
                    }
                )
            if found.folder is not None:
                if load_weights:
                    cls._load(model, found, preset, strict)
                files = (found.folder / file for file in weights.TOKENIZER_FILES)
                if any(file.is_file() for file in files):
                    model.tokenizer = Tokenizer.load(found.folder)
            return model

    @classmethod
    def _load(cls, model: Any, found: registry.Preset, preset: Any, strict: bool):
        """The weights of a preset's folder, those that the model takes."""
        arrays: Any = found.read(found.folder)  # type: ignore[arg-type]
        if found.converter is not None:
            convert = found.converter.convert
            arrays = convert(arrays, model.config, found.architecture)
        new: set[str] = set()
        if cls._is_relative(found) or (cls.family and found.converter):
            arrays, new = cls._adopted(arrays, model, preset)
        if not strict:
            arrays, new = cls._overlap(arrays, model, preset)
        model._assign(arrays, found.folder, new)
        model.new_weights = tuple(sorted(new))

    def save_to_preset(self, directory: str | os.PathLike[str]) -> None:
        """Writes a folder that `from_preset` reads, over one that is there.

        Weights are in float32, whatever the precision. Optimizers are not saved.
        """
        import zoo

        settings = {
            "architecture": type(self).__name__,
            "config": dataclasses.asdict(self.config),
            "dtype": self.dtype_policy.name,
            "zoo_version": zoo.__version__,
        }
        texts = {
            "config.json": settings,
            **weights.tokenizer_texts(self),
            MANIFEST: None,  # which would speak of the files before
        }
        weights.write(directory, self._arrays(), texts, {"format": "zoo"})

    def _arrays(self) -> dict[str, Any]:
        """What is saved, by name."""
        return weights.arrays_of(self)

    def _assign(self, arrays: Any, source: Any, new: Collection[str] = ()) -> None:
        """Takes what was saved but for `new`, or raises; `source` names the file."""
        weights.assign(self, arrays, source, new)

    @classmethod
    def _is_relative(cls, found: registry.Preset) -> bool:
        """Whether the preset is of another member of the family."""
        if found.architecture == cls.__name__:
            return False
        other = registry.model_class(found.architecture)
        same = cls.family != "" and cls.family == other.family
        return same and not issubclass(cls, other)

    @classmethod
    def _fields(cls, found: registry.Preset) -> dict[str, Any]:
        """The preset's fields; of a relative's, those that this configuration has."""
        if not cls._is_relative(found):
            return found.fields
        names = {field.name for field in dataclasses.fields(cls.Config)}
        fields = found.fields | found.others
        return {name: x for name, x in fields.items() if name in names}

    @classmethod
    def _adopted(cls, arrays: Any, model: Any, preset: Any) -> tuple[Any, set[str]]:
        """A relative's weights without its head, and the names of ours that are new."""
        body = f"{cls.family}/"
        ours = weights.named_weights(model)
        taken = [k for k in arrays if k in ours or k.startswith(body)]
        new = {k for k in ours if not k.startswith(body)} - set(taken)
        cls._report(sorted(new), preset)
        return {name: arrays[name] for name in taken}, new

    @classmethod
    def _overlap(cls, arrays: Any, model: Any, preset: Any) -> tuple[Any, set[str]]:
        """The weights that file and model both have, and the names of the others."""
        ours = set(weights.named_weights(model))
        if not (taken := [name for name in arrays if name in ours]):
            raise ValueError(
                f"{os.fspath(preset)!r} and {cls.__name__} have no weight in common."
            )
        cls._report(sorted(ours - set(taken)), preset)
        if left := sorted(set(arrays) - ours):
            logging.getLogger(__name__).warning(
                "Of %r these were passed over: %s.",
                os.fspath(preset),
                weights.listed(left),
            )
        return {name: arrays[name] for name in taken}, ours - set(taken)

    @classmethod
    def _report(cls, new: list[str], preset: Any) -> None:
        if new:
            logging.getLogger(__name__).warning(
                "%r has no weights for %s of %s: they are new, and wait for training.",
                os.fspath(preset),
                ", ".join(new),
                cls.__name__,
            )

    @classmethod
    def _check(cls, found: registry.Preset, preset: Any, changes: dict) -> None:
        if (
            found.architecture != cls.__name__
            and not cls._is_relative(found)
            and registry.model_class(found.architecture).Config is not cls.Config
        ):
            raise ValueError(
                f"{os.fspath(preset)!r} is a {found.architecture}, not a "
                f"{cls.__name__}: use zoo.{found.architecture}.from_preset."
            )
        fields = [field.name for field in dataclasses.fields(cls.Config)]
        if unknown := sorted(set(changes) - set(fields)):
            raise TypeError(
                f"{cls.__name__}.from_preset has no arguments {unknown}. Besides "
                f"dtype and name it takes fields of the configuration: {fields}."
            )

    @classmethod
    def _without_weights(cls, preset: Any) -> str:
        make = f"{cls.__name__}.from_preset"
        names = ", ".join(registry.checkpoints()) or "none are shipped yet"
        return (
            f"{os.fspath(preset)!r} is a configuration; it comes without weights. "
            f"{make}({os.fspath(preset)!r}, load_weights=False) makes the model with "
            f"random weights. Checkpoints, which have weights: {names}. A Hugging "
            f"Face folder works too: {make}('/path/to/folder')."
        )
