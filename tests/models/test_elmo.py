"""ELMo: both directions, padding, features, and classifiers on them."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.numpy_weights import numpy_weights, with_numpy_weights
from zoo import ELMo, ELMoClassifier, ELMoClassifierConfig, ELMoConfig
from zoo.data.tasks.spelling import NUM_CHARACTERS

V, T, B, D = 17, 5, 4, 6
CONFIG = ELMoConfig(V, num_layers=2, width=D, dropout=0.0)
CLASSES = ELMoClassifierConfig(
    V, 2, D, dropout=0.0, num_classes=3, hidden_width=5, contextual=True
)
# Characters of a word, the widest convolution's and more.
C = 6
SPELLED = dataclasses.replace(
    CONFIG, character_filters=(3, 2, 4), character_width=5, num_highways=2
)
RATE, MOMENTUM = 0.5, 0.9

# Of `plain_torch_recurrent`, in float64; `test_reference_losses` recomputes them.
LOSSES = [
    5.695740234801928,
    5.3325720213093355,
    5.94436097082964,
    6.017590072205577,
    6.115462485670388,
    5.84676132878494,
    5.956745127515887,
    5.745981599193927,
    5.325378528554609,
    5.906698286953112,
]
SPELLED_LOSSES = [
    5.813632384694758,
    5.530730314551339,
    5.932681767473363,
    5.870653581682987,
    5.974796325439393,
    5.794597425649794,
    5.989057474957608,
    5.718718496590036,
    5.254382740339695,
    5.8608601280049495,
]


def batches(characters=False):
    """Ten batches of padded rows; optionally with the words' characters."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(10):
        lengths = rng.integers(3, T + 1, size=B)
        mask = np.arange(T) < lengths[:, None]
        start, step = rng.integers(1, V, size=(2, B, 1))
        ids = (start + step * np.arange(T)) % V
        found.append({"token_ids": (ids * mask).astype("int32"), "padding_mask": mask})
    if characters:
        spellings = rng.integers(1, NUM_CHARACTERS, size=(V, C)).astype("int32")
        for batch in found:
            spelled = spellings[batch["token_ids"]]
            batch["character_ids"] = spelled * batch["padding_mask"][..., None]
    return found


BATCH = batches()[0]
IDS, MASK = BATCH.values()


@pytest.fixture(scope="module")
def elmo():
    model = with_numpy_weights(ELMo(CONFIG))
    model.compile(keras.optimizers.SGD(RATE, momentum=MOMENTUM))
    return model, model.get_weights()


@pytest.fixture(scope="module")
def spelled():
    model = with_numpy_weights(ELMo(SPELLED))
    model.compile(keras.optimizers.SGD(RATE, momentum=MOMENTUM))
    return model, model.get_weights()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 0}, "width must be a whole number from 1, got 0"),
        ({"dropout": 1.0}, "dropout must be in"),
        ({"character_filters": (4, 0)}, "each of character_filters must be .* got 0"),
        ({"num_highways": -1}, "num_highways must be a whole number from 0"),
        ({"num_classes": 1}, "num_classes must be a whole number from 2"),
        ({"hidden_width": 0}, "hidden_width must be a whole number from 1"),
    ],
)
def test_bad_configurations_say_what_is_wrong(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CLASSES, **fields)


# === The language models ===


def test_ten_losses_are_those_of_every_backend(elmo):
    model, start = elmo
    model.set_weights(start)
    logs = [model.fit(batch, verbose=0).history for batch in batches()]
    assert [log["loss"][0] for log in logs] == pytest.approx(LOSSES, rel=1e-5)
    for log in logs:
        assert set(log) == {"loss", "forward", "backward"}
        assert log["forward"][0] + log["backward"][0] == pytest.approx(log["loss"][0])


def test_ten_losses_over_characters_are_those_of_every_backend(spelled):
    model, start = spelled
    model.set_weights(start)
    found = [
        model.fit(batch, verbose=0).history["loss"][0]
        for batch in batches(characters=True)
    ]
    assert found == pytest.approx(SPELLED_LOSSES, rel=1e-5)


