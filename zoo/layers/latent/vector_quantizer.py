"""Vector quantisation with a learned codebook (van den Oord et al. 2017).

Shapes: B examples, P places per example, M = B·P vectors, K codes, D dimensions.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from zoo.engine.current import engine
from zoo.engine.tensors import Shape, Tensor
from zoo.layers.layer import Layer

LEARNING = ("moving_average", "gradient")


class Quantized(NamedTuple):
    """The result of quantising vectors.

    Attributes:
        vectors: (B, ..., D) the nearest code vectors; gradients pass through to the
            inputs (straight-through, section 3.2).
        codes: (B, ...) the code indices, int32.
        commitment: scalar, the mean squared distance to the code vectors; its gradient
            goes to the inputs.
        codebook: scalar, the same value; its gradient goes to the codebook, if that
            learns by gradient.
    """

    vectors: Any
    codes: Any
    commitment: Any
    codebook: Any


@keras.saving.register_keras_serializable("zoo")
class VectorQuantizer(Layer):
    """Replaces each vector by the nearest of K codes.

    The codebook is the moving average of the vectors assigned to each code (appendix
    A.1), or learns by gradient (equation 3). For the average, the layer stores shares
    and sums of the vectors, not the codebook itself: they are linear in the batch, so
    that their mean over micro-batches and replicas is that of the whole batch.

    A code that is rarely used is restarted at a vector of the batch (as in Dhariwal et
    al. 2020, Jukebox, section 3). All codes start out unused, so the first batch
    initialises the codebook. `draw_restarts` draws the vectors beforehand.

    Args:
        num_codes: K.
        dim: D.
        learning: "moving_average" or "gradient".
        decay: decay of the moving averages, in [0, 1).
        restart_below: codes whose average share of the vectors is below this fraction
            of 1/K are restarted; 0 never restarts. Only for moving averages.
        smoothing: Laplace smoothing, added to each code's share of the vectors.
        **kwargs: arguments of Keras's layers.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        num_codes: int,
        dim: int,
        *,
        learning: str = "moving_average",
        decay: float = 0.99,
        restart_below: float = 0.1,
        smoothing: float = 1e-9,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, count in (("num_codes", num_codes), ("dim", dim)):
            if not isinstance(count, int) or count < 1:
                raise ValueError(
                    f"{name} must be a whole number from 1, got {count!r}."
                )
        if learning not in LEARNING:
            raise ValueError(f"learning must be one of {LEARNING}, got {learning!r}.")
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay!r}.")
        if not 0 <= restart_below < 1:
            raise ValueError(f"restart_below must be in [0, 1), got {restart_below!r}.")
        if learning == "gradient" and restart_below:
            raise ValueError(
                "A codebook that learns by gradient can't restart codes, "
                f"got restart_below={restart_below}. Set it to 0."
            )
        self.num_codes, self.dim = num_codes, dim
        self.learning, self.decay = learning, decay
        self.restart_below, self.smoothing = restart_below, smoothing

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the codebook and the averages, in float32 at any precision."""
        each = 1 / self.num_codes
        initial = keras.initializers.RandomUniform(-each, each)
        if self.learning == "gradient":
            self.vectors = self.add_weight(
                name="codebook",
                shape=(self.num_codes, self.dim),
                initializer=initial,
                dtype="float32",
                autocast=False,
            )
        else:
            self.counts = self._average("counts", keras.initializers.Constant(each))
            # As if all codes had been used equally often.
            self.sums = self._average(
                "sums", lambda shape, dtype: initial(shape, dtype) * each, self.dim
            )
        self.usage = self._average("usage", "zeros")

    def _average(self, name: str, initializer: Any, *dims: Any) -> keras.Variable:
        return self.add_weight(
            name=name,
            shape=(self.num_codes, *dims),
            initializer=initializer,
            dtype="float32",
            trainable=False,
            autocast=False,
            aggregation="mean",
        )

    @property
    def codebook(self) -> Tensor:
        """The code vectors (K, D), in float32."""
        if self.learning == "gradient":
            return ops.convert_to_tensor(self.vectors)
        counts = ops.convert_to_tensor(self.counts)
        total = ops.sum(counts)
        smoothed = counts + self.smoothing
        smoothed = smoothed * (total / (total + self.num_codes * self.smoothing))
        return ops.convert_to_tensor(self.sums) / smoothed[:, None]

    def perplexity(self) -> Tensor:
        """The effective number of codes in use: exp of the entropy of their shares.

        Uses the moving average, since a batch's own value depends on how the batch is
        split; 1 before the first update.
        """
        usage = ops.convert_to_tensor(self.usage)
        shares = usage / ops.maximum(ops.sum(usage), 1e-12)
        return ops.exp(-ops.sum(shares * ops.log(shares + 1e-12)))

    def nearest(self, vectors: Tensor, codebook: Tensor | None = None) -> Tensor:
        """The nearest codes (B, ...), int32, of vectors (B, ..., D)."""
        codebook = self.codebook if codebook is None else codebook
        rows = ops.reshape(ops.cast(vectors, "float32"), (-1, self.dim))
        # |z - e|² without |z|², which is the same for all codes.
        products = ops.matmul(rows, ops.transpose(codebook))
        # The argmax of the negative, since DTensor does not support ArgMin.
        closeness = 2 * products - ops.sum(ops.square(codebook), axis=-1)
        codes = ops.cast(ops.argmax(closeness, axis=-1), "int32")
        return ops.reshape(codes, ops.shape(vectors)[:-1])

    def lookup(self, codes: Tensor, codebook: Tensor | None = None) -> Tensor:
        """The vectors (B, ..., D) of codes (B, ...), in float32."""
        codebook = self.codebook if codebook is None else codebook
        return ops.take(codebook, codes, axis=0)

    def draw_restarts(self, num_examples: int, num_places: int, seed: Any) -> Tensor:
        """Draws the vectors at which dead codes restart, for `call(..., restarts=)`.

        Args:
            num_examples: B, of the whole batch.
            num_places: P.
            seed: a SeedGenerator.

        Returns:
            (B, K) int32: the place of a code's vector if it is in this example, else
            -1.
        """
        uniform = engine().uniform((self.num_codes,), seed)
        count = num_examples * num_places
        chosen = ops.cast(uniform * ops.cast(count, "float32"), "int32")
        chosen = ops.minimum(chosen, count - 1)
        example, place = chosen // num_places, chosen % num_places
        here = ops.arange(num_examples, dtype="int32")[:, None] == example[None, :]
        return ops.cast(here, "int32") * (place[None, :] + 1) - 1

    def call(
        self, vectors: Tensor, restarts: Tensor | None = None, training: bool = False
    ) -> Quantized:
        """Quantises vectors (B, ..., D); in training, updates the averages.

        Args:
            vectors: (B, ..., D).
            restarts: from `draw_restarts`; needed in training if codes can restart.
            training: whether to update the averages.

        Raises:
            ValueError: `restarts` is missing.
        """
        z = ops.cast(vectors, "float32")
        codebook = self.codebook
        codes = self.nearest(z, codebook)
        e = self.lookup(codes, codebook)
        if training:
            self._learn(ops.stop_gradient(z), codes, restarts)
        through = z + ops.stop_gradient(e - z)
        return Quantized(
            vectors=ops.cast(through, self.compute_dtype),
            codes=codes,
            commitment=ops.mean(ops.square(z - ops.stop_gradient(e))),
            codebook=ops.mean(ops.square(ops.stop_gradient(z) - e)),
        )

    def _learn(self, z: Tensor, codes: Tensor, restarts: Tensor) -> None:
        """Updates all averages with one batch."""
        rows = ops.reshape(z, (-1, self.dim))  # (M, D)
        places = ops.shape(rows)[0] // ops.shape(z)[0]
        each = 1.0 / ops.cast(ops.shape(rows)[0], "float32")  # a vector's share

        def averages(taken: Tensor) -> tuple[Tensor, Tensor]:
            """Shares (K,) and sums (K, D) of the rows assigned by (M, K)."""
            taken = ops.cast(taken, "float32")
            sums = ops.matmul(ops.transpose(taken), rows)
            return ops.sum(taken, axis=0) * each, sums * each

        numbers = ops.arange(self.num_codes, dtype="int32")
        chosen = ops.reshape(codes, (-1, 1)) == numbers[None, :]
        shares, chosen_sums = averages(chosen)
        usage = self._moved(self.usage, shares)
        if self.learning == "gradient":
            self.usage.assign(usage)
            return
        counts = self._moved(self.counts, shares)
        sums = self._moved(self.sums, chosen_sums)
        if self.restart_below:
            if restarts is None:
                raise ValueError(
                    "Dead codes restart at vectors drawn beforehand, got none. "
                    "Pass restarts=draw_restarts(...), or set restart_below=0."
                )
            least = self.restart_below / self.num_codes
            dead = ops.cast(ops.convert_to_tensor(self.usage) < least, "float32")
            each_place = ops.arange(places, dtype="int32")
            drawn = restarts[:, None, :] == each_place[None, :, None]
            one, vector = averages(ops.reshape(drawn, (-1, self.num_codes)))
            counts = (1 - dead) * counts + dead * one
            sums = (1 - dead)[:, None] * sums + dead[:, None] * vector
            # Above the threshold, so that restarted codes have time to be used.
            usage = (1 - dead) * usage + dead * (2 * least)
        self.counts.assign(counts)
        self.sums.assign(sums)
        self.usage.assign(usage)

    def _moved(self, average: Any, value: Tensor) -> Tensor:
        return self.decay * ops.convert_to_tensor(average) + (1 - self.decay) * value
