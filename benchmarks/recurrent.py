"""Training speed: `fit` of zoo's RecurrentLM, and a plain torch loop.

    python -m benchmarks.recurrent --backend torch

Both train in alternating turns of one process, whichever backend zoo is on.
"""

import itertools

import numpy as np
import torch
from torch.nn import functional

from benchmarks.one_backend import HAND_WRITTEN, Figures, all_cores, command_line, timed
from benchmarks.timing import Contender

VOCABULARY, WIDTH, TOKENS, BATCH = 65, 256, 64, 12
CASES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "elman": torch.nn.RNN}
ADAM = 1e-3


def windows():
    """Yields random ids (B, T+1) endlessly, the same for all contenders."""
    rng = np.random.default_rng(0)
    shape = (16, BATCH, TOKENS + 1)
    return itertools.cycle(rng.integers(VOCABULARY, size=shape).astype("int32"))


def plain(case: str) -> Contender:
    """Trains a language model with tied embeddings on torch's own layer."""
    table = torch.nn.Embedding(VOCABULARY, WIDTH)
    layer = CASES[case](WIDTH, WIDTH, batch_first=True)
    parameters = [*table.parameters(), *layer.parameters()]
    optimizer = torch.optim.Adam(parameters, ADAM, fused=True)
    stream = windows()

    def run(steps: int) -> float:
        for ids in itertools.islice(stream, steps):
            ids = torch.from_numpy(ids).long()
            hidden, _ = layer(table(ids[:, :-1]))
            logits = hidden @ table.weight.T
            loss = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    return Contender(run)


def ours(case: str) -> Contender:
    """Calls `model.fit` as a user would, including its overhead."""
    import keras

    import zoo

    config = zoo.RecurrentLMConfig(VOCABULARY, TOKENS, 1, WIDTH, cell=case)
    model = zoo.RecurrentLM(config)
    model.compile(keras.optimizers.Adam(ADAM))
    return Contender.fitting(model, windows())


def measure(case: str, seconds: float) -> Figures:
    """Measures tokens per second."""
    all_cores()
    contenders = {HAND_WRITTEN: plain(case), "zoo": ours(case)}
    return timed(contenders, BATCH * TOKENS, seconds)


if __name__ == "__main__":
    command_line(__doc__, CASES, lambda flags, case: measure(case, flags.seconds))
