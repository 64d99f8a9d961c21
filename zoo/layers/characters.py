"""Word vectors from characters.

Kim et al. 2016, section 2, in the form of the code of Peters et al. 2018: character
embeddings, convolutions of several widths, max-pooling over the word, highway layers
(Srivastava et al. 2015) and a projection.

Shapes: B batch, T words, C characters per word, E character width, F filters of all
widths, D width.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from zoo.engine.tensors import Shape, Tensor
from zoo.layers.dense import Dense
from zoo.layers.embeddings import TokenEmbedding
from zoo.layers.layer import Layer


@keras.saving.register_keras_serializable("zoo")
class Highway(Layer):
    """A gated mean of x and ReLU(Wx + b).

    Gates start with a bias of 1, in favour of x (AllenNLP's `Highway`).

    Args:
        width: width of x.
    """

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.both = Dense(
            2 * width,
            bias_initializer=self._initial_bias,
            name="both",
            dtype=self.dtype_policy,
        )

    def _initial_bias(self, shape: Shape, dtype: Any = None) -> Tensor:
        return ops.cast(ops.arange(shape[0]) >= self.width, dtype or "float32")

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the matrix of the new values and the gates, (width, 2·width)."""
        self.both.build((None, self.width))

    def call(self, x: Tensor) -> Tensor:
        """Maps (…, width) to (…, width)."""
        both = self.both(x)
        new, gate = both[..., : self.width], both[..., self.width :]
        new, gate = ops.relu(new), ops.sigmoid(gate)
        return gate * x + (1 - gate) * new


@keras.saving.register_keras_serializable("zoo")
class CharacterConvolutions(Layer):
    """Maps words, given as character ids, to vectors.

    Args:
        num_characters: number of character ids.
        filters: number of filters of each convolution width, from width 1 up.
        character_width: width of a character's embedding, E.
        num_highways: number of consecutive highway layers.
        width: output width, D.
    """

    def __init__(
        self,
        num_characters: int,
        filters: Sequence[int],
        character_width: int,
        num_highways: int,
        width: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        dtype = {"dtype": self.dtype_policy}
        self.filters, self.width = tuple(filters), width
        self.embedding = TokenEmbedding(
            num_characters,
            character_width,
            keras.initializers.RandomUniform(-1.0, 1.0),
            name="embedding",
            **dtype,
        )
        # As matrix products of windows, which are fast on every backend and mesh.
        self.convolutions: list[Dense] = [
            Dense(count, name=f"convolution_{size}", **dtype)
            for size, count in enumerate(self.filters, start=1)
        ]
        self.highways = [
            Highway(sum(self.filters), name=f"highway_{index}", **dtype)
            for index in range(num_highways)
        ]
        self.projection = Dense(width, name="projection", **dtype)

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates all weights; their shapes follow from the constructor's arguments."""
        self.embedding.build()
        for size, convolution in enumerate(self.convolutions, start=1):
            convolution.build((None, None, size * self.embedding.width))
        for highway in self.highways:
            highway.build((None, sum(self.filters)))
        self.projection.build((None, sum(self.filters)))

    def call(self, character_ids: Tensor) -> Tensor:
        """Maps ids (B, T, C) to vectors (B, T, D); C is at least the widest filter."""
        length = character_ids.shape[-1]
        x = self.embedding(ops.reshape(character_ids, (-1, length)))  # (B·T, C, E)
        found = []
        for size, convolution in enumerate(self.convolutions, start=1):
            count = length - size + 1
            windows = [x[:, start : start + count] for start in range(size)]
            convolved = convolution(ops.concatenate(windows, axis=-1))
            found.append(ops.max(convolved, axis=1))
        # After the maximum, with which ReLU commutes.
        x = ops.relu(ops.concatenate(found, axis=-1))
        for highway in self.highways:
            x = highway(x)
        x = self.projection(x)
        return ops.reshape(x, (-1, *character_ids.shape[1:-1], self.width))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape (B, T, D) for ids (B, T, C)."""
        return (*input_shape[:-1], self.width)
