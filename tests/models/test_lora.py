"""LoRA: parity with torch, what it freezes, what files hold."""

import keras
import numpy as np
import pytest
import torch
from keras import ops
from keras.optimizers import SGD, AdamW

import zoo
from tests.models.bert_texts import EAGER, SIZES, run, step, texts
from tests.training.toys import with_weights
from zoo.layers.dense import Dense, HeadsDense
from zoo.presets import weights
from zoo.training import Model, Phase
from zoo.training.finetuning.lora import lora_layers
from zoo.training.runs.checkpoint import Resume, save_checkpoint

TEXTS = texts()
CLASSES = np.array([0, 2, 1, 2], "int32")
RANK, ALPHA = 2, 6.0
WIDTH, HEADS = SIZES["width"], SIZES["num_heads"]
NAMES = ("query", "key", "value")
RNG = np.random.default_rng(7)


def drawn(*shape):
    return RNG.normal(0, 0.3, shape).astype("float32")


def classifier(**options):
    config = zoo.BertClassifierConfig(**SIZES, num_classes=3, dropout=0.0)
    return with_weights(zoo.BertClassifier(config, **options), stddev=0.3)


def adapted(model=None, **options):
    """A LoRA model whose factors are not zero."""
    model = model or classifier()
    model.enable_lora(RANK, ALPHA, **options)
    rng = np.random.default_rng(3)
    for layer in lora_layers(model):
        for factor in (layer.lora_kernel_a, layer.lora_kernel_b):
            factor.assign(rng.normal(0, 0.3, factor.shape))
    return model


def arrays(variables):
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


