"""Small models: one whose text varies, and one whose text is known beforehand."""

import numpy as np
from keras import ops

from zoo import GPT, GPTConfig
from zoo.engine.current import engine

VOCABULARY = 13
CONTEXT = 32


def random_gpt(num_layers: int = 1, dtype=None, **fields) -> GPT:
    """A model with strong opinions that depend on all that came before."""
    config = GPTConfig(
        VOCABULARY, CONTEXT, num_layers, 2, 16, tie_embeddings=False, **fields
    )
    model = GPT(config, dtype=dtype)
    rng = np.random.default_rng(0)
    model.set_weights(
        [rng.normal(size=w.shape, scale=0.5) for w in model.get_weights()]
    )
    return model


def chain(successors: list[int], context: int = CONTEXT) -> GPT:
    """After token i it says token `successors[i]`, whatever came before."""
    size = len(successors)
    model = GPT(GPTConfig(size, context, 1, 1, size, tie_embeddings=False))
    for weight in model.weights:
        if weight.name != "gamma":
            weight.assign(np.zeros(weight.shape))
    model.token_embedding.embeddings.assign(np.eye(size))
    model.head.kernel.assign(np.eye(size)[successors])
    return model


def logits(model, ids: np.ndarray) -> np.ndarray:
    """(B, context, V) for rows (B, T), padded on the right, where nobody looks."""
    if "logits_for_tests" not in model.__dict__:
        model.__dict__["logits_for_tests"] = engine().compile(
            lambda ids: model(ids), lambda: model.variables
        )
    padded = np.zeros((len(ids), model.config.context_length), "int32")
    padded[:, : ids.shape[1]] = ids
    return ops.convert_to_numpy(model.__dict__["logits_for_tests"](padded))


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x.astype("float64")
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def greedy(model, prompts: list[list[int]], new_tokens: int) -> list[list[int]]:
    """Without a cache: the whole text goes through the model for each token."""
    rows = [list(prompt) for prompt in prompts]
    for _ in range(new_tokens):
        padded = np.zeros((len(rows), CONTEXT), "int32")
        for index, row in enumerate(rows):
            padded[index, : len(row)] = row
        scores = logits(model, padded)
        for index, row in enumerate(rows):
            row.append(int(scores[index, len(row) - 1].argmax()))
    return rows
