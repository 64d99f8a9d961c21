"""Training speed: `fit` of zoo's GPT, a hand-written loop, and nanoGPT.

    python -m benchmarks.training --backend jax

`python -m benchmarks` measures all three backends, each in a process of its own.

Set NANOGPT to the path of a nanoGPT checkout to add its model to the comparison. It
takes turns in the same process, since torch can be imported beside any backend.
"""

import importlib
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.one_backend import HAND_WRITTEN, Figures, all_cores, command_line, timed
from benchmarks.shapes import SHAPES, Shape
from benchmarks.timing import Contender, interleave


def batches(shape: Shape) -> Iterator[np.ndarray]:
    """Yields random windows of tokens endlessly, the same for all contenders."""
    random = np.random.default_rng(0)
    size = (shape.batch, shape.context + 1)
    made = [random.integers(0, shape.vocab, size, dtype="int32") for _ in range(16)]
    return itertools.cycle(made)


def from_step(step: Callable[[np.ndarray], object], shape: Shape) -> Contender:
    """Makes a contender from a function that takes one step."""
    stream = batches(shape)

    def run(steps: int) -> object:
        for batch in itertools.islice(stream, steps):
            loss = step(batch)
        return loss

    return Contender(run)


def zoo_fit(shape: Shape, seed: int) -> Contender:
    """Calls `model.fit` as a user would, including its overhead."""
    import keras

    import zoo

    keras.utils.set_random_seed(seed)
    model = zoo.GPT(
        zoo.GPTConfig(
            vocab_size=shape.vocab,
            context_length=shape.context,
            num_layers=shape.layers,
            num_heads=shape.heads,
            width=shape.width,
            use_bias=shape.bias,
            activation="gelu",
        )
    )
    optimizer = keras.optimizers.AdamW(
        1e-3, beta_2=0.99, weight_decay=0.1, global_clipnorm=1.0
    )
    model.compile(optimizer=optimizer)
    return Contender.fitting(model, batches(shape))


def hand_written(backend: str, shape: Shape, seed: int) -> Contender:
    """Makes the backend's hand-written loop.

    On TensorFlow a trial decides whether XLA is used: which is faster depends on the
    shape.
    """
    module = importlib.import_module(f"benchmarks.handwritten_{backend}")
    if backend != "tensorflow":
        return from_step(module.make_step(shape, seed), shape)
    both = {
        str(jit): from_step(module.make_step(shape, seed, jit_compile=jit), shape)
        for jit in (True, False)
    }
    trial = interleave(both, "True", shape.tokens_per_step, rounds=7, steps=3)
    return both["False" if trial["False"].ratio > 1 else "True"]


def measure(backend: str, shape: Shape, seconds: float, seed: int = 0) -> Figures:
    """Times every contender of one backend at one shape."""
    checkout = os.environ.get("NANOGPT")
    if backend == "torch" or checkout:
        all_cores()
    # zoo comes first, as in a user's script: what it sets in the process affects all.
    zoo = zoo_fit(shape, seed)
    contenders = {HAND_WRITTEN: hand_written(backend, shape, seed), "zoo": zoo}
    if checkout:
        from benchmarks import peer_nanogpt

        step = peer_nanogpt.make_step(shape, Path(checkout), seed)
        contenders["nanoGPT"] = from_step(step, shape)
    return timed(contenders, shape.tokens_per_step, seconds)


if __name__ == "__main__":
    command_line(
        __doc__,
        SHAPES,
        lambda flags, case: measure(flags.backend, SHAPES[case], flags.seconds),
    )
