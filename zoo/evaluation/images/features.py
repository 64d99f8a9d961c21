"""Networks that turn images into the features that sample metrics compare.

Shapes: N images, (H, W, C) of an image, F features.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import keras
import numpy as np
from PIL import Image
from sklearn.utils import gen_batches

from zoo.models.autoencoders.autoencoder import check_images
from zoo.models.image_classifier import ImageClassifier
from zoo.presets.weights import arrays_of
from zoo.training.batched import Batched


class Features(Protocol):
    """A function from images to features, whose name is stored with every metric.

    Metrics of features with different names are not comparable.
    """

    @property
    def name(self) -> str:
        """Identifies the network and its weights."""

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features (N, F) of images (N, H, W, C) in [0, 1]."""


class ClassifierFeatures:
    """Features from a classifier's penultimate layer.

    Use these if Inception does not suit: for small grey pictures, or without internet
    access. The name contains a checksum of the weights.
    """

    def __init__(self, classifier: ImageClassifier) -> None:
        self.classifier = classifier
        digest = hashlib.sha256()
        for name, array in sorted(arrays_of(classifier).items()):
            digest.update(name.encode() + array.tobytes())
        self.name = f"image_classifier.{digest.hexdigest()[:8]}"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.classifier.features(images)


class InceptionFeatures:
    """The 2048 features of InceptionV3's last pooling, on images of 299 x 299 pixels.

    The weights are those of `keras.applications`, trained on ImageNet, not those of the
    FID paper (Heusel et al. 2017), which are a TensorFlow graph of 2015. Metrics are
    comparable with others of this name only, not with published FIDs.

    Images of another size are resized by Pillow's bicubic filter on floats (Parmar et
    al. 2022, arXiv 2104.11222); grey ones are repeated as RGB. Computes in float32,
    whatever the precision of training. The weights, 88 MB, are downloaded once.

    Args:
        batch_size: images per batch.

    Raises:
        OSError: the weights can't be downloaded.
    """

    name = "keras_inception_v3.imagenet"

    def __init__(self, batch_size: int = 32) -> None:
        with _float32():
            try:
                self.model = keras.applications.InceptionV3(
                    include_top=False, weights="imagenet", pooling="avg"
                )
            except Exception as error:  # Keras raises no narrower class
                raise OSError(
                    f"InceptionV3's weights can't be downloaded: {error}. Get "
                    "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5 from "
                    "https://storage.googleapis.com/tensorflow/keras-applications/"
                    "inception_v3/ on another machine, and put it into the folder "
                    "`models` of ~/.keras, or of KERAS_HOME. Or use zoo.evaluation."
                    "ClassifierFeatures, which needs no download."
                ) from error
        self._pool = Batched(self._pooled, lambda: self.model.variables, batch_size)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features (N, 2048), float32, of grey or RGB images in [0, 1]."""
        images = np.asarray(images)
        check_images(images, images.shape[1:])
        if images.shape[-1] not in (1, 3):
            raise ValueError(
                f"InceptionV3 needs grey or RGB images, got shape {images.shape}."
            )
        # Resized images are large, so only one batch is kept in memory.
        parts = [
            self._pool(np.stack([_resized(image) for image in images[rows]]))
            for rows in gen_batches(len(images), self._pool.batch_size)
        ]
        return np.concatenate(parts)

    def _pooled(self, images: Any) -> Any:
        return self.model(images * 2 - 1, training=False)


def _resized(image: np.ndarray) -> np.ndarray:
    """An image (H, W, 1 or 3) as RGB (299, 299, 3), float32."""
    channels = [Image.fromarray(c) for c in np.moveaxis(image.astype("float32"), -1, 0)]
    resized = [
        np.asarray(c.resize((299, 299), Image.Resampling.BICUBIC)) for c in channels
    ]
    return np.clip(np.stack(resized * (3 // len(resized)), axis=-1), 0, 1)


@contextmanager
def _float32() -> Iterator[None]:
    """Makes layers within it use the dtype policy float32."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
