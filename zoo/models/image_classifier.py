"""A small convolutional image classifier.

It judges generated images: by the classes it assigns, and by the distance between
distributions of its features. After LeCun et al. 1998 (LeNet-5), with batch norm (Ioffe
& Szegedy 2015) and ReLUs.

Shapes: B images, (H, W, C) of an image, F features, L classes.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from zoo.configs.checks import check_fields, check_rate, check_whole
from zoo.configs.class_names import NamesClasses, check_class_names
from zoo.engine.layout import GATHERED
from zoo.engine.tensors import Tensor
from zoo.layers.convolution.coders import check_coders
from zoo.layers.dense import Dense
from zoo.layers.dropout import Dropout
from zoo.layers.norm import BatchNorm
from zoo.models.autoencoders.autoencoder import check_image_shape, check_images, pixels
from zoo.models.checks.classes import check_classes
from zoo.presets import registry
from zoo.presets.inference import BATCH, Array, Served
from zoo.presets.preset import FromPreset
from zoo.presets.registration import register
from zoo.training import Model, Phase, WeightedMean
from zoo.training.batched import Batched
from zoo.training.checks.example_weights import mean_of, parts, total_of
from zoo.training.checks.ranges import Range
from zoo.training.phases import Batch, Terms, shape_of


@dataclass(frozen=True)
class ImageClassifierConfig:
    """Configuration of a classifier.

    Attributes:
        image_shape: (height, width, channels).
        num_classes: number of classes, L.
        class_names: names of the classes, in order; empty if unknown.
        hidden: channels of the convolutions, each of which halves the image's sides.
        num_features: width of the penultimate layer, F.
        dropout: dropout rate of the features.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    num_classes: int = 10
    class_names: tuple[str, ...] = field(default=(), kw_only=True)
    hidden: tuple[int, ...] = (24, 48)
    num_features: int = 128
    dropout: float = 0.3

    def __post_init__(self) -> None:
        """Validates the fields."""
        check_fields(self)
        check_coders(self.image_shape, "convolutional", self.hidden)
        check_whole(self, "num_classes", least=2)
        check_class_names(self)
        check_whole(self, "num_features")
        check_rate(self, "dropout")


PRESETS: dict[str, ImageClassifierConfig] = {
    "classifier_8": ImageClassifierConfig(image_shape=(8, 8, 1)),
    "classifier_28": ImageClassifierConfig(),
    "classifier_32": ImageClassifierConfig(
        image_shape=(32, 32, 3), hidden=(32, 64, 128)
    ),
}


