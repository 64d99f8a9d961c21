"""A GPT and its training step, written by hand in plain JAX.

Activations are stored as rows, (B * T, D). With (B, T, D) the gradient of a weight
contracts two axes, for which XLA on a CPU first makes a transposed copy of the larger
operand: the whole step then takes 1.3 times as long or more.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.shapes import Shape


def initial_parameters(shape: Shape, seed: int) -> dict:
    """Draws initial values as GPT-2 does, as a tree of arrays."""
    width = shape.width
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int, scale: float = 1.0) -> jax.Array:
        return jnp.asarray(random.normal(0, 0.02 * scale, (rows, columns)), "float32")

    def norm() -> dict:
        bias = {"bias": jnp.zeros(width)} if shape.bias else {}
        return {"scale": jnp.ones(width)} | bias

    def linear(inputs: int, outputs: int, scale: float = 1.0) -> dict:
        bias = {"bias": jnp.zeros(outputs)} if shape.bias else {}
        return {"kernel": matrix(inputs, outputs, scale)} | bias

    residual = 1 / math.sqrt(2 * shape.layers)
    blocks = [
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
    return {
        "tokens": matrix(shape.vocab, width),
        "positions": matrix(shape.context, width),
        "blocks": blocks,
        "norm": norm(),
    }


def linear(p: dict, x: jax.Array) -> jax.Array:
    y = x @ p["kernel"]
    return y + p["bias"] if "bias" in p else y


def layer_norm(p: dict, x: jax.Array) -> jax.Array:
    centred = x - x.mean(-1, keepdims=True)
    variance = jnp.square(centred).mean(-1, keepdims=True)
    y = centred * jax.lax.rsqrt(variance + 1e-5) * p["scale"]
    return y + p["bias"] if "bias" in p else y


def attention(qkv: jax.Array, shape: Shape) -> jax.Array:
    """Computes causal attention from (B * T, 3 * D) to (B * T, D)."""
    T, N, H = shape.context, shape.heads, shape.head_dim
    q, k, v = (a.reshape(-1, T, N, H) for a in jnp.split(qkv, 3, axis=-1))
    scores = jnp.einsum("btnh,bsnh->bnts", q, k) * H**-0.5
    scores = jnp.where(np.tri(T, dtype=bool), scores, -1e30)
    y = jnp.einsum("bnts,bsnh->btnh", jax.nn.softmax(scores), v)
    return y.reshape(-1, N * H)


def loss_of(parameters: dict, batch: jax.Array, shape: Shape) -> jax.Array:
    """Returns the mean next-token cross-entropy of a batch (B, T + 1)."""
    inputs, targets = batch[:, :-1], batch[:, 1:].reshape(-1)
    x = parameters["tokens"][inputs] + parameters["positions"]
    x = x.reshape(-1, shape.width)
    for p in parameters["blocks"]:
        h = linear(p["qkv"], layer_norm(p["attention_norm"], x))
        x = x + linear(p["attention_out"], attention(h, shape))
        h = linear(p["mlp_in"], layer_norm(p["mlp_norm"], x))
        x = x + linear(p["mlp_out"], jax.nn.gelu(h, approximate=False))
    logits = layer_norm(parameters["norm"], x) @ parameters["tokens"].T
    picked = jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
    return (jax.nn.logsumexp(logits, axis=-1) - picked).mean()


def adamw(parameters: dict, gradients: dict, state: tuple) -> tuple[dict, tuple]:
    """Clips by global norm 1, then applies AdamW; only matrices decay."""
    means, squares, count = state
    count = count + 1
    norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradients)))
    clip = jnp.minimum(1.0, 1.0 / (norm + 1e-6))
    unbias_mean, unbias_square = 1 - 0.9**count, 1 - 0.99**count
    gradients = jax.tree.map(lambda g: g * clip, gradients)
    means = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, means, gradients)
    squares = jax.tree.map(
        lambda s, g: 0.99 * s + 0.01 * jnp.square(g), squares, gradients
    )

    def moved(p: jax.Array, m: jax.Array, s: jax.Array) -> jax.Array:
        change = (m / unbias_mean) / (jnp.sqrt(s / unbias_square) + 1e-8)
        return p - 1e-3 * (change + 0.1 * p if p.ndim > 1 else change)

    parameters = jax.tree.map(moved, parameters, means, squares)
    return parameters, (means, squares, count)


def make_step(shape: Shape, seed: int) -> Callable[[np.ndarray], jax.Array]:
    """Compiles a step with donated state that returns the loss."""
    parameters = initial_parameters(shape, seed)
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    copies = jax.tree.map(jnp.zeros_like, parameters)  # donated, so not shared
    state = (parameters, (zeros, copies, jnp.zeros((), "float32")))

    def update(state: tuple, batch: jax.Array) -> tuple[tuple, jax.Array]:
        parameters, moments = state
        loss, gradients = jax.value_and_grad(loss_of)(parameters, batch, shape)
        return adamw(parameters, gradients, moments), loss

    compiled = jax.jit(update, donate_argnums=0)

    def step(batch: np.ndarray) -> jax.Array:
        nonlocal state
        state, loss = compiled(state, batch)
        return loss

    return step
