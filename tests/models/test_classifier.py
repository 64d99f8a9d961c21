import keras
import numpy as np
import pytest
from keras import ops

import zoo
from zoo.models.image_classifier import PRESETS, ImageClassifier, ImageClassifierConfig
from zoo.presets.registry import no_initialisation

TINY = ImageClassifierConfig(
    image_shape=(4, 4, 1), num_classes=3, hidden=(8,), num_features=6, dropout=0.1
)


def pictures(count, seed=0):
    """Noise, with a bright quarter that encodes the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=count).astype("int32")
    images = 0.3 * rng.random((count, 4, 4, 1), dtype="float32")
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(2 * label, 4)
        image[2 * row : 2 * row + 2, column : column + 2] += 0.6
    return images, labels


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    model = ImageClassifier(TINY)
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(*pictures(64), batch_size=32, epochs=15, verbose=0)
    return model


def test_it_learns(trained):
    images, labels = pictures(30, seed=1)
    found = trained.predict_classes(images)
    assert found.shape == (30,) and found.dtype == "int32"
    assert (found == labels).mean() > 0.9
    logs = trained.evaluate(images, labels, batch_size=7, verbose=0, return_dict=True)
    assert logs["accuracy"] == pytest.approx((found == labels).mean(), abs=1e-6)
    scores = trained.predict(images, verbose=0).astype("float64")
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    nats = -scores[np.arange(30), labels].mean()
    assert logs["loss"] == pytest.approx(nats, rel=1e-4)


def test_the_head_reads_the_features(trained):
    images, _ = pictures(5)
    features = trained.features(images)
    assert features.shape == (5, 6) and features.dtype == "float32"
    assert features.min() == 0 < features.max()
    scores = trained.head(ops.convert_to_tensor(features))
    np.testing.assert_allclose(
        ops.convert_to_numpy(scores), trained.predict(images, verbose=0), atol=1e-5
    )
    np.testing.assert_allclose(trained.features(images[:1]), features[:1], atol=1e-5)


def test_saved_and_loaded(trained, tmp_path):
    images, _ = pictures(5)
    trained.save_to_preset(tmp_path)
    again = ImageClassifier.from_preset(tmp_path)
    np.testing.assert_allclose(
        again.features(images), trained.features(images), atol=1e-6
    )


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_made(name):
    with no_initialisation():
        assert ImageClassifier(PRESETS[name]).head.kernel.shape[1] == 10


def test_bad_input(trained):
    images, labels = pictures(4)
    with pytest.raises(ValueError, match="num_classes must be"):
        ImageClassifierConfig(num_classes=1)
    with pytest.raises(ValueError, match="multiples of 8"):
        ImageClassifierConfig(hidden=(4, 4, 4))
    with pytest.raises(ValueError, match="dropout"):
        ImageClassifierConfig(dropout=1.0)
    with pytest.raises(ValueError, match="images, classes"):
        trained.fit(images, verbose=0)
    with pytest.raises(ValueError, match="values from 0 to 5"):
        trained.fit(images, np.array([0, 1, 2, 5]), verbose=0)
    with pytest.raises(ValueError, match=r"\(N, 4, 4, 1\)"):
        trained.predict_classes(images[:, :2])


def test_the_shipped_judge_tells_digits():
    # scikit-learn's digits, brought to MNIST's size: others than it was trained on.
    digits = zoo.data.load("digits")
    large = digits.test_images.repeat(3, 1).repeat(3, 2) / np.float32(255)
    images = np.pad(large, ((0, 0), (2, 2), (2, 2), (0, 0)))
    judge = ImageClassifier.from_preset("classifier.mnist")
    right = judge.predict_classes(images) == digits.test_labels
    assert right.mean() > 0.5
    assert judge.features(images).shape == (297, 64)
