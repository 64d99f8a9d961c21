"""`from_preset` and `save_to_preset`, for every model that has a configuration."""

import dataclasses
import os
from typing import Any, ClassVar, Self

import keras

from zoo.data.tokenizers import Tokenizer
from zoo.presets import registry, weights


class FromPreset:
    """Makes models from presets and saves them as presets.

    A folder holds `config.json` (architecture, configuration, precision, version),
    `model.safetensors` (weights by name) and the tokenizer's file, if there is one.
    """

    Config: ClassVar[Any]
    config: Any
    dtype_policy: Any
    tokenizer: Any = None

    @classmethod
    def from_preset(
        cls,
        preset: str | os.PathLike[str],
        load_weights: bool = True,
        *,
        dtype: Any = None,
        name: str | None = None,
        **changes: Any,
    ) -> Self:
        """Makes a model, with its weights and tokenizer.

        Args:
            preset: a checkpoint's name, a folder from `save_to_preset`, a Hugging
                Face folder, or a configuration's name, which comes without weights.
            load_weights: False leaves them random.
            dtype: a precision; default is the saved one.
            name: the model's.
            changes: fields of the configuration to change, such as `dropout=0.1`.

        Raises:
            ValueError: there is no such preset, or no weights, or they do not fit.
        """
        found = registry.find(preset)
        cls._check(found, preset, changes)
        if load_weights and found.folder is None:
            raise ValueError(cls._without_weights(preset))
        policy = keras.dtype_policies.get(dtype or found.dtype)
        model = cls.from_config(  # type: ignore[attr-defined]
            {
                "config": found.fields | changes,
                "name": name,
                "dtype": keras.dtype_policies.serialize(policy),
            }
        )
        if found.folder is None:
            return model
        if load_weights:
            arrays = weights.read(found.folder)
            if found.converter is not None:
                arrays = found.converter.convert(arrays, model.config)
            weights.assign(model, arrays, found.folder / weights.WEIGHTS)
        if any((found.folder / file).is_file() for file in weights.TOKENIZER_FILES):
            model.tokenizer = Tokenizer.load(found.folder)
        return model

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
        texts = {"config.json": settings, **weights.tokenizer_texts(self)}
        weights.write(directory, weights.arrays_of(self), texts, {"format": "zoo"})

    @classmethod
    def _check(cls, found: registry.Preset, preset: Any, changes: dict) -> None:
        if found.architecture != cls.__name__ and (
            registry.model_class(found.architecture).Config is not cls.Config
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