def count(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


# === The product and its gradients, beside torch's ===


class Projections(Model):
    """Queries, keys and values; each entry has a weight in the loss."""

    def __init__(self):
        super().__init__()
        self.layer = HeadsDense(NAMES, HEADS, WIDTH // HEADS)
        self.layer.build((None, None, WIDTH))
        self.layer.kernel.assign(drawn(WIDTH, 3 * WIDTH))

    def call(self, x):
        return ops.stack(self.layer.heads(x), axis=1)

    def stack(self):
        return [[self.layer]]

    def phases(self):
        return (Phase("sum", self.weighed, [self]),)

    def weighed(self, batch):
        x, weights = batch
        return {"loss": ops.sum(self(x) * weights)}


@pytest.mark.parametrize("targets", [("query", "value"), ("key",), NAMES])
def test_projections_of_heads(targets):
    """Each target alone matches torch's x·W + alpha/rank · x·A·B."""
    model = Projections()
    model.enable_lora(RANK, ALPHA, targets)
    layer = model.layer
    factors = [layer.lora_kernel_a, layer.lora_kernel_b]
    assert factors[0].shape == (WIDTH, len(targets) * RANK)
    assert factors[1].shape == (len(targets) * RANK, WIDTH)
    assert not arrays(factors)[1].any()
    factors[1].assign(drawn(*factors[1].shape))
    x, weights = drawn(2, 5, WIDTH), drawn(2, 3, 5, HEADS, WIDTH // HEADS)

    kernel, a, b = map(torch.from_numpy, arrays([layer._kernel, *factors]))
    a.requires_grad_(), b.requires_grad_()
    by_part = kernel.reshape(WIDTH, HEADS, 3, WIDTH // HEADS)
    expected = []
    for index, name in enumerate(NAMES):
        matrix = by_part[:, :, index].reshape(WIDTH, WIDTH)
        y = torch.from_numpy(x) @ matrix
        if name in targets:
            start = RANK * targets.index(name)
            own = slice(start, start + RANK)
            y = y + ALPHA / RANK * (torch.from_numpy(x) @ a[:, own] @ b[own])
        expected.append(y.reshape(2, 5, HEADS, -1))
    expected = torch.stack(expected, dim=1)
    (expected * torch.from_numpy(weights)).sum().backward()

    assert np.abs(run(model, x) - expected.detach().numpy()).max() < 1e-5
    before = arrays(factors)
    model.compile(SGD(1.0), **EAGER)  # moves by the gradient
    step(model, (x, weights))
    for old, new, theirs in zip(before, arrays(factors), (a, b), strict=True):
        assert np.abs(old - new - theirs.grad.numpy()).max() < 1e-4


# === What is trained ===


@pytest.mark.parametrize(
    ("targets", "factors"),
    [
        (("query", "value"), 2 * 2 * WIDTH),
        (("output",), 2 * WIDTH),
        (("key", "expand", "contract"), 4 * WIDTH + 2 * SIZES["feed_forward_width"]),
    ],
)
def test_factors_and_head_are_all_that_is_trained(targets, factors):
    model = adapted(targets=targets)
    head = WIDTH * WIDTH + WIDTH + WIDTH * 3 + 3
    assert count(model) == head + RANK * factors
    before = {
        id(v): x for v, x in zip(model.weights, arrays(model.weights), strict=True)
    }
    model.compile(AdamW(0.01, weight_decay=0.1), accumulate=2, **EAGER)
    step(model, TEXTS, CLASSES)
    trained = {id(v) for v in model.trainable_variables}
    for weight in model.weights:
        same = np.array_equal(ops.convert_to_numpy(weight), before[id(weight)])
        assert same == (id(weight) not in trained), weight.path


def test_three_micro_batches_leave_frozen_weights_bit_for_bit():
    """Summing three copies and dividing by three would change bits."""
    model = adapted()
    frozen = model.bert.embedding_norm.gamma
    frozen.assign(drawn(WIDTH))
    before = arrays([frozen])[0]
    model.compile(SGD(0.1), accumulate=3, **EAGER)
    step(model, {k: np.tile(x, (3, 1))[:6] for k, x in TEXTS.items()}, np.zeros(6, int))
    assert np.array_equal(arrays([frozen])[0], before)


def test_gpt_shares_it():
    model = zoo.GPT(zoo.GPTConfig(17, 8, 2, 2, 8))
    ids = np.arange(12).reshape(2, 6) % 17
    before = run(model, ids)
    model.enable_lora(RANK)
    assert count(model) == 2 * 2 * (2 * 8 * RANK)
    assert np.abs(run(model, ids) - before).max() < 1e-6
    model.compile(SGD(0.5), **EAGER)
    # The first step moves B alone, since A's gradient goes through it.
    losses = [step(model, ids)["loss"] for _ in range(2)]
    assert losses[1] < losses[0]


# === Files ===


def test_files_hold_the_plain_model(tmp_path):
    model = adapted(targets=("query", "value", "contract"))
    expected = run(model, TEXTS)
    assert np.abs(expected - run(classifier(), TEXTS)).max() > 0.01
    model.compile(**EAGER)
    model.save_to_preset(tmp_path / "preset")
    model.save(tmp_path / "model.keras")
    zoo.presets.export_bert(model, tmp_path / "theirs")
    for plain in (
        zoo.BertClassifier.from_preset(tmp_path / "preset"),
        keras.models.load_model(tmp_path / "model.keras"),
        zoo.BertClassifier.from_preset(tmp_path / "theirs"),
    ):
        assert not lora_layers(plain) and not plain.compiled
        assert len(plain.weights) == len(model.weights) - 4
        assert np.abs(run(plain, TEXTS) - expected).max() < 1e-5
    # Read back, the products are in the matrices, and the factors start anew.
    other = adapted(targets=("key",))
    weights.assign(other, weights.read(tmp_path / "preset"), tmp_path)
    assert np.abs(run(other, TEXTS) - expected).max() < 1e-5
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    assert np.abs(run(other, TEXTS) - expected).max() < 1e-5
    (layer,) = lora_layers(other)
    assert ops.convert_to_numpy(layer.lora_kernel_a).any()
    assert not ops.convert_to_numpy(layer.lora_kernel_b).any()


def test_in_mixed_precision_all_of_the_sum_is_saved(tmp_path):
    model = adapted(classifier(dtype="mixed_bfloat16"))
    kernel = lora_layers(model)[0].kernel
    saved = weights.arrays_of(model)["bert/block_0/attention/query_key_value/kernel"]
    assert saved.dtype == "float32"
    assert np.abs(saved - ops.convert_to_numpy(kernel)).max() < 1e-6


def test_resumed_exactly(tmp_path):
    def made():
        model = adapted()
        model.compile(AdamW(0.01), layer_decay=0.7)
        return model

    model, resumed = made(), made()
    for _ in range(2):
        step(model, TEXTS, CLASSES)
    save_checkpoint(tmp_path / "checkpoint", model)
    Resume(tmp_path / "checkpoint", resumed)
    for _ in range(2):
        step(model, TEXTS, CLASSES)
        step(resumed, TEXTS, CLASSES)
    for a, b in zip(arrays(model.variables), arrays(resumed.variables), strict=True):
        assert np.array_equal(a, b)


# === What does not fit ===


def test_what_does_not_fit():
    model = classifier()
    for rank in (0, 1.5, True):
        with pytest.raises(ValueError, match=f"number from 1, got {rank}"):
            model.enable_lora(rank)
    with pytest.raises(ValueError, match="alpha must be above 0, got -1"):
        model.enable_lora(2, -1)
    for targets in (("queries",), ()):
        with pytest.raises(
            ValueError, match="'contract', 'expand', 'key', 'output', 'query', 'value'"
        ):
            model.enable_lora(2, targets=targets)
    assert count(model) == model.count_params()
    model.enable_lora(2)
    with pytest.raises(ValueError, match="enabled once and before compile"):
        model.enable_lora(2)
    compiled = classifier()
    compiled.compile()
    with pytest.raises(ValueError, match="enabled once and before compile"):
        compiled.enable_lora(2)


def test_keras_s_own_layer_agrees():
    """LoRA of a plain dense layer equals Keras's."""
    layer, theirs = Dense(4), keras.layers.Dense(4)
    x = drawn(3, 5)
    for each in (layer, theirs):
        each.build((None, 5))
        each.enable_lora(RANK, ALPHA)
    pairs = zip(layer.weights, theirs.weights, strict=True)
    for ours, weight in pairs:
        weight.assign(drawn(*weight.shape))
        ours.assign(weight)
    far = ops.convert_to_numpy(layer(x)) - ops.convert_to_numpy(theirs(x))
    assert np.abs(far).max() < 1e-6
