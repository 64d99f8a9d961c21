"""Plants invalid values in the data of every family, passed in every form.

    KERAS_BACKEND=jax python -m tests.faults.inputs
    KERAS_BACKEND=torch python -m tests.faults.inputs --models gpt bert --late

Each array of integers gets a value that is too large and one that is negative, each
array of images a value above 1. Passed to `fit` and `evaluate` as arrays, the backend's
tensors, a generator, PyDataset, DataLoader, Grain and tf.data, each must end in a
ValueError that names values. Prints a table with one row per family, and exits with 1
if any did not.
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import tree

from tests.distribution.models import BATCH, CASES, compiled

# All but a toy model without declared ranges.
FAMILIES = [name for name in CASES if name != "gan"]
# Arrays of these names may hold any number.
FREE = ("noise", "mask_weights", "mix", "weights", "padding_mask")
# Sentence labels, which these models ignore, and weights of texts.
UNUSED = {
    ("electra", "next_sentence"),
    ("distiller", "next_sentence"),
    ("bert_span", "2"),
}
METHODS = {"fit": {"shuffle": False}, "evaluate": {}}


class Batches(keras.utils.PyDataset):
    """A PyDataset of given batches."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return as_tuple(self.batches[index])


def as_tuple(batch):
    return batch if isinstance(batch, tuple) else (batch,)


def joined(batches):
    return tree.map_structure(lambda *xs: np.concatenate(xs), *batches)


def rows(batches):
    whole = joined(batches)
    count = len(tree.flatten(whole)[0])
    return [tree.map_structure(lambda x, i=i: x[i], whole) for i in range(count)]


def loader(batches):
    import torch  # JAX and TensorFlow take its loaders too

    # On JAX, Keras takes apart a batch that is not a tuple.
    examples = [as_tuple(row) for row in rows(batches)]
    return (torch.utils.data.DataLoader(examples, batch_size=BATCH),)


def grain_dataset(batches):
    import grain

    return (grain.MapDataset.source(rows(batches)).batch(BATCH),)


def tensorflow_dataset(batches):
    import tensorflow as tf

    return (tf.data.Dataset.from_tensor_slices(as_tuple(joined(batches))).batch(BATCH),)


def tensors(batches):
    whole = tree.map_structure(keras.ops.convert_to_tensor, joined(batches))
    return as_tuple(whole)


KINDS: dict[str, Callable[[list], tuple]] = {
    "arrays": lambda batches: as_tuple(joined(batches)),
    "tensors": tensors,
    "generator": lambda batches: ((as_tuple(batch) for batch in batches),),
    "PyDataset": lambda batches: (Batches(batches),),
    "DataLoader": loader,
    "Grain": grain_dataset,
    "tf.data": tensorflow_dataset,
}


def faults(batch: Any) -> Iterator[tuple[str, Any]]:
    """Yields batches with one invalid value each, and its description."""
    leaves = tree.flatten_with_path(batch)
    for path, leaf in leaves:
        name = "/".join(map(str, path)) or "x"
        if any(free in name for free in FREE) or leaf.dtype == bool:
            continue
        values = (10**6, -7) if leaf.dtype.kind in "iu" else (1000.0,)
        for value in values:
            broken = leaf.copy()
            broken.flat[broken.size // 2] = value
            flat = [broken if other is leaf else other for _, other in leaves]
            yield f"{name}={value}", tree.pack_sequence_as(batch, flat)


def outcome(model: Any, method: str, data: Any) -> str:
    """Returns "" if the error is right, else what happened."""
    try:
        options = METHODS[method]
        data = dict(zip(("x", "y", "sample_weight"), data, strict=False))
        getattr(model, method)(**data, batch_size=BATCH, verbose=0, **options)
    except ValueError as error:
        return "" if "from" in str(error) or "Row" in str(error) else str(error)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:90]}"
    return "taken"


def tried(name: str, kinds: list[str], late: bool) -> tuple[int, list[str]]:
    """Returns how many faults of a family were tried, and which went unnamed."""
    make, make_batch = CASES[name]
    model = compiled(make, accumulate=1)
    rng = np.random.default_rng(0)
    good, wrong, count = make_batch(rng), [], 0
    for what, bad in faults(make_batch(rng)):
        if (name, what.split("=")[0]) in UNUSED:
            continue
        batches = [good, bad] if late else [bad, good]
        for kind in kinds:
            for method in METHODS:
                count += 1
                if said := outcome(model, method, KINDS[kind](batches)):
                    wrong.append(f"{name}, {kind}, {method}, {what}: {said}")
    return count, wrong


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=FAMILIES, choices=FAMILIES)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument(
        "--late", action="store_true", help="in the second batch, not in the first"
    )
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    failed = []
    print(f"{'family':20} {'tried':>6} {'wrong':>6}")
    for name in chosen.models:
        count, wrong = tried(name, chosen.kinds, chosen.late)
        failed += wrong
        print(f"{name:20} {count:6} {len(wrong):6}", flush=True)
    print("\n".join(failed))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
