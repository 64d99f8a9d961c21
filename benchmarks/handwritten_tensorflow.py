"""A GPT and its training step, written by hand in plain TensorFlow.

Activations are stored as rows, (B * T, D), for the reason given in `handwritten_jax`:
XLA compiles this step too.
"""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from benchmarks.shapes import Shape


class GPT(tf.Module):
    """The model's variables and its loss on a batch."""

    def __init__(self, shape: Shape, seed: int):
        super().__init__()
        self.shape = shape
        random = np.random.default_rng(seed)
        width = shape.width

        def matrix(rows: int, columns: int, scale: float = 1.0) -> tf.Variable:
            values = random.normal(0, 0.02 * scale, (rows, columns))
            return tf.Variable(values.astype("float32"))

        def linear(inputs: int, outputs: int, scale: float = 1.0) -> list:
            bias = [tf.Variable(tf.zeros(outputs))] if shape.bias else []
            return [matrix(inputs, outputs, scale), *bias]

        def norm() -> list:
            bias = [tf.Variable(tf.zeros(width))] if shape.bias else []
            return [tf.Variable(tf.ones(width)), *bias]

        residual = 1 / math.sqrt(2 * shape.layers)
        self.tokens = matrix(shape.vocab, width)
        self.positions = matrix(shape.context, width)
        self.blocks = [
            {
                "attention_norm": norm(),
                "qkv": linear(width, 3 * width),
                "attention_out": linear(width, width, residual),
                "mlp_norm": norm(),
                "mlp_in": linear(width, 4 * width),
                "mlp_out": linear(4 * width, width, residual),
            }
            for _ in range(shape.layers)
        ]
        self.norm = norm()

    def attention(self, qkv: tf.Tensor) -> tf.Tensor:
        """Computes causal attention from (B * T, 3 * D) to (B * T, D)."""
        T, N, H = self.shape.context, self.shape.heads, self.shape.head_dim
        qkv = tf.reshape(qkv, (-1, T, 3, N, H))
        q, k, v = tf.unstack(tf.transpose(qkv, (2, 0, 3, 1, 4)))  # each (B, N, T, H)
        scores = tf.matmul(q * H**-0.5, k, transpose_b=True)
        scores = tf.where(np.tri(T, dtype=bool), scores, -1e30)
        y = tf.matmul(tf.nn.softmax(scores), v)
        return tf.reshape(tf.transpose(y, (0, 2, 1, 3)), (-1, N * H))

    def loss(self, batch: tf.Tensor) -> tf.Tensor:
        """Returns the mean next-token cross-entropy of a batch (B, T + 1)."""
        inputs, targets = batch[:, :-1], tf.reshape(batch[:, 1:], (-1,))
        x = tf.gather(self.tokens, inputs) + self.positions
        x = tf.reshape(x, (-1, self.shape.width))
        for p in self.blocks:
            h = linear(p["qkv"], layer_norm(p["attention_norm"], x))
            x = x + linear(p["attention_out"], self.attention(h))
            h = linear(p["mlp_in"], layer_norm(p["mlp_norm"], x))
            x = x + linear(p["mlp_out"], tf.nn.gelu(h, approximate=False))
        logits = tf.matmul(layer_norm(self.norm, x), self.tokens, transpose_b=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        return tf.reduce_mean(losses)


def linear(p: list, x: tf.Tensor) -> tf.Tensor:
    y = tf.matmul(x, p[0])
    return y + p[1] if len(p) > 1 else y


def layer_norm(p: list, x: tf.Tensor) -> tf.Tensor:
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
    y = centred * tf.math.rsqrt(variance + 1e-5) * p[0]
    return y + p[1] if len(p) > 1 else y


def make_step(
    shape: Shape, seed: int, jit_compile: bool = True
) -> Callable[[np.ndarray], tf.Tensor]:
    """Compiles a step (forward, backward, clip, AdamW) that returns the loss."""
    model = GPT(shape, seed)
    variables = model.trainable_variables
    means = [tf.Variable(tf.zeros_like(v)) for v in variables]
    squares = [tf.Variable(tf.zeros_like(v)) for v in variables]
    count = tf.Variable(0.0)

    @tf.function(jit_compile=jit_compile)
    def step(batch: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = model.loss(batch)
        gradients = tape.gradient(loss, variables)
        # A gather's gradient is sparse; making it dense is cheaper here.
        gradients = [tf.convert_to_tensor(g) for g in gradients]
        clip = tf.minimum(1.0, 1.0 / (tf.linalg.global_norm(gradients) + 1e-6))
        count.assign_add(1.0)
        unbias_mean, unbias_square = 1 - 0.9**count, 1 - 0.99**count
        for v, g, m, s in zip(variables, gradients, means, squares, strict=True):
            g = g * clip
            m.assign(0.9 * m + 0.1 * g)
            s.assign(0.99 * s + 0.01 * tf.square(g))
            change = (m / unbias_mean) / (tf.sqrt(s / unbias_square) + 1e-8)
            v.assign_sub(1e-3 * (change + 0.1 * v if v.shape.rank > 1 else change))
        return loss

    return lambda batch: step(tf.constant(batch))
