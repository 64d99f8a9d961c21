"""A set of tensorflow-datasets, written locally, through `fit`."""

import numpy as np
import pytest

import zoo
from tests.data.test_datasets import write_tfds

TEXTS = ["one two three", "two four", "three one", "four four two"]


def test_tfds_through_fit(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    write_tfds(tmp_path, "tiny", {"train": TEXTS, "test": TEXTS[:1]})
    gpt = zoo.GPT(zoo.GPTConfig(270, 8, 1, 2, 8))
    gpt.tokenizer = zoo.Tokenizer.train_bpe(TEXTS, 270)
    gpt.compile("sgd")
    # The examples themselves, which need no TensorFlow, ...
    examples = tfds.builder("tiny", data_dir=tmp_path).as_data_source("train")
    first = [w.copy() for w in gpt.get_weights()]
    kwargs = {"batch_size": 2, "shuffle": False, "verbose": 0}
    found = gpt.fit([x["text"] for x in examples], **kwargs).history
    gpt.set_weights(first)
    assert gpt.fit(TEXTS, **kwargs).history == found
    # ... and the text that `load` joins.
    data = zoo.data.load("tfds:tiny", data_dir=tmp_path)
    score = gpt.evaluate(data.validation, verbose=0, return_dict=True)
    assert np.isfinite(score["loss"])
