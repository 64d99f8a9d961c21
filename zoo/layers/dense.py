"""Dense layers: products with a matrix, optionally with LoRA."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.engine.tensors import Tensor
from zoo.layers.layer import Layer


@keras.saving.register_keras_serializable("zoo")
class Dense(keras.layers.Dense):
    """Keras's `Dense` on flattened rows: (…, D) is multiplied as (rows, D).

    With two axes, the matrix's gradient is one plain product. With more, XLA first
    writes a transposed copy of the activations: on a CPU a GPT's step takes 1.3 to 1.5
    times as long.
    """

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """Maps (…, D) to (…, units)."""
        rows = super().call(ops.reshape(x, (-1, x.shape[-1])), training=training)
        return ops.reshape(rows, (-1, *ops.shape(x)[1:-1], self.units))

    @property
    def kernel(self) -> Tensor:
        """The matrix (D, units), including LoRA's product.

        Unlike Keras's, not cast to the layer's precision: when it is saved, outside a
        call, the full precision is needed.
        """
        if not self.lora_enabled:
            return super().kernel
        return self._kernel + self.lora_product(self.lora_kernel_a, self.lora_kernel_b)

    def lora_product(self, a: Tensor, b: Tensor) -> Tensor:
        """The scaled product of factors (D, rank) and (rank, units)."""
        return (self.lora_alpha / self.lora_rank) * ops.matmul(a, b)

    def load_own_variables(self, store: Any) -> None:
        """Reads the weights but keeps A: if both factors are 0, neither can learn."""
        factor = ops.copy(self.lora_kernel_a) if self.lora_enabled else None
        super().load_own_variables(store)
        if factor is not None:
            self.lora_kernel_a.assign(factor)


@keras.saving.register_keras_serializable("zoo")
class HeadsDense(Layer, Dense):
    """Projections for attention, such as queries and keys, as one product.

    Columns are ordered by head and, within a head, by part, so that splitting them
    splits between heads. A part may be repeated: with parts (query, query, key, value)
    each head of keys and values has two heads of queries (Ainslie et al. 2023). LoRA
    adapts each part with its own factors; repeated parts share the first, A.

    Shapes: D width, N heads, H head width, P parts, C parts with LoRA, U their names,
    R rank.

    Args:
        parts: names of the projections; repeated ones stand side by side.
        num_heads: N.
        head_width: H.
        **kwargs: arguments of `Dense`.
    """

    def __init__(
        self, parts: Sequence[str], num_heads: int, head_width: int, **kwargs: Any
    ) -> None:
        super().__init__(len(parts) * num_heads * head_width, **kwargs)
        self.parts, self.num_heads = tuple(parts), num_heads
        self.head_width = head_width

    def heads(self, x: Tensor) -> Any:
        """Maps (B, T, D) to one (B, T, N, H) per part.

        A part that is repeated n times has n·N heads.
        """
        tokens = ops.shape(x)[1]
        shape = (-1, tokens, self.num_heads, len(self.parts), self.head_width)
        y = ops.reshape(self(x), shape)
        if len(set(self.parts)) == len(self.parts):
            return ops.unstack(y, axis=3)
        found = []
        for name in dict.fromkeys(self.parts):
            first, count = self.parts.index(name), self.parts.count(name)
            part = y[:, :, :, first : first + count]
            width = self.head_width
            found.append(ops.reshape(part, (-1, tokens, self.num_heads * count, width)))
        return found

    def enable_lora(
        self,
        rank: int,
        lora_alpha: float | None = None,
        a_initializer: Any = "he_uniform",
        b_initializer: Any = "zeros",
        parts: Sequence[str] | None = None,
    ) -> None:
        """Keras's `enable_lora`, limited to `parts`; None means all.

        A (D, U·R) and B (C·R, N·H) hold the factors of all parts side by side.
        """
        adapted = [part for part in self.parts if parts is None or part in parts]
        self._tracker.unlock()
        shared = {"dtype": "float32", "regularizer": self.kernel_regularizer}
        self.lora_kernel_a = self.add_weight(
            name="lora_kernel_a",
            shape=(self._kernel.shape[0], len(set(adapted)) * rank),
            initializer=a_initializer,
            **shared,
        )
        self.lora_kernel_b = self.add_weight(
            name="lora_kernel_b",
            shape=(len(adapted) * rank, self.num_heads * self.head_width),
            initializer=b_initializer,
            **shared,
        )
        self._kernel.trainable = False
        self._tracker.lock()
        self.adapted, self.lora_enabled = tuple(adapted), True
        self.lora_rank, self.lora_alpha = rank, lora_alpha or rank

    def lora_product(self, a: Tensor, b: Tensor) -> Tensor:
        """The products of all parts, (D, N·P·H); zeros for parts without LoRA."""
        names = list(dict.fromkeys(self.adapted))
        places = [at for at, part in enumerate(self.parts) if part in names]
        own = np.eye(len(self.parts))[places][:, None, None, :, None]  # (C, 1, 1, P, 1)
        b_CRNH = ops.reshape(b, (len(places), -1, self.num_heads, self.head_width))
        b_CRNPH = ops.expand_dims(b_CRNH, 3) * ops.cast(own, b.dtype)
        # Parts of one name share A, so that their products add up.
        of = [names.index(part) for part in self.adapted]
        shared = ops.cast(np.eye(len(names))[:, of], b.dtype)  # (U, C)
        b_URNPH = ops.tensordot(shared, b_CRNPH, 1)
        return super().lora_product(a, ops.reshape(b_URNPH, (a.shape[1], self.units)))
