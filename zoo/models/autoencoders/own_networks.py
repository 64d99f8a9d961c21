"""A user's own encoder and decoder: their shapes, their presets, their files.

Shapes: B images, (H, W, C) of an image, L code dimensions.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import keras

from zoo.presets.preset import FromPreset
from zoo.presets.registry import DTYPES, Preset
from zoo.training import Model

NETWORKS = ("encoder", "decoder")


class OwnNetworks(FromPreset, Model):
    """A model whose `encoder` and `decoder` the user may give.

    Presets hold the weights of such networks by their order, and name their classes. A
    preset is loaded with `from_preset(..., encoder=, decoder=)`, or without them if
    their classes are registered (`keras.saving.register_keras_serializable`) and made
    from plain values. Nothing else of a file is turned into objects.
    """

    parts: ClassVar[tuple[str, ...]] = NETWORKS
    # The names of those that the user gave.
    given: tuple[str, ...] = ()

    def foreign_networks(self) -> dict[str, keras.Layer]:
        """The networks that the user gave, by name."""
        return {name: getattr(self, name) for name in self.given}

    def preset_settings(self) -> dict[str, Any]:
        """What `config.json` says of the networks that the user gave."""
        found = {name: described(x) for name, x in self.foreign_networks().items()}
        return {"networks": found} if found else {}

    @classmethod
    def parts_of(cls, found: Preset, given: Mapping[str, Any]) -> dict[str, Any]:
        """The networks to make a preset's model with.

        Raises:
            ValueError: the preset holds networks of a user's own that were not given
                and can't be made by name, or others were given.
        """
        made = {name: x for name, x in given.items() if x is not None}
        if found.folder is not None and (extra := set(made) - set(found.networks)):
            raise ValueError(
                f"{found.folder} was saved with the {' and '.join(sorted(extra))} that "
                f"{cls.__name__} makes from its configuration, and another was given. "
                "Leave it out."
            )
        for name, settings in found.networks.items():
            if name not in made:
                made[name] = _remade(name, settings, cls.__name__)
        return made

    def get_config(self) -> dict[str, Any]:
        """The configuration and the networks that the user gave."""
        networks = {
            name: keras.saving.serialize_keras_object(network)
            for name, network in self.foreign_networks().items()
        }
        return {**super().get_config(), **networks}

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> Self:
        """Rebuilds the model; networks may be layers, or what `get_config` returned."""
        networks = {name: config[name] for name in NETWORKS if config.get(name)}
        for name, network in networks.items():
            if not isinstance(network, keras.Layer):
                networks[name] = keras.saving.deserialize_keras_object(
                    network, custom_objects
                )
        return super().from_config({**config, "parts": networks}, custom_objects)


def described(network: keras.Layer) -> dict[str, Any]:
    """A network's class by name, and its settings if they are plain values."""
    name = keras.saving.get_registered_name(type(network))
    found: dict[str, Any] = {"class": type(network).__name__}
    if ">" not in name:
        return found
    try:
        settings = dict(network.get_config())
    except NotImplementedError:
        return found
    if not isinstance(settings.get("dtype", ""), str):
        settings["dtype"] = network.dtype_policy.name
    # Keras's descriptions of objects are dicts, and so are not plain.
    if not _is_plain(list(settings.values())):
        return found
    return {"registered": name, "settings": json.loads(json.dumps(settings)), **found}


def check_encoder(
    network: Any, image_shape: Sequence[int], code_dim: int, gaussian: bool
) -> None:
    """Builds a user's encoder and raises unless it gives codes of L dimensions.

    Args:
        network: from images (B, H, W, C).
        image_shape: (H, W, C).
        code_dim: L.
        gaussian: whether codes are a mean and a log-variance.
    """
    found = _output_shapes("encoder", network, image_shape)
    one = (None, code_dim)
    wanted: tuple[Any, ...] = ([one],)
    words = f"codes of shape (B, {code_dim})"
    if gaussian:
        wanted = ([one, one], [(None, 2 * code_dim)])
        words = (
            f"a mean and a log-variance, a pair of shape (B, {code_dim}), or both in "
            f"one array (B, {2 * code_dim})"
        )
    if found not in wanted:
        raise ValueError(
            f"The encoder must turn images {('B', *image_shape)} into {words}, got "
            f"{_shown(found)}."
        )


def check_decoder(network: Any, code_dim: int, output_shape: Sequence[int]) -> None:
    """Builds a user's decoder and raises unless it gives arrays of `output_shape`."""
    found = _output_shapes("decoder", network, (code_dim,))
    if found != [(None, *output_shape)]:
        channels = output_shape[-1]
        raise ValueError(
            f"The decoder must turn codes (B, {code_dim}) into the observation's "
            f"parameters {('B', *output_shape)}, {channels} per pixel, got "
            f"{_shown(found)}."
        )


def _output_shapes(
    name: str, network: Any, input_shape: Sequence[int]
) -> list[tuple[int | None, ...]]:
    if not isinstance(network, keras.Layer):
        raise TypeError(
            f"{name} must be a keras.Model or keras.Layer, got {network!r:.80}."
        )
    given = keras.Input(tuple(input_shape))
    try:
        outputs = network(given)
    except Exception as error:
        raise ValueError(
            f"The {name} must take arrays of shape {('B', *input_shape)}, and "
            f"{network.name!r} does not: {error}"
        ) from error
    return [tuple(x.shape) for x in keras.tree.flatten(outputs)]


def _shown(shapes: list[tuple[int | None, ...]]) -> str:
    return ", ".join(str(("B", *shape[1:])) for shape in shapes) or "nothing"


def _remade(name: str, settings: Any, model: str) -> keras.Layer:
    """Makes a network of a registered class, from plain values alone."""
    settings = settings if isinstance(settings, dict) else {}
    registered, values = settings.get("registered"), settings.get("settings")
    known = keras.saving.get_custom_objects()
    cls: Any = known.get(registered) if isinstance(registered, str) else None
    hint = (
        f"Give it: {model}.from_preset(..., {name}=...), made as it was when the "
        "preset was saved"
    )
    if not _is_layer(cls):
        kind = registered or settings.get("class")
        raise ValueError(
            f"The preset's {name} is a user's own network, {kind!r:.80}, and no class "
            f"of that name is registered here. {hint}, or import the module that "
            "registers it."
        )
    values = dict(values) if isinstance(values, dict) else {}
    dtype = values.get("dtype", "float32")
    if not _is_plain(list(values.values())) or dtype not in DTYPES:
        raise ValueError(
            f"The settings of the preset's {name} must be plain values, got "
            f"{values!r:.200}. {hint}."
        )
    try:
        return cls.from_config(values)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The preset's {name} can't be made from its settings: {error}. {hint}."
        ) from error


def _is_layer(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, keras.Layer)


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
