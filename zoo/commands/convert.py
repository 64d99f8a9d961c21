"""`zoo convert`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from zoo.commands.arguments import Name


@dataclass(frozen=True)
class ConvertConfig:
    """Write a model's weights in another library's form, and prove it.

        zoo convert path/to/gpt2 runs/gpt2                    # theirs to ours

        zoo convert gpt.shakespeare_char runs/hf --to huggingface

    Prints what became of each weight. Ours is read again and compared; a Hugging Face
    folder is also loaded by transformers, where that is installed.

    Attributes:
        source: a checkpoint's name, or a folder: ours, Hugging Face's, Keras Hub's BERT
            or its authors' TensorFlow checkpoint.
        target: the folder to write.
        to: whose form; "zoo" or "huggingface" (GPT-2 and BERT's family).
    """

    source: Name
    target: Annotated[Path, tyro.conf.Positional]
    to: Literal["zoo", "huggingface"] = "zoo"


def run(config: ConvertConfig) -> None:
    """Writes, prints and compares."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    import zoo
    from zoo.presets import weights

    model = zoo.from_preset(config.source)
    if config.to == "zoo":
        model.save_to_preset(config.target)
    elif isinstance(model, zoo.GPT):
        zoo.presets.export_gpt2(model, config.target)
    elif type(model).__name__.startswith("Bert"):
        zoo.presets.export_bert(model, config.target)
    else:
        raise ValueError(
            f"{config.source!r} is a {type(model).__name__}, for which Hugging Face's "
            "transformers has no model. Leave --to out, for zoo's own form."
        )
    again = type(model).from_preset(config.target)
    ours, theirs = (weights.arrays_of(each) for each in (model, again))
    table = Table("weight", "shape", "largest difference, read again")
    for name, array in ours.items():
        difference = float(np.abs(array - theirs[name]).max(initial=0.0))
        table.add_row(name, str(array.shape), f"{difference:.1e}")
    console = Console()
    console.print(table)
    written = weights.read(config.target)
    console.print(
        f"{len(written)} arrays, {sum(x.size for x in written.values()):,} numbers in "
        f"{config.target}",
        highlight=False,
    )
    if config.to == "huggingface":
        console.print(compared(model, config.target), highlight=False)


def compared(model, folder: Path) -> str:
    """What transformers makes of it, beside what we do, on random tokens."""
    import importlib
    import importlib.util

    import numpy as np

    if any(importlib.util.find_spec(x) is None for x in ("transformers", "torch")):
        return "Not compared: transformers or torch is not installed."
    import transformers
    from keras import ops

    import zoo

    # What transformers computes with, whichever backend is ours.
    torch = importlib.import_module("torch")
    length = min(model.config.context_length, 32)
    ids = np.random.default_rng(0).integers(
        model.config.vocab_size, size=(2, length), dtype="int32"
    )
    kind = "AutoModelForCausalLM" if isinstance(model, zoo.GPT) else "AutoModel"
    theirs = getattr(transformers, kind).from_pretrained(folder).eval()
    with torch.no_grad():
        expected = theirs(torch.from_numpy(ids).long())[0].numpy()
    if isinstance(model, zoo.GPT):
        found = model(ids)
    else:
        body = model if isinstance(model, zoo.BertBackbone) else model.backbone
        found = body({"token_ids": ids})["sequence_output"]
    difference = np.abs(ops.convert_to_numpy(found) - expected).max()
    return f"transformers' outputs differ by at most {difference:.1e} (max-abs)."
