import keras
import numpy as np
import pytest

from zoo.evaluation.images.features import ClassifierFeatures, InceptionFeatures
from zoo.models.image_classifier import ImageClassifier, ImageClassifierConfig

TINY = ImageClassifierConfig(
    image_shape=(4, 4, 1), num_classes=3, hidden=(8,), num_features=6
)
IMAGES = np.random.default_rng(0).random((5, 4, 4, 1), dtype="float32")


def test_a_classifiers_features_are_named_by_its_weights(tmp_path):
    classifier = ImageClassifier(TINY)
    features = ClassifierFeatures(classifier)
    np.testing.assert_array_equal(features(IMAGES), classifier.features(IMAGES))
    assert features(IMAGES).shape == (5, 6)
    classifier.save_to_preset(tmp_path)
    again = ClassifierFeatures(ImageClassifier.from_preset(tmp_path))
    other = ClassifierFeatures(ImageClassifier(TINY))
    assert features.name.startswith("image_classifier.")
    assert features.name == again.name != other.name


def test_inception_sees_scaled_rgb_of_its_size(monkeypatch):
    seen = {}

    def small(**options):
        seen.update(options)
        inputs = keras.Input((299, 299, 3))
        return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))

    monkeypatch.setattr(keras.applications, "InceptionV3", small)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        features = InceptionFeatures(batch_size=2)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert seen == {"include_top": False, "weights": "imagenet", "pooling": "avg"}
    pooled = features(IMAGES[:2])
    assert pooled.dtype == "float32" and pooled.shape == (2, 3)
    assert "imagenet" in features.name
    # Grey becomes RGB, and [0, 1] becomes [-1, 1].
    expected = 2 * IMAGES[:2].mean(axis=(1, 2)) - 1
    np.testing.assert_allclose(pooled, np.repeat(expected, 3, axis=1), atol=0.1)
    bright = np.full((3, 400, 350, 3), (1.0, 0.5, 0.0))
    np.testing.assert_allclose(features(bright), [[1, 0, -1]] * 3, atol=1e-5)
    with pytest.raises(ValueError, match=r"grey or RGB images, got shape \(2, 4, 4, 2"):
        features(np.zeros((2, 4, 4, 2)))
    with pytest.raises(ValueError, match="must be from 0 to 1"):
        features(255 * IMAGES)


def test_without_a_network_it_says_what_to_do(monkeypatch):
    def unreachable(**options):
        raise Exception("URL fetch failure on https://x: None -- no route to host")

    monkeypatch.setattr(keras.applications, "InceptionV3", unreachable)
    with pytest.raises(OSError, match="no route.*notop.h5.*KERAS_HOME.*Classifier"):
        InceptionFeatures()


@pytest.mark.network
def test_inception_tells_images_apart():
    rng = np.random.default_rng(0)
    noise, flat = rng.random((2, 32, 32, 3)), np.full((2, 32, 32, 3), 0.5)
    features = InceptionFeatures()(np.concatenate([noise, flat]))
    assert features.shape == (4, 2048) and features.min() >= 0
    apart = np.linalg.norm(features[0] - features[2])
    assert apart > 2 * np.linalg.norm(features[0] - features[1])