@pytest.mark.parametrize(
    ("config", "losses"), [(CONFIG, LOSSES), (SPELLED, SPELLED_LOSSES)]
)
def test_reference_losses(config, losses):
    pytest.importorskip("torch")
    import torch

    from tests.models.plain_torch_recurrent import descend, elmo_nats

    def loss(batch):
        ids = torch.tensor(batch["token_ids"], dtype=torch.int64)
        lengths = batch["padding_mask"].sum(axis=1).tolist()
        characters = batch.get("character_ids")
        if characters is not None:
            characters = torch.tensor(characters, dtype=torch.int64)
        return lambda weights: sum(
            elmo_nats(weights, ids, lengths, 2, characters).values()
        )

    arrays = numpy_weights(ELMo(config))
    given = batches(characters=bool(config.character_filters))
    found = descend(arrays, map(loss, given), RATE, MOMENTUM)
    assert found == pytest.approx(losses, rel=1e-9)


def test_features_are_all_layers_of_both_directions(elmo):
    torch = pytest.importorskip("torch")
    from tests.models.plain_torch_recurrent import elmo_layers

    model, start = elmo
    model.set_weights(start)
    found = model.features(IDS, MASK)
    assert found.shape == (3, B, T, 2 * D) and found.dtype == "float32"
    weights = {k: torch.tensor(v).double() for k, v in numpy_weights(model).items()}
    lengths = MASK.sum(axis=1).tolist()
    layers = elmo_layers(weights, torch.tensor(IDS).long(), lengths, 2)
    expected = torch.cat([layers["forward"], layers["backward"]], dim=-1).numpy()
    assert np.abs(found - expected)[:, MASK].max() < 1e-5
    assert np.array_equal(found[0, ..., :D], found[0, ..., D:])


def test_features_over_characters_are_the_references(spelled):
    """Also for words without a token: token ids play no part."""
    torch = pytest.importorskip("torch")
    from tests.models.plain_torch_recurrent import elmo_layers

    model, start = spelled
    model.set_weights(start)
    characters = batches(characters=True)[0]["character_ids"]
    found = model.features(characters, MASK)
    weights = {k: torch.tensor(v).double() for k, v in numpy_weights(model).items()}
    lengths = MASK.sum(axis=1).tolist()
    layers = elmo_layers(weights, torch.tensor(characters).long(), lengths, 2)
    expected = torch.cat([layers["forward"], layers["backward"]], dim=-1).numpy()
    assert np.abs(found - expected)[:, MASK].max() < 1e-5


def test_each_direction_sees_its_side_alone(elmo):
    model, _ = elmo
    first = model.features(IDS, np.ones_like(MASK))
    other = IDS.copy()
    other[:, 2] = (other[:, 2] + 1) % V
    changed = np.abs(model.features(other, np.ones_like(MASK)) - first).max(axis=-1)
    moved = {"forward": np.s_[..., :D], "backward": np.s_[..., D:]}
    difference = model.features(other, np.ones_like(MASK)) - first
    assert np.all(difference[1:][moved["forward"]][:, :, :2] == 0)
    assert np.all(difference[1:][moved["backward"]][:, :, 3:] == 0)
    assert changed[1:].min() > 0


def test_padding_may_be_on_either_side(elmo):
    model, _ = elmo
    found = model.features(IDS, MASK)
    flipped = np.zeros_like(IDS)
    shifted = np.sort(MASK, axis=1)  # padding first
    flipped[shifted] = IDS[MASK]
    left = model.features(flipped, shifted)
    assert np.abs(left[:, shifted] - found[:, MASK]).max() < 1e-5


def test_texts_that_do_not_fit_are_refused(elmo):
    model, _ = elmo
    with pytest.raises(ValueError, match="token_ids must be from 0 to 16"):
        model.fit(IDS + V, verbose=0)
    with pytest.raises(ValueError, match=r"one shape .*\(4, 4\).* shape \(4, 5\)"):
        model.features(IDS, MASK[:, 1:])
    with pytest.raises(ValueError, match="a dict of token_ids"):
        model.fit({"ids": IDS}, verbose=0)


def test_characters_that_do_not_fit_are_refused(spelled):
    model, _ = spelled
    batch = batches(characters=True)[0]
    characters = batch["character_ids"]
    with pytest.raises(ValueError, match=r"at least 3 characters .*\(4, 5, 2\)"):
        model.features(characters[..., :2])
    with pytest.raises(
        ValueError, match=r"\(texts, words, characters\).* got shape \(4, 5\)"
    ):
        model.features(IDS)
    with pytest.raises(ValueError, match="character_ids must be from 0 to 261"):
        model.features(characters + NUM_CHARACTERS)
    with pytest.raises(ValueError, match=r"one shape .*\(4, 4\).* shape \(4, 5\)"):
        model.fit({**batch, "token_ids": IDS[:, 1:]}, verbose=0)
    with pytest.raises(ValueError, match="a dict of token_ids"):
        model.fit({"character_ids": characters}, verbose=0)


