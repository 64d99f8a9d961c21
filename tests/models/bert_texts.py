"""Padded text pairs for BERT's tests, and helpers that run its models."""

import keras
import numpy as np

from zoo.engine.current import engine

VOCAB, LENGTH = 37, 10
# A vocabulary of that many.
TOKENS = [*"[PAD] [UNK] [CLS] [SEP] [MASK] a b".split(), *map(str, range(30))]
# One set of sizes, since JAX compiles each operation anew for another shape.
SIZES = {
    "vocab_size": VOCAB,
    "context_length": 14,
    "num_layers": 1,
    "num_heads": 3,
    "width": 24,
    "feed_forward_width": 40,
}
# The quickest where one step is all there is, but on JAX.
EAGER = {"run_eagerly": keras.config.backend() != "jax"}


def texts(count=4, seed=0) -> dict[str, np.ndarray]:
    """Token ids from 1 up, 0 at padding; two segments."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(6, LENGTH, size=(count, 1))
    lengths[0] = LENGTH
    mask = np.arange(LENGTH) < lengths
    ids = rng.integers(1, VOCAB, size=(count, LENGTH))
    segments = np.arange(LENGTH) >= rng.integers(2, 5, size=(count, 1))
    return {
        "token_ids": (ids * mask).astype("int32"),
        "segment_ids": (segments * mask).astype("int32"),
        "padding_mask": mask,
    }


def masked_texts(count=4, seed=0) -> dict[str, np.ndarray]:
    """The same texts as `BertPretrainer` takes them, with uneven numbers of masks."""
    rng = np.random.default_rng(seed + 1)
    positions = np.stack([rng.choice(6, 3, replace=False) for _ in range(count)])
    weights = np.arange(3) < 1 + np.arange(count)[:, None] % 3
    return texts(count, seed) | {
        "mask_positions": (positions * weights).astype("int32"),
        "mask_ids": rng.integers(VOCAB, size=(count, 3), dtype="int32") * weights,
        "mask_weights": weights.astype("float32"),
        "next_sentence": rng.integers(2, size=count).astype("int32"),
    }


def run(model, inputs):
    """The model's outputs as NumPy arrays."""
    return keras.tree.map_structure(engine().numpy, model(inputs))


def step(model, *batch) -> dict[str, float]:
    """Runs one update; returns this batch's terms."""
    return model.train_on_batch(*batch, return_dict=True)
