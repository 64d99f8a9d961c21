"""Vectors of words from their characters.

Kim et al. 2016, section 2; Peters et al. 2018, as their own code has it: characters
are embedded, convolutions of several widths read them, each keeps its largest value,
highways (Srivastava et al. 2015) mix these, and a product brings them to width.

Shapes: B batch, T words, C characters of a word, E width of a character, F filters of
all widths, D width.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from zoo.layers.dense import Dense
from zoo.layers.embeddings import TokenEmbedding
from zoo.layers.layer import Layer


@keras.saving.register_keras_serializable("zoo")
class Highway(Layer):
    """x stays, or ReLU(Wx + b) takes its place: a gate says how much of each.

    Gates start with a bias of 1, towards staying (AllenNLP's `Highway`).

    Args:
        width: of x.
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

    def _initial_bias(self, shape, dtype=None):
        return ops.cast(ops.arange(shape[0]) >= self.width, dtype or "float32")

    def build(self, input_shape=None) -> None:
        """Makes the matrix of the new values and the gates, (width, 2·width)."""
        self.both.build((None, self.width))

    def call(self, x):
        """(…, width) to the same."""
        both = self.both(x)
        new, gate = both[..., : self.width], both[..., self.width :]
        new, gate = ops.relu(new), ops.sigmoid(gate)
        return gate * x + (1 - gate) * new


@keras.saving.register_keras_serializable("zoo")
class CharacterConvolutions(Layer):
    """Words, spelled by character ids, to vectors.

    Args:
        num_characters: ids that there are.
        filters: how many convolutions there are of each width, from width 1 up.
        character_width: E.
        num_highways: one after the other.
        width: D.
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
        # As products of windows with matrices, which any backend and mesh does well.
        self.convolutions: list[Dense] = [
            Dense(count, name=f"convolution_{size}", **dtype)
            for size, count in enumerate(self.filters, start=1)
        ]
        self.highways = [
            Highway(sum(self.filters), name=f"highway_{index}", **dtype)
            for index in range(num_highways)
        ]
        self.projection = Dense(width, name="projection", **dtype)

    def build(self, input_shape=None) -> None:
        """Makes all weights; the arguments say all their shapes."""
        self.embedding.build()
        for size, convolution in enumerate(self.convolutions, start=1):
            convolution.build((None, None, size * self.embedding.width))
        for highway in self.highways:
            highway.build((None, sum(self.filters)))
        self.projection.build((None, sum(self.filters)))

    def call(self, character_ids):
        """Ids (B, T, C) to vectors (B, T, D); C is at least the widest filter's."""
        length = character_ids.shape[-1]
        x = self.embedding(ops.reshape(character_ids, (-1, length)))  # (B·T, C, E)
        found = []
        for size, convolution in enumerate(self.convolutions, start=1):
            count = length - size + 1
            windows = [x[:, start : start + count] for start in range(size)]
            convolved = convolution(ops.concatenate(windows, axis=-1))
            found.append(ops.max(convolved, axis=1))
        # After the maximum, which ReLU does not move.
        x = ops.relu(ops.concatenate(found, axis=-1))
        for highway in self.highways:
            x = highway(x)
        x = self.projection(x)
        return ops.reshape(x, (-1, *character_ids.shape[1:-1], self.width))

    def compute_output_shape(self, input_shape):
        """(B, T, D)."""
        return (*input_shape[:-1], self.width)
