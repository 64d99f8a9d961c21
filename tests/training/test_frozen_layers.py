"""Frozen layers stay frozen in files, clones and copies."""

import copy

import keras
import numpy as np
import pytest

import zoo
from tests.training.toys import Regression, with_weights
from zoo import layers
from zoo.layers import frozen_layers

WAYS = ["load_model", "clone_model", "deepcopy"]


def again(way, model, folder):
    if way == "clone_model":
        return keras.models.clone_model(model)
    if way == "deepcopy":
        return copy.deepcopy(model)
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def trainable(model):
    return [variable.trainable for variable in model.variables]


def whole(block):
    block.trainable = False


def one_part(block):
    block.feed_forward.expand.trainable = False


def all_but_one(block):
    block.trainable = False
    block.attention.trainable = True


FREEZE = pytest.mark.parametrize("freeze", [whole, one_part, all_but_one])


@FREEZE
@pytest.mark.parametrize("way", WAYS)
def test_parts_of_a_layer(way, freeze, tmp_path):
    given = keras.Input((4, 8))
    block = layers.TransformerBlock(2, 8, 6)
    model = keras.Model(given, block(given))
    freeze(block)
    loaded = again(way, model, tmp_path)
    assert False in trainable(model) and trainable(loaded) == trainable(model)


@pytest.mark.parametrize("way", WAYS)
def test_blocks_of_a_model(way, tmp_path):
    model = with_weights(zoo.GPT(zoo.GPTConfig(11, 6, 2, 2, 8)), stddev=0.5)
    one_part(model.blocks[1])
    model.compile("adam")
    tokens = np.random.default_rng(0).integers(11, size=(4, 7))
    fit = {"batch_size": 4, "shuffle": False, "verbose": 0}
    if way == "load_model":
        model.fit(tokens, **fit)
    loaded = again(way, model, tmp_path)
    assert False in trainable(model) and trainable(loaded) == trainable(model)
    if way == "load_model":
        model.fit(tokens, **fit)
        loaded.fit(tokens, **fit)
        for ours, theirs in zip(
            *(m.get_weights() for m in (model, loaded)), strict=True
        ):
            assert np.abs(ours - theirs).max() < 1e-6


@pytest.mark.parametrize("way", WAYS)
def test_a_model_as_a_whole(way, tmp_path):
    model = zoo.BertBackbone(zoo.BertConfig(11, 6, 1, 2, 8))
    model.trainable = False
    loaded = again(way, model, tmp_path)
    assert not loaded.trainable and not any(trainable(loaded))


def test_a_layer_of_a_users_model(tmp_path):
    model = Regression()
    model.network.layers[0].trainable = False
    model.compile("sgd")
    loaded = again("load_model", model, tmp_path)
    assert trainable(loaded) == trainable(model) == [False, False, True, True]


def test_nothing_is_said_of_what_is_as_it_was_made():
    model = zoo.GPT(zoo.GPTConfig(11, 6, 2, 2, 8))
    assert frozen_layers.FLAGS not in model.get_config()
    assert frozen_layers.FLAGS not in model.blocks[0].get_config()


def test_parts_that_are_not_there():
    config = layers.FeedForward(8, 6).get_config()
    flags = {frozen_layers.FLAGS: {"gate.0": False}}
    with pytest.raises(ValueError, match="no part 'gate.0', .* frozen.*expand.0"):
        layers.FeedForward.from_config({**config, **flags})