@keras.saving.register_keras_serializable("zoo")
class ImageClassifier(NamesClasses, FromPreset, Model):
    """Classifies images.

    Called with images (B, H, W, C) in [0, 1], it gives class scores (B, L) in float32.
    `fit` takes (images, labels) and logs `loss`, the cross-entropy in nats, and
    `accuracy`.
    """

    Config = ImageClassifierConfig
    # Convolutions and flattened images can't be computed in shards.
    layout = (
        (r"convolution_\d+/kernel$", (None, None, None, "model"), GATHERED),
        (r"features/kernel$", (None, "model"), GATHERED),
        (r"head/kernel$", ("model", None), GATHERED),
    )

    def __init__(self, config: ImageClassifierConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = {"dtype": self.dtype_policy}
        stack: list[keras.Layer] = [keras.Input(tuple(config.image_shape))]
        for index, channels in enumerate(config.hidden):
            stack += [
                layers.Conv2D(
                    channels,
                    3,
                    padding="same",
                    use_bias=False,
                    name=f"convolution_{index}",
                    **dtype,
                ),
                # Pooled before the norm, which then costs a quarter.
                layers.MaxPooling2D(2, **dtype),
                BatchNorm(momentum=0.9, name=f"norm_{index}", **dtype),
                layers.ReLU(**dtype),
            ]
        stack += [
            layers.Flatten(**dtype),
            Dense(config.num_features, activation="relu", name="features", **dtype),
        ]
        self.body = keras.Sequential(stack, name="body")
        self.dropout = Dropout(config.dropout, name="dropout", **dtype)
        self.head = Dense(config.num_classes, name="head", **dtype)
        self.head.build(self.body.output_shape)

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """Class scores (B, L) of images (B, H, W, C)."""
        features = self.body(images, training=training)
        scores = self.head(self.dropout(features, training=training))
        return ops.cast(scores, "float32")

    @classmethod
    def check_judge(cls, preset: str | os.PathLike[str], image_shape: Sequence) -> None:
        """Raises unless a preset is a trained classifier of images of this shape.

        Call it before training a model that the classifier is to judge.
        """
        found = registry.find(preset)
        shape = tuple(found.fields.get("image_shape", ()))
        if (found.architecture, shape) != (cls.__name__, tuple(image_shape)) or (
            found.folder is None
        ):
            raise ValueError(
                f"A judge must be the folder of a trained {cls.__name__} of images of "
                f"shape {tuple(image_shape)}, got {os.fspath(preset)!r}: "
                f"{found.architecture}, {found.fields}."
            )

    # === Training ===

    def phases(self) -> tuple[Phase, ...]:
        """A single phase: cross-entropy."""
        return (Phase("classes", self.class_loss, [self], weights=self.loss_weights),)

    def prepare(self, batch: Batch) -> Batch:
        """A batch (images, labels[, weights]) as a dict."""
        images, labels, weights = parts(batch)
        prepared = {"images": ops.cast(images, "float32"), "labels": labels}
        return prepared if weights is None else {**prepared, "weights": weights}

    def loss_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The images' total weight."""
        return total_of(batch, "loss")

    def form(self, batch: Batch) -> None:
        """Raises unless a batch is images of the configured shape and their labels."""
        images, labels, _ = parts(batch)
        check_image_shape(images, self.config.image_shape)
        check_classes(self, labels, images, "image")

    def ranges(self, batch: Batch) -> tuple[Range, ...]:
        """The ranges of pixels and labels."""
        images, labels, _ = parts(batch)
        limit = self.config.num_classes
        field = f"num_classes={limit}"
        return pixels(images), Range("Labels", labels, 0, limit - 1, field=field)

    def weight_shapes(self, batch: Batch) -> list[tuple[int, ...]]:
        """One weight per image."""
        return [shape_of(batch[1])]

    def check_inputs(self, inputs: Any) -> None:
        """Raises for images of another shape or with values outside [0, 1]."""
        check_images(inputs, self.config.image_shape)

    def class_loss(self, batch: Batch, training: bool) -> Terms:
        """Cross-entropy in nats, and accuracy."""
        scores, labels = self(batch["images"], training=training), batch["labels"]
        labels = ops.cast(labels, "int32")
        nats = ops.sparse_categorical_crossentropy(labels, scores, from_logits=True)
        best = ops.cast(ops.argmax(scores, axis=-1), "int32")
        return {
            "loss": mean_of(nats, batch.get("weights")),
            "accuracy": WeightedMean.of(best == labels),
        }

    # === Any number of images ===

    def features(self, images: np.ndarray) -> np.ndarray:
        """Features (N, F), float32, of any number of images (N, H, W, C)."""
        check_images(images, self.config.image_shape)
        return self._features(np.asarray(images, "float32"))

    def predict_classes(self, images: np.ndarray) -> np.ndarray:
        """The most probable classes (N,), int32, of any number of images."""
        check_images(images, self.config.image_shape)
        return self._classes(np.asarray(images, "float32"))

    def predict_probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities (N, L), float32, of any number of images."""
        check_images(images, self.config.image_shape)
        return self._probabilities(np.asarray(images, "float32"))

    @cached_property
    def _probabilities(self) -> Batched:
        return Batched(lambda images: ops.softmax(self(images)), lambda: self.variables)

    @cached_property
    def _features(self) -> Batched:
        def features(images: Tensor) -> Tensor:
            return ops.cast(self.body(images), "float32")

        return Batched(features, lambda: self.variables)

    @cached_property
    def _classes(self) -> Batched:
        def classes(images: Tensor) -> Tensor:
            return ops.cast(ops.argmax(self(images), axis=-1), "int32")

        return Batched(classes, lambda: self.variables)


def served_scores(model: Any) -> Served:
    """Exports class scores (B, L) of images (B, H, W, C) in [0, 1]."""
    return Served(
        model,
        lambda inputs: [model(inputs["images"], training=False)],
        [Array("images", (BATCH, *model.config.image_shape), "pictures")],
        ["logits"],
    )


register(ImageClassifier, presets=PRESETS, measured="classes", served=served_scores)
