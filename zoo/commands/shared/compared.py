"""Compares our outputs with those of the library whose format a folder has."""

import importlib
import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops, tree


def differences(model: Any, folder: Path) -> Iterator[tuple[str, float | str]]:
    """Yields a library's name and the largest absolute difference of its outputs.

    Yields nothing for zoo's own folders, and instead of a difference the reason if the
    comparison is not possible.

    Args:
        model: a GPT or a model of BERT's family, in float32.
        folder: a folder in Hugging Face's or Keras Hub's format.
    """
    file = folder / "config.json"
    saved = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    needed: tuple[str, ...]
    if "model_type" in saved:
        needed, compute = ("transformers", "torch"), _transformers
    elif str(saved.get("registered_name")).startswith("keras_hub>"):
        needed, compute = ("keras_hub",), _keras_hub
    else:
        return
    if missing := [x for x in needed if importlib.util.find_spec(x) is None]:
        yield needed[0], f"{' and '.join(missing)} is not installed."
        return
    inputs = _inputs(model, saved.get("pad_token_id"))
    is_gpt = type(model).__name__ == "GPT"
    found = model(inputs["token_ids"] if is_gpt else inputs)
    outputs = found if isinstance(found, dict) else {"": found}
    if "NextSentence" in (saved.get("architectures") or [""])[0]:
        outputs.pop("mlm_logits", None)  # theirs has no such head
    ours = [*outputs.values()]
    theirs = compute(model, folder, saved, inputs)
    # Either model may have a head that the other lacks.
    pairs = [(ops.convert_to_numpy(a), b) for a, b in zip(ours, theirs, strict=False)]
    yield needed[0], max(float(np.abs(a - b).max()) for a, b in pairs)


def _inputs(model: Any, pad_id: int | None) -> dict[str, np.ndarray]:
    """Random tokens without padding, which has no position in RoBERTa."""
    config = model.config
    shape = (2, min(config.context_length, 32))
    ids = np.random.default_rng(0).integers(config.vocab_size - 1, size=shape)
    if pad_id is not None:
        ids += ids >= pad_id
    inputs = {"token_ids": ids.astype("int32")}
    inputs["padding_mask"] = np.ones(shape, "int32")
    if getattr(config, "num_segments", 0):
        inputs["segment_ids"] = np.zeros(shape, "int32")
    return inputs


def _transformers(
    model: Any, folder: Path, saved: dict, inputs: dict
) -> Sequence[np.ndarray]:
    # transformers computes with torch, whichever backend we run on.
    torch = importlib.import_module("torch")
    transformers = importlib.import_module("transformers")
    default = "AutoModelForCausalLM" if type(model).__name__ == "GPT" else "AutoModel"
    name = (saved.get("architectures") or [default])[0]
    if type(model).__name__ == "BertBackbone":  # ignores the folder's heads
        name = default
    theirs = getattr(transformers, name, None) or getattr(transformers, default)
    if theirs.__name__ == "GPT2Model":  # does not return the logits
        theirs = transformers.AutoModelForCausalLM
    ids = torch.from_numpy(inputs["token_ids"]).long()
    with torch.no_grad():
        found = theirs.from_pretrained(folder, dtype=torch.float32).eval()(ids)
    return [x.numpy() for x in found.to_tuple() if torch.is_tensor(x)]


def _keras_hub(
    model: Any, folder: Path, saved: dict, inputs: dict
) -> Sequence[np.ndarray]:
    del saved
    hub = importlib.import_module("keras_hub").models
    name = {"GPT": "GPT2CausalLM", "BertClassifier": "BertTextClassifier"}
    theirs = getattr(hub, name.get(type(model).__name__, "BertBackbone"))
    # Task models load a tokenizer too unless told not to.
    options = {"preprocessor": None} if theirs is not hub.BertBackbone else {}
    found = theirs.from_preset(str(folder), dtype="float32", **options)(inputs)
    if isinstance(found, dict):
        found = [found["sequence_output"], found["pooled_output"]]
    return [ops.convert_to_numpy(x) for x in tree.flatten(found)]
