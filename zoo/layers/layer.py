"""A Keras layer that is saved, loaded and cloned from its constructor's arguments."""

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any, Self

import keras

from zoo.layers import frozen_layers


class Layer(keras.layers.Layer):
    """A Keras layer whose configuration is its constructor's arguments.

    Keras derives no configuration for a layer with other than plain arguments, such as
    an initializer or another layer. Here arguments may also be named functions, and
    dataclasses, which are restored as the type of the argument's annotation.

    A subclass needs no `get_config`; to be loaded from a file it must be registered by
    `keras.saving.register_keras_serializable`.
    """

    _given: Mapping[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Records the arguments, as Keras does if all of them are plain."""
        layer = super().__new__(cls, *args, **kwargs)
        bound = inspect.signature(cls.__init__).bind_partial(layer, *args, **kwargs)
        # So that old files keep their meaning when a default changes.
        bound.apply_defaults()
        given: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:]:
            match bound.signature.parameters[name].kind:
                case inspect.Parameter.VAR_KEYWORD:
                    given |= value
                case inspect.Parameter.VAR_POSITIONAL:
                    given |= {f"*{name}": value} if value else {}
                case _:
                    given[name] = value
        # A proxy that bypasses Keras's tracking, which would save a layer among the
        # arguments twice.
        vars(layer)["_given"] = types.MappingProxyType(given)
        return layer

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as plain values.

        Raises:
            ValueError: an argument could not be restored from plain values.
        """
        # Not super(): a Keras layer in between takes other arguments.
        config = keras.layers.Layer.get_config(self)
        given = {k: self._plain(k, v) for k, v in self._given.items()}
        return {**given, **config, **frozen_layers.flags(self)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A new layer with this configuration and its own weights."""
        given = {k: v for k, v in config.items() if k != frozen_layers.FLAGS}
        layer = super().from_config({k: cls._made(k, v) for k, v in given.items()})
        return frozen_layers.restored(layer, config)

    def _plain(self, name: str, value: Any) -> Any:
        if name.startswith("*"):
            raise ValueError(
                f"{type(self).__name__} {self.name!r} can't be saved or cloned: its "
                f"constructor was given {name}, which have no names. Pass them by "
                "name, or define get_config."
            )
        if isinstance(value, keras.layers.Layer):
            # The second serialisation marks it as the same layer, so that layers that
            # share it share it again when loaded.
            return keras.saving.serialize_keras_object([value, value])[1]
        if dataclasses.is_dataclass(value):
            fields = dataclasses.fields(self._dataclass(name))
            return {field.name: getattr(value, field.name) for field in fields}
        if inspect.isroutine(value):
            return self._named(name, value)
        return keras.saving.serialize_keras_object(value)

    def _named(self, argument: str, function: Any) -> dict[str, Any]:
        name = getattr(function, "__name__", "")
        for module in ("activations", "ops"):
            if getattr(getattr(keras, module), name, None) is function:
                return {
                    "class_name": "function",
                    "module": f"keras.{module}",
                    "config": name,
                    "registered_name": name,
                }
        registered = keras.saving.get_registered_name(function)
        if keras.saving.get_registered_object(registered) is function:
            return keras.saving.serialize_keras_object(function)
        raise ValueError(
            f"{type(self).__name__} {self.name!r} can't be saved or cloned: its "
            f"{argument} is a function that can't be found by its name, "
            f"{function!r}. Pass {argument} as a name that Keras knows, or register "
            "the function by keras.saving.register_keras_serializable."
        )

    @classmethod
    def _made(cls, name: str, value: Any) -> Any:
        if not isinstance(value, dict) or name == "dtype":
            return value
        if "class_name" in value:
            return keras.saving.deserialize_keras_object(value)
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
        return cls._dataclass(name)(**fields)

    @classmethod
    def _dataclass(cls, argument: str) -> Any:
        """The dataclass that an argument's annotation is, or allows."""
        signature = inspect.signature(cls.__init__, eval_str=True)
        annotation = signature.parameters[argument].annotation
        kinds = typing.get_args(annotation) or (annotation,)
        return next(kind for kind in kinds if dataclasses.is_dataclass(kind))
