"""Training speed: `fit` of zoo's GPT beside a hand-written loop and nanoGPT.

Keras fixes its backend when it is imported, and the backends' thread pools get in
each other's way: so `--backend` measures one of them in this process, and
`python -m benchmarks` gives each a process of its own.

NANOGPT, the path of a checkout of nanoGPT, adds its model to the comparison. It
runs in the same process and turn by turn, as torch imports beside any backend.
"""

import argparse
import importlib
import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.shapes import SHAPES, Shape
from benchmarks.timing import Contender, interleave

BACKENDS = ("tensorflow", "jax", "torch")
HAND_WRITTEN = "hand-written"  # the baseline of every ratio


def batches(shape: Shape) -> Iterator[np.ndarray]:
    """Endless random windows of tokens, the same ones for every contender."""
    random = np.random.default_rng(0)
    size = (shape.batch, shape.context + 1)
    made = [random.integers(0, shape.vocab, size, dtype="int32") for _ in range(16)]
    return itertools.cycle(made)


def from_step(step: Callable[[np.ndarray], object], shape: Shape) -> Contender:
    """A contender out of a function that takes one step."""
    stream = batches(shape)

    def run(steps: int) -> object:
        for batch in itertools.islice(stream, steps):
            loss = step(batch)
        return loss

    return Contender(run)


def zoo_fit(shape: Shape, seed: int) -> Contender:
    """`model.fit` as a user calls it, its own overhead included."""
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
    stream = batches(shape)

    def run(steps: int) -> float:
        history = model.fit(stream, steps_per_epoch=steps, epochs=1, verbose=0)
        return history.history["loss"][-1]

    return Contender(run)


def hand_written(backend: str, shape: Shape, seed: int) -> Contender:
    """The backend's hand-written loop; TensorFlow's with or without XLA.

    Which of the two is faster there depends on the shape, so a trial decides.
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


def measure(
    backend: str, shape: Shape, seconds: float, with_zoo: bool, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Times every contender of one backend at one shape, by name."""
    # First of all, as a user would: what it does to the process holds for all of them.
    zoo = {"zoo": zoo_fit(shape, seed)} if with_zoo else {}
    contenders = {HAND_WRITTEN: hand_written(backend, shape, seed), **zoo}
    if checkout := os.environ.get("NANOGPT"):
        from benchmarks import peer_nanogpt

        step = peer_nanogpt.make_step(shape, Path(checkout), seed)
        contenders["nanoGPT"] = from_step(step, shape)
    # As many rounds as fit into the time, judged by one short round.
    trial = interleave(
        contenders, HAND_WRITTEN, shape.tokens_per_step, rounds=1, steps=2
    )
    step_seconds = sum(r.milliseconds_per_step for r in trial.values()) / 1000
    # At least ten steps a round: `fit` takes a while to start, once an epoch.
    rounds = min(15, max(5, int(seconds / step_seconds / 10)))
    steps = min(50, max(10, int(seconds / step_seconds / rounds)))
    results = interleave(
        contenders, HAND_WRITTEN, shape.tokens_per_step, rounds=rounds, steps=steps
    )
    return {name: asdict(result) for name, result in results.items()}


def main() -> None:
    """Measures one backend, and prints the results as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=BACKENDS, required=True)
    parser.add_argument("--shape", choices=SHAPES, action="append")
    parser.add_argument("--seconds", type=float, default=60.0, help="per shape")
    parser.add_argument("--without-zoo", action="store_true")
    arguments = parser.parse_args()
    os.environ["KERAS_BACKEND"] = arguments.backend
    if arguments.backend == "torch" or "NANOGPT" in os.environ:
        import torch

        torch.set_num_threads(len(os.sched_getaffinity(0)))
    results = {
        name: measure(
            arguments.backend,
            SHAPES[name],
            arguments.seconds,
            with_zoo=not arguments.without_zoo,
        )
        for name in arguments.shape or SHAPES
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
