"""Keras Hub's tokenizers and samplers beside ours, with the package itself.

Needs the extra `keras-hub`, which brings the complete TensorFlow; presets in both
directions are in `tests/presets/test_keras_hub.py`.
"""

import numpy as np
import pytest
from keras import ops

import zoo
from zoo.presets import export_keras_hub

keras_hub = pytest.importorskip("keras_hub")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

TEXTS = ["The cat sat on the mat.", "Déjà vu: it's 10 o'clock!", "  two  blanks", "éa"]


@pytest.fixture(scope="module")
def gpt():
    tokenizer = zoo.Tokenizer.train_bpe(TEXTS, 300)
    model = zoo.GPT(zoo.GPTConfig(tokenizer.vocab_size, 24, 2, 2, 16))
    model.tokenizer = tokenizer
    for index, weight in enumerate(model.weights):
        noise = np.random.default_rng(index).normal(0, 0.3, weight.shape)
        weight.assign(weight + noise)
    return model


@pytest.fixture(scope="module")
def theirs(gpt, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    export_keras_hub(gpt, folder)
    return keras_hub.models.GPT2CausalLM.from_preset(str(folder))


def test_same_ids_of_pairs(gpt, theirs):
    for text in TEXTS:
        found = ops.convert_to_numpy(theirs.preprocessor.tokenizer(text))
        assert found.tolist() == gpt.tokenizer.encode(text).tolist(), text
        ids = gpt.tokenizer.encode(text)
        assert theirs.preprocessor.tokenizer.detokenize(ids) == gpt.tokenizer.decode(
            ids
        )


def test_same_ids_of_wordpiece(tmp_path):
    ours = zoo.BertBackbone(zoo.BertConfig(120, 24, 1, 2, 8, activation="gelu_tanh"))
    ours.tokenizer = zoo.Tokenizer.train_wordpiece(TEXTS, 120)
    export_keras_hub(ours, tmp_path)
    theirs = keras_hub.models.BertTokenizer.from_preset(str(tmp_path))
    for text in TEXTS:
        found = ops.convert_to_numpy(theirs(text)).tolist()
        assert found == ours.tokenizer.encode(text).tolist(), text
        assert (theirs.cls_token_id, theirs.mask_token_id) == (
            ours.tokenizer.cls_id,
            ours.tokenizer.mask_id,
        )


def test_same_rows_for_a_classifier(tmp_path):
    """What `fit` makes of raw texts here and there, where nothing is cut."""
    config = zoo.BertClassifierConfig(120, 24, 1, 2, 8, activation="gelu_tanh")
    ours = zoo.BertClassifier(config)
    ours.tokenizer = zoo.Tokenizer.train_wordpiece(TEXTS, 120)
    ours.sequence_length = 24
    export_keras_hub(ours, tmp_path)
    preset = str(tmp_path)
    load = keras_hub.models.BertTextClassifierPreprocessor.from_preset
    preprocessor = load(preset, sequence_length=24)
    first, second = TEXTS[:2], TEXTS[2:]
    theirs, *_ = preprocessor((np.array(first), np.array(second)), np.zeros(2))
    rows, cut = ours.text_inputs((first, second), 24)
    assert not cut
    for name in ("token_ids", "segment_ids", "padding_mask"):
        found = ops.convert_to_numpy(theirs[name])
        assert found.tolist() == rows[name].tolist(), name


@pytest.mark.parametrize("name", ["greedy", "beam"])
def test_their_samplers_write_with_our_model(name, gpt):
    """A sampler calls `next(ids, cache, index)`, which any of our models can be."""
    sampler = keras_hub.samplers.get(name)
    prompt = np.zeros((1, 12), "int32")
    prompt[:, :4] = gpt.tokenizer.encode("two o'clock")[:4]
    mask = np.arange(12)[None] < 4

    def logits(ids, cache, index):
        found = ops.take(gpt(ids), index - 1, axis=1)
        return found, None, cache

    found = sampler(
        next=logits, prompt=ops.convert_to_tensor(prompt), index=4, mask=mask
    )
    options = {"temperature": 0}
    if name == "beam":
        options = {"num_beams": sampler.num_beams}
    ours = gpt.generate(prompt[:, :4], max_new_tokens=8, **options)
    found = ops.convert_to_numpy(found).reshape(1, -1)
    assert found.tolist() == np.asarray(ours).reshape(1, -1).tolist()


def test_their_generation_and_ours(gpt, theirs):
    prompt = "The cat"
    theirs.compile(sampler="greedy")
    found = theirs.generate(prompt, max_length=12, stop_token_ids=None)
    length = 12 - len(gpt.tokenizer.encode(prompt))
    ours = gpt.generate(prompt, max_new_tokens=length, temperature=0)
    # Theirs puts a start token before the prompt, which is another context.
    ids = np.append(gpt.tokenizer.end_of_text_id, gpt.tokenizer.encode(prompt))
    started = gpt.generate(ids, max_new_tokens=12 - len(ids), temperature=0)
    assert found == gpt.tokenizer.decode(started[1:])
    assert ours.startswith(prompt) and found.startswith(prompt)
