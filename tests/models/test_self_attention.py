"""The self-attention classifier, from the simplest form to the full one."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from tests.layers.torch_weights import copy_attention, randomize
from tests.models.numpy_weights import numpy_weights, with_numpy_weights
from zoo import SelfAttentionClassifier, SelfAttentionClassifierConfig, Tokenizer
from zoo.engine.current import engine

SIMPLE = SelfAttentionClassifierConfig(
    vocab_size=11, context_length=6, num_classes=3, width=8
)
SCALED = dataclasses.replace(SIMPLE, attention="scaled")
LEARNED = dataclasses.replace(SIMPLE, attention="learned")
HEADS = dataclasses.replace(LEARNED, num_heads=2)
FULLEST = dataclasses.replace(HEADS, positions="learned")
STEPS = {
    "simple": SIMPLE,
    "scaled": SCALED,
    "learned": LEARNED,
    "heads": HEADS,
    "positions": FULLEST,
    "sinusoidal": dataclasses.replace(SIMPLE, positions="sinusoidal"),
    "max": dataclasses.replace(HEADS, pooling="max"),
}
RNG = np.random.default_rng(0)
# Whole texts; and the same shape, padded.
WHOLE = RNG.integers(1, 11, size=(4, 6), dtype="int32")
LENGTHS = np.array([6, 1, 4, 3])
PADDED = np.where(np.arange(6) < LENGTHS[:, None], WHOLE, 0).astype("int32")
CLASSES = np.array([0, 2, 1, 2], "int32")
ORDER = [4, 0, 5, 2, 1, 3]

# Of `plain_torch_self_attention`, in float64; `test_reference_losses` recomputes them.
RATE = 0.5
LOSSES = {
    "simple": [
        1.106526783118129,
        1.1434722384362164,
        1.3193250467503599,
        1.1173628532179918,
        1.1374924542921387,
        1.0817845193081959,
        1.152954350674525,
        1.1323793485436089,
        1.0645202556277409,
        1.113971052666206,
    ],
    "positions": [
        1.1535852387877548,
        1.1608598640830625,
        1.5948788998710643,
        1.1529640100535379,
        1.1812411962811882,
        1.1056921791131116,
        1.1558208734372935,
        1.127796025758935,
        1.0661649086242881,
        1.161814783066863,
    ],
}


def made(config, **kwargs):
    return with_numpy_weights(SelfAttentionClassifier(config, **kwargs))


def outputs(model, ids) -> tuple[np.ndarray, np.ndarray]:
    """Vectors after attention, and scores, compiled together."""
    both = engine().compile(
        lambda ids: (model.attended(ids), model(ids)), lambda: model.variables
    )
    return tuple(map(ops.convert_to_numpy, both(ids)))


def batches():
    """Ten batches of padded texts; the first token determines the class."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(10):
        ids = rng.integers(1, 11, size=(4, 6), dtype="int32")
        ids[:, 1:] *= np.arange(1, 6) < rng.integers(1, 7, size=(4, 1))
        weights = rng.integers(1, 3, size=4).astype("float32")
        found.append((ids, (ids[:, 0] % 3).astype("int32"), weights))
    return found


# === What it computes ===