# === Classes by features ===


def test_a_classifier_learns_what_is_above_the_features(elmo, tmp_path):
    pretrained, start = elmo
    pretrained.set_weights(start)
    pretrained.save_to_preset(tmp_path)
    model = ELMoClassifier.from_preset(tmp_path, num_classes=3, hidden_width=5)
    model.compile(keras.optimizers.SGD(0.5))
    classes = np.array([0, 1, 2, 1], "int32")
    before = {v.path: ops.convert_to_numpy(v) for v in model.trainable_variables}
    losses = model.fit(BATCH, classes, epochs=2, shuffle=False, verbose=0).history
    assert losses["loss"][1] < losses["loss"][0]
    assert set(losses) == {"loss", "accuracy"}
    for variable in model.trainable_variables:
        moved = not np.array_equal(
            before[variable.path], ops.convert_to_numpy(variable)
        )
        assert moved == ("/elmo/" not in variable.path), variable.path
    # The mixture, by hand, of what ELMo gives.
    features = pretrained.features(IDS, MASK)
    shares = ops.convert_to_numpy(model.mix.layer_weights())
    assert np.ptp(shares) > 1e-4
    mixed = ops.convert_to_numpy(model.mix.gamma) * np.einsum(
        "l,lbtd->btd", shares, features
    )
    kernels = [
        [ops.convert_to_numpy(w) for w in layer.get_weights()]
        for layer in (model.hidden, model.classifier)
    ]
    hidden = np.maximum(mixed @ kernels[0][0] + kernels[0][1], 0) * MASK[..., None]
    scores = hidden.max(axis=1) @ kernels[1][0] + kernels[1][1]
    expected = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    assert np.abs(model.predict_probabilities(BATCH) - expected).max() < 1e-5


def test_embeddings_alone_do_not_know_the_order():
    static = dataclasses.replace(CLASSES, contextual=False)
    backward = IDS[:, ::-1]
    for config, same in ((CLASSES, False), (static, True)):
        model = with_numpy_weights(ELMoClassifier(config))
        found = [model.predict_probabilities(ids) for ids in (IDS, backward)]
        assert (np.abs(found[0] - found[1]).max() < 1e-6) == same


def test_a_classifier_over_characters(spelled, tmp_path):
    """Made from a preset; it needs no token ids."""
    pretrained, start = spelled
    pretrained.set_weights(start)
    pretrained.save_to_preset(tmp_path)
    batch = batches(characters=True)[0]
    inputs = {name: batch[name] for name in ("character_ids", "padding_mask")}
    classes = np.array([0, 1, 1, 0], "int32")
    for contextual in (True, False):
        keras.utils.set_random_seed(0)
        model = ELMoClassifier.from_preset(
            tmp_path, hidden_width=5, contextual=contextual, dropout=0.0
        )
        assert model.config.character_filters == SPELLED.character_filters
        model.compile(keras.optimizers.SGD(0.1))
        losses = model.fit(inputs, classes, epochs=5, shuffle=False, verbose=0).history
        assert losses["loss"][-1] < losses["loss"][0]
        assert model.predict_probabilities(inputs).shape == (B, 2)


def test_classes_that_do_not_fit_are_refused():
    model = ELMoClassifier(CLASSES)
    model.compile("adam")
    with pytest.raises(ValueError, match="trained with .texts, classes."):
        model.fit(IDS, verbose=0)
    with pytest.raises(ValueError, match="classes must be from 0 to 2"):
        model.fit(IDS, np.array([0, 1, 2, 3]), verbose=0)
    with pytest.raises(ValueError, match=r"one class for each text: .*got \(4, 1\)"):
        model.fit(IDS, np.zeros((4, 1), int), verbose=0)


# === Saving ===


@pytest.mark.parametrize("over", ["elmo", "spelled"])
def test_saved_whole(over, request, tmp_path):
    model, start = request.getfixturevalue(over)
    model.set_weights(start)
    model.save(tmp_path / "elmo.keras")
    loaded = keras.models.load_model(tmp_path / "elmo.keras")
    assert isinstance(loaded, ELMo) and loaded.config == model.config
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(a, b)
    model.save_to_preset(tmp_path / "preset")
    again = ELMo.from_preset(tmp_path / "preset")
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(a, b)
