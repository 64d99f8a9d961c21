"""Models of all families cloned, copied and pickled."""

import copy
import pickle

import keras
import numpy as np
import pytest
from keras import ops

import zoo
from tests.distribution.models import CASES, compiled
from zoo.models.image_tokens import token_sizes
from zoo.training import OptimizerGroup

# What the others do is the same on each backend.
QUICK = {"gpt", "dcgan", "recurrent"}
names = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[]
            if name in QUICK or keras.config.backend() == "torch"
            else [pytest.mark.slow],
        )
        for name in CASES
        if name != "bert_lora"
    ],
)
COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}


def values(variables) -> list[np.ndarray]:
    return [ops.convert_to_numpy(variable) for variable in variables]


def equal(ours, theirs) -> bool:
    pairs = zip(ours, theirs, strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def trained(make):
    """A compiled model with its optimizers as after updates."""
    model = compiled(make)
    rng = np.random.default_rng(0)
    for variable in model.optimizer.variables:
        variable.assign(np.asarray(rng.random(variable.shape) * 9, variable.dtype))
    return model


@names
def test_a_copy_is_equal_and_apart(name):
    model = trained(CASES[name][0])
    for copied in (way(model) for way in COPIES.values()):
        assert type(copied) is type(model) and copied.name == model.name
        own = {id(variable) for variable in model.variables}
        assert not own.intersection(id(variable) for variable in copied.variables)
        assert equal(model.get_weights(), copied.get_weights())
        state, other = (values(m.optimizer.variables) for m in (model, copied))
        assert equal(state, other)
        assert copied.plan.accumulate == model.plan.accumulate


@names
def test_a_clone_is_the_same_model_with_new_weights(name):
    model = trained(CASES[name][0])
    clone = keras.models.clone_model(model)
    rebuilt = type(model).from_config(model.get_config())
    # Compiled as the model is, as Keras does it; a configuration alone says nothing of
    # compile().
    assert clone.compiled and not rebuilt.compiled
    assert set(clone.optimizer.members) == set(model.optimizer.members)
    assert int(ops.convert_to_numpy(clone.optimizer.iterations)) == 0
    for made in (clone, rebuilt):
        assert type(made) is type(model)
        made.set_weights(model.get_weights())
        assert equal(model.get_weights(), made.get_weights())


def test_a_copy_of_an_adapted_model_is_the_plain_model_that_it_amounts_to():
    # As in files.
    model = CASES["bert_lora"][0]()
    inputs, _ = CASES["bert_lora"][1](np.random.default_rng(0))
    copied = copy.deepcopy(model)
    difference = values([model(inputs)])[0] - values([copied(inputs)])[0]
    assert np.abs(difference).max() < 1e-5


def test_copies_go_apart():
    model = trained(CASES["gpt"][0])
    batch = CASES["gpt"][1](np.random.default_rng(0))
    before = model.get_weights()
    copied = copy.deepcopy(model)
    fit = {"batch_size": len(batch), "shuffle": False, "verbose": 0}
    model.fit(batch, **fit)
    assert equal(before, copied.get_weights())
    copied.fit(batch, **fit)
    assert equal(model.get_weights(), copied.get_weights())


@pytest.mark.parametrize("way", COPIES.values(), ids=COPIES)
def test_what_is_no_keras_model(way):
    tokenizer = zoo.Tokenizer.characters("abc")
    counts = zoo.NgramLM(zoo.NgramConfig(tokenizer.vocab_size, order=2))
    counts.tokenizer = tokenizer
    counts.fit(tokenizer.encode("abcabcab"))
    assert way(counts).generate("a", 5, seed=1) == counts.generate("a", 5, seed=1)
    vqvae, prefix = CASES["vqvae"][0](), zoo.LabelPrefix(2)
    gpt = zoo.GPT(zoo.GPTConfig(*token_sizes(vqvae, prefix), 1, 2, 8))
    codes = zoo.ImageTokens(vqvae, gpt, prefix)
    assert equal(way(codes).gpt.get_weights(), gpt.get_weights())


def test_optimizers_by_themselves():
    group = trained(CASES["gan"][0]).optimizer
    config = keras.optimizers.serialize(group)
    again = keras.optimizers.deserialize(config)
    assert type(again) is OptimizerGroup and set(again.members) == set(group.members)
    for name, member in group.members.items():
        assert again.members[name].get_config() == member.get_config()
