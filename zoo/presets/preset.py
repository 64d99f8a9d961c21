"""`from_preset` and `save_to_preset`, for every model that has a configuration."""

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
from zoo.store.manifest import MANIFEST
from zoo.tokenizers.tokenizer import Tokenizer
from zoo.version import __version__


def from_preset(preset: str | os.PathLike[str], **options: Any) -> Any:
    """A preset's model, of whichever class it is; see `FromPreset.from_preset`.

    What a class of one's own has saved, that class reads, and this function refuses:
    what the class computes is not in the file.
    """
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
    # Names of weights for which `from_preset` found none: they are as they were drawn.
    new_weights: tuple[str, ...] = ()

    @property
    def tokenizer(self) -> Any:
        """What texts are read and written by; None where nobody set one."""
        return self.__dict__.get("known_tokenizer")

    @tokenizer.setter
    def tokenizer(self, tokenizer: Any) -> None:
        vocab_size = getattr(self.config, "vocab_size", math.inf)
        if isinstance(tokenizer, Tokenizer) and tokenizer.vocab_size > vocab_size:
            raise ValueError(
                f"The tokenizer has {tokenizer.vocab_size} tokens, and the model takes "
                f"ids below vocab_size={vocab_size} alone. Set the tokenizer that the "
                f"model was trained with, or make the model with "
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
                both. Models of other classes are only taken within a family.
            ignore_mismatched: True leaves weights new whose shapes are not the file's,
                such as those of a head for another number of classes; the log and
                `new_weights` name them.
            dtype: a precision; default is the saved one.
            name: the model's.
            changes: fields of the configuration to change, such as `dropout=0.1`.

        Raises:
            ValueError: there is no such preset, or no weights, or they do not fit; the
                message names what does not, and the way to leave it out.
        """
        with registry.opened(preset) as found:
            cls._check(found, preset, changes, strict)
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
                        "config": cls._fields(found, changes) | changes,
                        "name": name,
                        # Not serialised, for which Keras imports TensorFlow.
                        "dtype": policy,
                    }
                )
            if found.folder is not None:
                if load_weights:
                    cls._load(model, found, preset, strict, ignore_mismatched)
                files = (found.folder / file for file in weights.TOKENIZER_FILES)
                if any(file.is_file() for file in files):
                    model.tokenizer = Tokenizer.load(found.folder)
            return model

    @classmethod
    def _load(
        cls,
        model: Any,
        found: registry.Preset,
        preset: Any,
        strict: bool,
        ignore_mismatched: bool,
    ) -> None:
        """Takes the weights of a preset's folder, those that the model has."""
        arrays: Any = found.read(found.folder)  # type: ignore[arg-type]
        if found.converter is not None:
            arrays = found.converter.convert(
                arrays, model.config, found.architecture, found.unknown_head, strict
            )
        # Counts of n-grams belong together: a file has all of them or none.
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
        # A pooler is part of many files whose heads make no use of it.
        left = [name for name in fit.left if not name.startswith("pooler/")]
        if left and strict and not is_relative:
            raise ValueError(
                f"{os.fspath(preset)!r} holds weights that a {cls.__name__} has no "
                f"place for: {weights.listed(left)}. strict=False leaves them out."
            )
        if by_name:
            fit = fit.checked(ours, found.folder, ignore_mismatched)
        named = not strict or found.unknown_head
        cls._report(fit, preset, logging.WARNING if named else logging.INFO)
        model._assign(fit.taken, found.folder, fit.new)
        model.new_weights = tuple(sorted(fit.new))

    def save_to_preset(self, directory: str | os.PathLike[str]) -> None:
        """Writes a folder that `from_preset` reads, over one that is there.

        Weights are in float32, whatever the precision. Optimizers are not saved.
        """
        settings = {
            "architecture": type(self).__name__,
            "config": dataclasses.asdict(self.config),
            "dtype": self.dtype_policy.name,
            "zoo_version": __version__,
        }
        base = registry.base_of(type(self))
        if base is not None and type(self) is not registry.model_class(base):
            settings["subclass_of"] = base
        texts = {
            "config.json": settings,
            **weights.tokenizer_texts(self),
            MANIFEST: None,  # which would speak of the files before
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
        """Keras's `export`; without a signature by `zoo.presets.export_inference`.

        Raises:
            ValueError: other programs want something else of the model than its call;
                the message says what.
        """
        forms: dict[str, Format] = {"tf_saved_model": "saved_model", "onnx": "onnx"}
        if input_signature is None and format in forms:
            export_called(self, filepath, forms[format])
            return
        super().export(  # type: ignore[misc]
            filepath, format, verbose, input_signature, **options
        )

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
    def _fields(cls, found: registry.Preset, changes: dict) -> dict[str, Any]:
        """The preset's fields; of a relative's, those that this configuration has."""
        fields, is_relative = dict(found.fields), cls._is_relative(found)
        count = fields.get("num_classes")
        if is_relative or changes.get("num_classes", count) != count:
            fields.pop("class_names", None)  # its head's, which is not taken
        if not is_relative:
            return fields
        names = {field.name for field in dataclasses.fields(cls.Config)}
        fields |= found.others
        return {name: x for name, x in fields.items() if name in names}

    @classmethod
    def _report(cls, fit: Fit, preset: Any, level: int) -> None:
        """Says what is new, and what of the file is passed over."""
        logger = logging.getLogger(__name__)
        if fit.new:
            logger.warning(
                "%r has no weights for %s of %s: they are new, and wait for training.",
                os.fspath(preset),
                ", ".join(sorted(fit.new)),
                cls.__name__,
            )
        if fit.left:
            names = weights.listed([*fit.left])
            logger.log(
                level,
                "Of %r these were passed over: %s.",
                os.fspath(preset),
                names,
            )

    @classmethod
    def _check(
        cls, found: registry.Preset, preset: Any, changes: dict, strict: bool
    ) -> None:
        """Raises for presets of other models, and for fields that there are not."""
        name = os.fspath(preset)
        if not cls._is_relative(found):
            cls._check_class(found, name, strict)
        fields = [field.name for field in dataclasses.fields(cls.Config)]
        if unknown := sorted(set(changes) - set(fields)):
            raise TypeError(
                f"{cls.__name__}.from_preset has no arguments {unknown}. Besides "
                f"dtype and name it takes fields of the configuration: {fields}."
            )

    @classmethod
    def _check_class(cls, found: registry.Preset, name: str, strict: bool) -> None:
        if found.architecture == cls.__name__ and not found.subclass:
            other: Any = cls
        else:
            other = registry.model_class(found.architecture)
        if not issubclass(cls, other) and other.Config is not cls.Config:
            raise ValueError(
                f"{name!r} is a {found.architecture}, not a {cls.__name__}: use "
                f"zoo.{found.architecture}.from_preset."
            )
        ours = [base.__name__ for base in cls.__mro__ if base is not other]
        if strict and found.subclass and found.subclass not in ours:
            raise ValueError(
                f"There is no architecture {found.subclass!r} in zoo: {name!r} was "
                f"saved by a subclass of {found.architecture} of that name, whose "
                f"from_preset reads it. {cls.__name__}.from_preset({name!r}, "
                f"strict=False) takes the weights that a {cls.__name__} has."
            )
        if strict and found.unknown_head:
            raise ValueError(
                f"{name!r} is a {found.unknown_head}, whose head none of zoo's models "
                f"has. zoo.{found.architecture}.from_preset({name!r}, strict=False) "
                "takes all but the head."
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
