"""Every configuration field must have its type and range, or is refused."""

import dataclasses
import json
import time
import typing

import numpy as np
import pytest

import zoo
from zoo import catalog
from zoo.configs.checks import DEPTHS, KERAS_ACTIVATIONS
from zoo.presets.registry import configs, model_class

pytestmark = pytest.mark.host

# Sizes for the fields that have no default.
SIZES = {
    "vocab_size": 17,
    "context_length": 8,
    "num_layers": 1,
    "num_heads": 2,
    "width": 8,
    "num_classes": 3,
}


def classes():
    found = {model_class(name).Config for name in catalog.architectures()}
    # Without those that other tests registered.
    own = (cls for cls in found if cls.__module__.startswith("zoo."))
    return sorted(own, key=lambda cls: cls.__name__)


def given(cls):
    """Values for the required fields, and all fields."""
    fields = dataclasses.fields(cls)
    missing = [f.name for f in fields if f.default is dataclasses.MISSING]
    return {name: SIZES[name] for name in missing}, fields


CASES = [(cls, field.name) for cls in classes() for field in given(cls)[1]]
# A Keras object, as `keras.saving.serialize_keras_object` describes it, among others.
OBJECT = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 3}}
OTHERS = (OBJECT, [OBJECT], {}, [[]], [1] * 50, "\ud800", b"x", float("nan"), 1e400)


@pytest.mark.parametrize(("cls", "name"), CASES, ids=str)
def test_each_field_has_a_kind(cls, name):
    sizes, _ = given(cls)
    kind = typing.get_type_hints(cls)[name]
    assert cls(**sizes)
    for other in OTHERS:
        if other == [1] * 50 and typing.get_origin(kind) is tuple:
            continue
        if other == {} and dataclasses.is_dataclass(kind):
            continue  # all defaults
        with pytest.raises(ValueError, match=name):
            cls(**sizes | {name: other})
    if type(None) not in typing.get_args(kind):
        with pytest.raises(ValueError, match=f"{name} must be .*, got None"):
            cls(**sizes | {name: None})
    if bool not in (kind, *typing.get_args(kind)):
        with pytest.raises(ValueError, match=name):
            cls(**sizes | {name: True})


@pytest.mark.parametrize(
    "number", [10**6, 2**31, 2**70, 10**5000, -(2**70)], ids=range(5)
)
@pytest.mark.parametrize(("cls", "name"), [c for c in CASES if c[1] in DEPTHS], ids=str)
def test_a_million_layers_are_refused_at_once(cls, name, number):
    started = time.process_time()
    with pytest.raises(ValueError, match=f"{name} must be "):
        cls(**given(cls)[0] | {name: number})
    assert time.process_time() - started < 0.1


@pytest.mark.parametrize("cls", [zoo.VAEConfig, zoo.AutoencoderConfig])
def test_activations_are_names(cls):
    for name in KERAS_ACTIVATIONS:
        assert cls(activation=name).activation == name
    for other in ("os.system", "Dense", "get_file", "glu", lambda x: x, OBJECT):
        with pytest.raises(ValueError, match="activation must be"):
            cls(activation=other)


def test_lists_and_numbers_of_numpy_are_pythons_own():
    config = zoo.VAEConfig([8, 8, 1], np.int64(2), hidden=[4], beta=np.float32(0.5))
    assert config == zoo.VAEConfig((8, 8, 1), 2, hidden=(4,), beta=0.5)
    assert json.loads(json.dumps(dataclasses.asdict(config)))["latent_dim"] == 2


def test_the_largest_published_ones_are_within():
    assert len(configs()) > 30  # which are made when they are imported
