"""Fine-tuning speed of BERT in zoo, transformers and Keras Hub.

    python -m benchmarks.finetuning --backend jax

All train a classifier of MiniLM's shape (6 layers, width 384, 30,522 ids) in
alternating turns of one process: transformers in a plain torch loop, Keras Hub (if
installed) with its `fit` on the same backend. AdamW, clipping, and dropout of 0.1 where
all have it. Only Keras Hub, which has a single rate, also drops attention
probabilities; the others use their fastest kernel.

Case "full" has texts of 128 tokens. Case "short" has the lengths of SST-2's sentences:
zoo batches texts of similar length, transformers pads each batch to its longest text,
as its collator does, and Keras Hub pads to 128, as its preprocessor does. In
"full_bfloat16" and "short_bfloat16" Keras computes in `mixed_bfloat16` and transformers
under torch's autocast with eager attention, whose backward pass is faster there on a
CPU.
"""

import importlib.util
import itertools
from collections.abc import Iterator

import numpy as np

from benchmarks.one_backend import HAND_WRITTEN, Figures, all_cores, command_line, timed
from benchmarks.timing import Contender

LAYERS, HEADS, WIDTH, IDS, LENGTH, BATCH = 6, 12, 384, 30522, 128, 32
RATE, DECAY, CLIP, DROPOUT = 5e-5, 0.01, 1.0, 0.1
BUCKET = LENGTH // 8
CASES = ("full", "short", "full_bfloat16", "short_bfloat16")


def texts(case: str, count: int = 10 * BATCH) -> list[np.ndarray]:
    """Returns random ids; "short" texts vary in length, 25 tokens on average."""
    random = np.random.default_rng(0)
    lengths = np.full(count, LENGTH)
    if case.startswith("short"):
        lengths = np.clip(random.gamma(4.0, 25 / 4, count).astype(int), 4, LENGTH)
    return [random.integers(1000, IDS, n, dtype="int32") for n in lengths]


def batches(case: str, padding: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (ids, classes) of the same texts endlessly; ids of 0 are padding.

    Args:
        case: one of `CASES`.
        padding: "bucket" batches texts of similar length, "longest" pads to the longest
            text of a batch, "all" to 128 tokens.
    """
    found = texts(case)
    lengths = np.array([len(text) for text in found])
    order = np.arange(len(found))
    if padding == "bucket":
        order = np.argsort(-(-lengths // BUCKET), kind="stable")
    made = []
    for rows in order.reshape(-1, BATCH):
        longest = lengths[rows].max()
        width = {"bucket": -(-longest // BUCKET) * BUCKET, "longest": longest}
        ids = np.zeros((BATCH, width.get(padding, LENGTH)), "int32")
        for row, text in zip(ids, (found[i] for i in rows), strict=True):
            row[: len(text)] = text
        made.append((ids, (rows % 2).astype("int32")))
    np.random.default_rng(1).shuffle(made)
    return itertools.cycle(made)


def zoo_fit(case: str) -> Contender:
    """Calls `model.fit` as a user would, including its overhead."""
    import keras

    from zoo.models.bert.tasks import BertClassifier, BertClassifierConfig

    config = BertClassifierConfig(
        IDS, LENGTH, LAYERS, HEADS, WIDTH, dropout=DROPOUT, attention_dropout=0.0
    )
    model = BertClassifier(config)
    adam = keras.optimizers.AdamW(RATE, weight_decay=DECAY, global_clipnorm=CLIP)
    model.compile(adam)
    stream = (
        ({"token_ids": ids, "padding_mask": ids > 0}, classes)
        for ids, classes in batches(case, "bucket")
    )
    return Contender.fitting(model, stream)


def hub_fit(case: str) -> Contender:
    """Trains Keras Hub's classifier with its `fit`."""
    import keras
    import keras_hub

    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=IDS,
        num_layers=LAYERS,
        num_heads=HEADS,
        hidden_dim=WIDTH,
        intermediate_dim=4 * WIDTH,
        dropout=DROPOUT,
        max_sequence_length=LENGTH,
    )
    model = keras_hub.models.BertTextClassifier(
        backbone, num_classes=2, preprocessor=None, dropout=DROPOUT
    )
    adam = keras.optimizers.AdamW(RATE, weight_decay=DECAY, global_clipnorm=CLIP)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(adam, loss, jit_compile="auto")
    stream = batches(case, "all")

    def run(steps: int) -> float:
        # Its `fit` takes no generator.
        made = itertools.islice(stream, steps)
        ids, classes = map(np.concatenate, zip(*made, strict=True))
        inputs = {
            "token_ids": ids,
            "segment_ids": np.zeros_like(ids),
            "padding_mask": ids > 0,
        }
        history = model.fit(
            inputs, classes, batch_size=BATCH, shuffle=False, epochs=1, verbose=0
        )
        return history.history["loss"][-1]

    return Contender(run)


def transformers_loop(case: str) -> Contender:
    """Trains `BertForSequenceClassification` in a loop with fused AdamW."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    mixed = case.endswith("bfloat16")
    model = BertForSequenceClassification(
        BertConfig(
            attn_implementation="eager" if mixed else "sdpa",
            vocab_size=IDS,
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            intermediate_size=4 * WIDTH,
            max_position_embeddings=LENGTH,
            hidden_dropout_prob=DROPOUT,
            attention_probs_dropout_prob=0.0,
        )
    ).train()
    parameters = model.parameters()
    adam = torch.optim.AdamW(parameters, RATE, weight_decay=DECAY, fused=True)
    stream = batches(case, "longest")

    def run(steps: int) -> float:
        for ids, classes in itertools.islice(stream, steps):
            adam.zero_grad()
            tokens = torch.from_numpy(ids).long()
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                loss = model(
                    input_ids=tokens,
                    attention_mask=(tokens > 0).long(),
                    labels=torch.from_numpy(classes).long(),
                ).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            adam.step()
        return loss.item()

    return Contender(run)


def measure(case: str, seconds: float) -> Figures:
    """Measures examples per second; transformers is the baseline."""
    import keras

    all_cores()
    mixed = case.endswith("bfloat16")
    keras.config.set_dtype_policy("mixed_bfloat16" if mixed else "float32")
    contenders = {"zoo": zoo_fit(case), HAND_WRITTEN: transformers_loop(case)}
    if importlib.util.find_spec("keras_hub"):
        contenders["Keras Hub"] = hub_fit(case)
    found = timed(contenders, BATCH, seconds)
    return {name.replace(HAND_WRITTEN, "transformers"): x for name, x in found.items()}


if __name__ == "__main__":
    command_line(
        __doc__,
        dict.fromkeys(CASES),
        lambda flags, case: measure(case, flags.seconds),
    )
