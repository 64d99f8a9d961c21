"""`from_preset` and `save_to_preset` for every model with a configuration."""

import contextlib
import dataclasses
import logging
import math
import os
from collections.abc import Collection
from typing import Any, ClassVar, Self

import keras

from zoo.engine.current import engine
from zoo.presets import registry, weights
from zoo.presets.export import Format, export_called
from zoo.presets.fitting import Fit
from zoo.presets.sharing import PushToHub
from zoo.store.manifest import MANIFEST
from zoo.tokenizers.tokenizer import Tokenizer
from zoo.version import __version__


def from_preset(preset: str | os.PathLike[str], **options: Any) -> Any:
    """Makes a preset's model, of whichever class; see `FromPreset.from_preset`.

    Refuses presets saved by a user's own subclass, whose code is not in the file: call
    that class's `from_preset`.
    """
    with registry.opened(preset) as found:
        return registry.model_class(found.architecture).from_preset(preset, **options)


class FromPreset(PushToHub):
    """A mixin that makes models from presets and saves them as presets.

    A preset's folder holds `config.json` (architecture, configuration, precision,
    version), `model.safetensors` (weights by name) and, if the model has a tokenizer,
    the tokenizer's file.
    """

    Config: ClassVar[Any]
    # The layer that a family of models shares. From a relative's preset, a model loads
    # all weights whose names it has, and requires all of this layer's.
    family: ClassVar[str] = ""
    # Arguments of the constructor, besides the configuration, that `from_preset` takes.
    parts: ClassVar[tuple[str, ...]] = ()
    config: Any
    dtype_policy: Any
    # Names of weights that `from_preset` did not find; they keep their initial values.
    new_weights: tuple[str, ...] = ()

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, or None if none was set."""
        return self.__dict__.get("known_tokenizer")

    @tokenizer.setter
    def tokenizer(self, tokenizer: Any) -> None:
        vocab_size = getattr(self.config, "vocab_size", math.inf)
        if isinstance(tokenizer, Tokenizer) and tokenizer.vocab_size > vocab_size:
            raise ValueError(
                f"The tokenizer must have at most vocab_size={vocab_size} tokens, got "
                f"{tokenizer.vocab_size}. Set the tokenizer that the model was trained "
                f"with, or make the model with "
                f"{type(self.config).__name__}(vocab_size={tokenizer.vocab_size}, ...)."
            )
        self.__dict__["known_tokenizer"] = tokenizer

    @classmethod
    def from_preset(
        cls,
        preset: str | os.PathLike[str],
        load_weights: bool = True,
        *,
        strict: bool = True,
        ignore_mismatched: bool = False,
        dtype: Any = None,
        name: str | None = None,
        **changes: Any,
    ) -> Self:
        """Makes a model from a preset, with its weights and tokenizer.

        From the preset of another model of its family (BERT's), a model loads the
        weights that both have; the log names the new ones.

        Args:
            preset: a checkpoint's name, a folder from `save_to_preset`, a Hugging
                Face folder or address (`hf://owner/name`), or a configuration's name,
                which has no weights. Models of BERT's family are also read from Keras
                Hub's presets and from the folders of BERT's authors.
            load_weights: whether to load the weights; otherwise they are random.
            strict: whether the weights of file and model must match. If False, loads
                the weights that both have, initialises the model's others, ignores the
                file's others, and logs both. Presets of other classes are accepted
                only within a family.
            ignore_mismatched: whether to initialise weights whose shapes differ from
                the file's, such as a head for another number of classes; the log and
                `new_weights` name them.
            dtype: the model's precision; defaults to the saved one.
            name: the model's name.
            changes: configuration fields to change, such as `dropout=0.1`; for
                autoencoders also `encoder` and `decoder`, if the preset was saved with
                networks of your own.

        Raises:
            ValueError: the preset does not exist, has no weights, or its weights do
                not fit; the message says how to leave out what does not fit.
            TypeError: `changes` names fields that the configuration does not have.
        """
        given = {name: changes.pop(name) for name in cls.parts if name in changes}
        with registry.opened(preset) as found:
            cls._check(found, preset, changes, strict)
            if load_weights and found.folder is None:
                raise ValueError(cls._without_weights(preset))
            policy = keras.dtype_policies.get(dtype or found.dtype)
            # Weights that are about to be loaded are not initialised, which saves time
            # and memory, also if the file turns out not to fit its configuration.
            bare = load_weights and cls._assign is FromPreset._assign
            parts = cls.parts_of(found, given)
            bare = bare and engine().mesh.size == 1 and not parts
            with registry.no_initialisation() if bare else contextlib.nullcontext():
                model = cls.from_config(  # type: ignore[attr-defined]
                    {
                        "config": cls._fields(found, changes) | changes,
                        "name": name,
                        # Not serialised, since Keras imports TensorFlow for that.
                        "dtype": policy,
                        **parts,
                    }
                )
            if found.folder is not None:
                if load_weights:
                    cls._load(model, found, preset, strict, ignore_mismatched)
                files = (found.folder / file for file in weights.TOKENIZER_FILES)
                if any(file.is_file() for file in files):
                    model.tokenizer = Tokenizer.load(found.folder)
                elif found.folder.is_file():
                    model.tokenizer = Tokenizer.of_file(found.folder)
            return model

    @classmethod
    def parts_of(cls, found: registry.Preset, given: dict[str, Any]) -> dict[str, Any]:
        """The constructor's other arguments for a preset's model; see `parts`."""
        return given

    def preset_settings(self) -> dict[str, Any]:
        """What `config.json` holds besides the configuration."""
        return {}

    @classmethod
    def _load(
        cls,
        model: Any,
        found: registry.Preset,
        preset: Any,
        strict: bool,
        ignore_mismatched: bool,
    ) -> None:
        """Loads the weights of a preset's folder that the model has."""
        arrays: Any = found.read(found.folder)  # type: ignore[arg-type]
        if found.converter is not None:
            arrays = found.converter.convert(
                arrays, model.config, found.architecture, found.unknown_head, strict
            )
        # N-gram counts are not loaded by name: a file has all of them or none.
        by_name = cls._assign is FromPreset._assign
        ours = weights.named_weights(model) if by_name else {}
        body = f"{cls.family}/"
        is_relative = cls._is_relative(found)
        if not by_name:
            fit = Fit(arrays)
        elif not strict:
            fit = Fit.of_common(arrays, ours, found.folder)
        elif is_relative or (cls.family and found.converter):
            fit = Fit.of_body(arrays, ours, body)
        else:
            fit = Fit(arrays)
        # Many files have a pooler that their heads do not use.
        left = [name for name in fit.left if not name.startswith("pooler/")]
        if left and strict and not is_relative:
            raise ValueError(
                f"{os.fspath(preset)!r} must hold only weights of a {cls.__name__}, "
                f"which has no place for: {weights.listed(left)}. strict=False leaves "
                "them out."
            )
        if by_name:
            fit = fit.checked(ours, found.folder, ignore_mismatched)
        named = not strict or found.unknown_head
        cls._report(fit, preset, logging.WARNING if named else logging.INFO)
        model._assign(fit.taken, found.folder, fit.new)
        model.new_weights = tuple(sorted(fit.new))

    def save_to_preset(self, directory: str | os.PathLike[str]) -> None:
        """Writes a folder that `from_preset` reads, replacing an existing preset.

        Weights are saved in float32, whatever the precision; optimizers are not saved.
        """
        settings = {
            "architecture": type(self).__name__,
            "config": dataclasses.asdict(self.config),
            "dtype": self.dtype_policy.name,
            "zoo_version": __version__,
            **self.preset_settings(),
        }
        base = registry.base_of(type(self))
        if base is not None and type(self) is not registry.model_class(base):
            settings["subclass_of"] = base
        texts = {
            "config.json": settings,
            **weights.tokenizer_texts(self),
            MANIFEST: None,  # would describe the previous files
        }
        weights.write(directory, self._arrays(), texts, {"format": "zoo"})

    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **options: Any,
    ) -> None:
        """Keras's `export`; without a signature, `zoo.presets.export_inference`.

        Raises:
            ValueError: the model's call is not what other programs need; the message
                names what is.
        """
        forms: dict[str, Format] = {"tf_saved_model": "saved_model", "onnx": "onnx"}
        if input_signature is None and format in forms:
            export_called(self, filepath, forms[format])
            return
        super().export(  # type: ignore[misc]
            filepath, format, verbose, input_signature, **options
        )

    def _arrays(self) -> dict[str, Any]:
        """The arrays to save, by name."""
        return weights.arrays_of(self)

    def _assign(self, arrays: Any, source: Any, new: Collection[str] = ()) -> None:
        """Sets all weights but those in `new`; `source` names the file in errors."""
        weights.assign(self, arrays, source, new)

    @classmethod
    def _is_relative(cls, found: registry.Preset) -> bool:
        """Whether the preset belongs to another model of the family."""
        if found.architecture == cls.__name__:
            return False
        other = registry.model_class(found.architecture)
        same = cls.family != "" and cls.family == other.family
        return same and not issubclass(cls, other)

    @classmethod
    def _fields(cls, found: registry.Preset, changes: dict) -> dict[str, Any]:
        """The preset's fields; for a relative's, those that this model also has."""
        fields, is_relative = dict(found.fields), cls._is_relative(found)
        count = fields.get("num_classes")
        if is_relative or changes.get("num_classes", count) != count:
            fields.pop("class_names", None)  # belong to the head, which is not loaded
        if not is_relative:
            return fields
        names = {field.name for field in dataclasses.fields(cls.Config)}
        fields |= found.others
        return {name: x for name, x in fields.items() if name in names}

    @classmethod
    def _report(cls, fit: Fit, preset: Any, level: int) -> None:
        """Logs the weights that are new and those of the file that are ignored."""
        logger = logging.getLogger(__name__)
        if fit.new:
            logger.warning(
                "%r has no weights for %s of %s: they are new and need training.",
                os.fspath(preset),
                ", ".join(sorted(fit.new)),
                cls.__name__,
            )
        if fit.left:
            names = weights.listed([*fit.left])
            logger.log(
                level,
                "Weights of %r that were ignored: %s.",
                os.fspath(preset),
                names,
            )

    @classmethod
    def _check(
        cls, found: registry.Preset, preset: Any, changes: dict, strict: bool
    ) -> None:
        """Raises for presets of other models and for unknown fields."""
        name = os.fspath(preset)
        if not cls._is_relative(found):
            cls._check_class(found, name, strict)
        fields = [field.name for field in dataclasses.fields(cls.Config)]
        if unknown := sorted(set(changes) - set(fields)):
            raise TypeError(
                f"{cls.__name__}.from_preset has no arguments {unknown}. Besides "
                f"its own it takes fields of the configuration: {fields}."
            )

    @classmethod
    def _check_class(cls, found: registry.Preset, name: str, strict: bool) -> None:
        if found.architecture == cls.__name__ and not found.subclass:
            other: Any = cls
        else:
            other = registry.model_class(found.architecture)
        if not issubclass(cls, other) and other.Config is not cls.Config:
            raise ValueError(
                f"{name!r} is a {found.architecture}, not a {cls.__name__}. Use "
                f"zoo.{found.architecture}.from_preset."
            )
        ours = [base.__name__ for base in cls.__mro__ if base is not other]
        if strict and found.subclass and found.subclass not in ours:
            raise ValueError(
                f"There is no architecture {found.subclass!r} in zoo: {name!r} was "
                f"saved by a subclass of {found.architecture} of that name, whose "
                f"from_preset reads it; with @zoo.register above the class, so does "
                f"zoo.from_preset. {cls.__name__}.from_preset({name!r}, "
                f"strict=False) loads the weights that a {cls.__name__} has."
            )
        if strict and found.unknown_head:
            raise ValueError(
                f"{name!r} is a {found.unknown_head}, whose head none of zoo's models "
                f"has. zoo.{found.architecture}.from_preset({name!r}, strict=False) "
                "loads everything but the head."
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
