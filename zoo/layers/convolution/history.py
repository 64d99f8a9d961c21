"""A history of generated images, for discriminators (Shrivastava et al. 2017)."""

from typing import Any

import keras
from keras import ops

from zoo.engine.current import engine
from zoo.engine.tensors import Shape, Tensor
from zoo.layers.layer import Layer
from zoo.layers.places import at_places


@keras.saving.register_keras_serializable("zoo")
class ImageHistory(Layer):
    """Returns generated images, or stores them and returns earlier ones instead.

    Section 2.3 of Shrivastava et al. 2017, in the form of Zhu et al. 2017, section 4:
    until the history is full, each image is stored and returned. Then each is returned
    with probability 1/2; otherwise it replaces a uniformly drawn image of the history,
    which is returned.

    All images of a batch see the history as it was before the batch; if two are
    assigned the same place, the last is stored. With one image per batch this is the
    papers' rule. The whole global batch has one history: `draw` decides for all its
    rows, and micro-batches and devices may then process any of them.

    Args:
        size: number of images to keep.
        image_shape: (H, W, C).
    """

    def __init__(
        self, size: int, image_shape: tuple[int, int, int], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.size, self.image_shape = size, tuple(image_shape)

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the history, in float32 at any precision."""
        state = {
            "initializer": "zeros",
            "dtype": "float32",
            "trainable": False,
            "autocast": False,
            "aggregation": "only_first_replica",
        }
        self.images = self.add_weight(
            name="images", shape=(self.size, *self.image_shape), **state
        )
        # 1 where there is an image.
        self.filled = self.add_weight(name="filled", shape=(self.size,), **state)
        for variable in (self.images, self.filled):
            variable.gains_parts = True

    def draw(self, num_images: int, seed: Any) -> dict:
        """Draws what happens to each image of a batch.

        Args:
            num_images: B, of the whole batch.
            seed: a SeedGenerator.

        Returns:
            Arguments of `call`: `place` (B,) int32, where each image is stored, or -1;
            `shown` (B,) int32, the place of the image returned instead, or -1.
        """
        count = ops.sum(ops.cast(ops.convert_to_tensor(self.filled), "int32"))
        full = count == self.size
        order = ops.arange(num_images, dtype="int32")
        uniform = engine().uniform((num_images, 2), seed)
        drawn = ops.cast(uniform[:, 0] * self.size, "int32")
        drawn = ops.minimum(drawn, self.size - 1)
        earlier = ops.logical_and(full, uniform[:, 1] < 0.5)
        free = count + order
        place = ops.where(earlier, drawn, ops.where(free < self.size, free, -1))
        # One image per place: the last.
        same = place[:, None] == place[None, :]
        later = order[:, None] < order[None, :]
        taken = ops.sum(ops.cast(ops.logical_and(same, later), "int32"), axis=1) > 0
        return {
            "shown": ops.where(earlier, drawn, -1),
            "place": ops.where(taken, -1, place),
        }

    def call(self, images: Tensor, place: Tensor, shown: Tensor) -> Tensor:
        """Stores images and returns them or earlier ones, (B, H, W, C).

        Args:
            images: (B, H, W, C), float32.
            place: (B,) int32, where each image is stored in the history, or -1.
            shown: (B,) int32, the place of the image returned instead, or -1.
        """
        history = ops.convert_to_tensor(self.images)
        earlier = ops.take(history, ops.maximum(shown, 0), axis=0)
        seen = ops.where((shown >= 0)[:, None, None, None], earlier, images)
        self._keep(ops.stop_gradient(images), place, history)
        return seen

    def _keep(self, images: Tensor, place: Tensor, history: Tensor) -> None:
        images, new = at_places(images, place, self.size)
        self.images.assign(ops.where(new[:, None, None, None], images, history))
        filled = ops.convert_to_tensor(self.filled)
        self.filled.assign(ops.maximum(filled, ops.cast(new, "float32")))

    def compute_output_shape(self, input_shape: Shape, *_: Any, **__: Any) -> Shape:
        """The shape of the images."""
        return input_shape
