"""Generation speed: zoo's cached decoding and `transformers.generate`.

    python -m benchmarks.generation --backend torch

Both decode greedily with a cache, in float32, with random weights of the same shape, in
alternating turns of one process. Above a ratio of 1, zoo is faster.
"""

import argparse
import json
import os
import statistics
import time

import numpy as np

from benchmarks.one_backend import BACKENDS, all_cores

# name: (layers, heads, width, vocabulary). With characters, the small model's time is
# overhead; with GPT-2's vocabulary, most of it goes into reading the head's 77 MB.
SHAPES = {
    "small": (6, 6, 384, 65),
    "small, 50257 ids": (6, 6, 384, 50257),
    "gpt2": (12, 12, 768, 50257),
}
PROMPT, NEW = 128, 128


def zoo_generate(layers: int, heads: int, width: int, vocab: int):
    import zoo

    model = zoo.GPT(zoo.GPTConfig(vocab, PROMPT + NEW, layers, heads, width))
    return lambda ids: model.generate(ids, NEW, temperature=0)


def transformers_generate(layers: int, heads: int, width: int, vocab: int):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocab,
        n_positions=PROMPT + NEW,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    model = GPT2LMHeadModel(config).eval()

    def generate(ids: np.ndarray) -> np.ndarray:
        ids = torch.as_tensor(ids).long()
        with torch.inference_mode():
            return model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=NEW,
                do_sample=False,
                use_cache=True,
            ).numpy()

    return generate


def measure(shape: str, batch: int, rounds: int) -> dict[str, float]:
    """Returns both median speeds in tokens per second, and the median ratio."""
    ours = zoo_generate(*SHAPES[shape])
    theirs = transformers_generate(*SHAPES[shape])
    random = np.random.default_rng(0)
    ids = random.integers(0, SHAPES[shape][3], (batch, PROMPT), dtype="int32")
    seconds: dict[str, list[float]] = {"zoo": [], "transformers": []}
    for index in range(rounds + 1):
        for name, generate in (("zoo", ours), ("transformers", theirs)):
            start = time.perf_counter()
            tokens = generate(ids)
            if index:  # the first round compiles
                seconds[name].append(time.perf_counter() - start)
            assert tokens.shape == (batch, PROMPT + NEW)
    pairs = list(zip(seconds["transformers"], seconds["zoo"], strict=True))
    ratios = [theirs / ours for theirs, ours in pairs]
    return {
        "zoo_tokens_per_second": batch * NEW / statistics.median(seconds["zoo"]),
        "transformers_tokens_per_second": batch
        * NEW
        / statistics.median(seconds["transformers"]),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


def main() -> None:
    """Measures one backend; prints one line of JSON per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=BACKENDS, required=True)
    parser.add_argument("--shape", choices=SHAPES, action="append")
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    os.environ["KERAS_BACKEND"] = arguments.backend
    all_cores()
    for shape in arguments.shape or SHAPES:
        for batch in arguments.batch or (1, 8):
            case = {"backend": arguments.backend, "shape": shape, "batch": batch}
            print(json.dumps(case | measure(shape, batch, arguments.rounds)))


if __name__ == "__main__":
    main()