def simplest(x):
    """The lecture's self-attention of one text (T, D)."""
    products = x @ x.T
    weights = np.exp(products - products.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights @ x


def test_the_simplest_form_is_the_lecture_s():
    model = made(SIMPLE)
    embeddings = model.token_embedding.get_weights()[0].astype("float64")
    kernel, bias = model.classifier.get_weights()
    attended, scores = outputs(model, PADDED)
    for row, length in enumerate(LENGTHS):
        expected = simplest(embeddings[PADDED[row, :length]])
        assert np.abs(attended[row, :length] - expected).max() < 1e-5
        assert np.abs(scores[row] - (expected.mean(0) @ kernel + bias)).max() < 1e-5


def test_the_scale_is_the_root_of_the_width():
    simple, scaled = made(SIMPLE), made(SCALED)
    # Vectors that are larger by a fourth root have products larger by the root.
    table = simple.token_embedding.get_weights()[0]
    scaled.token_embedding.embeddings.assign(table * 8**0.25)
    expected, _ = outputs(simple, WHOLE)
    found, _ = outputs(scaled, WHOLE)
    assert np.abs(found / 8**0.25 - expected).max() < 1e-5


def test_the_fullest_form_is_torch_s():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    randomize(theirs)
    model = made(FULLEST)
    copy_attention(model.attention, theirs)
    positions = model.positions.get_weights()[0]
    x = torch.from_numpy(model.token_embedding.get_weights()[0][PADDED] + positions)
    with torch.no_grad():
        expected, shares = theirs(
            x,
            x,
            x,
            key_padding_mask=torch.from_numpy(PADDED == 0),
            average_attn_weights=False,
        )
    found, _ = outputs(model, PADDED)
    real = PADDED > 0
    assert np.abs(found - expected.numpy())[real].max() < 1e-5
    for row, length in enumerate(LENGTHS):
        maps = model.attention_maps(PADDED[row, :length])
        wanted = shares[row, :, :length, :length].numpy()
        assert maps.shape == wanted.shape
        assert np.abs(maps - wanted).max() < 1e-5


def test_pooling():
    mean, largest = made(HEADS), made(STEPS["max"])
    kernel, bias = mean.classifier.get_weights()
    for model, pool in ((mean, np.mean), (largest, np.max)):
        attended, scores = outputs(model, PADDED)
        for row, length in enumerate(LENGTHS):
            pooled = pool(attended[row, :length], axis=0)
            assert np.abs(scores[row] - (pooled @ kernel + bias)).max() < 1e-5


@pytest.mark.parametrize("step", ["simple", "heads", "max", "positions", "sinusoidal"])
def test_order_counts_with_positions_alone(step):
    """Reversing tokens reverses the vectors and keeps the pooled one."""
    model = made(STEPS[step])
    for weight in model.weights:  # so that attention is far from even
        weight.assign(3 * weight)
    attended, scores = outputs(model, WHOLE)
    turned, turned_scores = outputs(model, WHOLE[:, ORDER])
    equivariant = np.abs(turned - attended[:, ORDER]).max()
    invariant = np.abs(turned_scores - scores).max()
    if STEPS[step].positions == "none":
        assert equivariant < 1e-5 and invariant < 1e-5
    else:
        assert equivariant > 1e-2 and invariant > 1e-2


@pytest.mark.parametrize("step", ["scaled", "max"])
def test_padding_changes_nothing(step):
    model = made(STEPS[step])
    _, padded = outputs(model, PADDED)
    (alone,) = model.predict(PADDED[3:, :3], verbose=0)
    assert np.abs(padded[3] - alone).max() < 1e-5


def test_maps_show_one_text():
    model = made(SIMPLE)
    model.tokenizer = Tokenizer.characters("abcdefghijk")
    maps = model.attention_maps("bcd")
    assert maps.shape == (1, 3, 3)
    assert np.abs(maps.sum(-1) - 1).max() < 1e-6
    assert np.abs(maps - model.attention_maps([1, 2, 3])).max() < 1e-6
    with pytest.raises(ValueError, match="single text"):
        model.attention_maps(["bcd"])


def test_probabilities_of_any_texts():
    model = made(FULLEST)
    model.tokenizer = Tokenizer.characters("abcdefghijk")
    found = model.predict_probabilities(["bcd", "k"])
    scores = model.predict(np.array([[1, 2, 3], [10, 0, 0]], "int32"), verbose=0)
    expected = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert np.abs(found - expected).max() < 1e-5
    one = model.predict_probabilities("k")
    assert np.abs(one - expected[1:]).max() < 1e-5


# === Training ===


@pytest.mark.parametrize("step", LOSSES)
def test_ten_losses_are_those_of_every_backend(step):
    model = made(STEPS[step])
    model.compile(keras.optimizers.SGD(RATE))
    found = []
    for ids, classes, weights in batches():
        history = model.fit(ids, classes, sample_weight=weights, verbose=0).history
        found.append(history["loss"][0])
    assert found == pytest.approx(LOSSES[step], rel=1e-5)


@pytest.mark.parametrize("step", LOSSES)
def test_reference_losses(step):
    pytest.importorskip("torch")
    from tests.models.plain_torch_self_attention import losses

    config = STEPS[step]
    arrays = numpy_weights(SelfAttentionClassifier(config))
    found = losses(arrays, batches(), config.num_heads, False, RATE)
    assert found == pytest.approx(LOSSES[step], rel=1e-9)


def test_accuracy_is_not_weighted():
    model = made(SIMPLE)
    best = outputs(model, PADDED)[1].argmax(axis=1)
    weights = np.array([1, 2, 3, 4], "float32")
    classes = best.copy().astype("int32")
    classes[2] = (classes[2] + 1) % 3
    model.compile("sgd")
    logs = model.evaluate(
        PADDED, classes, sample_weight=weights, verbose=0, return_dict=True
    )
    assert logs["accuracy"] == pytest.approx(0.75)


def test_saved_as_a_preset(tmp_path):
    model = made(FULLEST)
    model.tokenizer = Tokenizer.characters("abcdefghijk")
    model.save_to_preset(tmp_path)
    again = SelfAttentionClassifier.from_preset(tmp_path)
    assert again.config == FULLEST
    found = again.predict_probabilities(["bcd"])
    assert np.abs(found - model.predict_probabilities(["bcd"])).max() < 1e-6


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"attention": "local"}, "attention must be one of .*got 'local'"),
        ({"positions": "rotary"}, "positions must be one of .*got 'rotary'"),
        ({"pooling": "sum"}, "pooling must be one of .*got 'sum'"),
        ({"num_heads": 2}, "attention must be 'learned' for num_heads=2"),
        ({"attention": "learned", "num_heads": 3}, "Nearest widths: 6 and 9"),
        ({"positions": "sinusoidal", "width": 7}, "width must be even .* got 7"),
        ({"num_classes": 1}, "num_classes must be a whole number from 2, got 1"),
        ({"pad_id": 11}, "pad_id must be an id from 0 to 10, got 11"),
    ],
)
def test_bad_configurations_say_what_is_wrong(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SIMPLE, **fields)


def test_bad_data_say_what_is_wrong():
    model = made(SIMPLE)
    model.compile("sgd")
    for data, message in (
        ((), r"\(texts, classes\[, weights\]\)"),
        ((CLASSES + 1,), "classes must be from 0 to 2, got values from 1 to 3"),
        ((CLASSES[:, None],), r"one class for each text: expected shape \(4,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(PADDED, *data, verbose=0)
    empty = PADDED.copy()
    empty[1] = 0
    with pytest.raises(ValueError, match="only padding .* in text 1"):
        model.fit(empty, CLASSES, verbose=0)
    with pytest.raises(ValueError, match="7 tokens do not fit into context_length=6"):
        model.predict_probabilities([1] * 7)
    with pytest.raises(ValueError, match="got values from 0 to 12"):
        model.fit(np.where(PADDED == 10, 12, PADDED), CLASSES, verbose=0)
