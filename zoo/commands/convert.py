"""`zoo convert`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from zoo.commands.arguments import Name

if TYPE_CHECKING:
    from rich.console import Console

Form = Literal["zoo", "huggingface", "keras_hub", "onnx", "saved_model"]
# The backends that write a form, where not all do, from the quickest to start.
WRITERS = {"onnx": ("torch", "tensorflow"), "saved_model": ("jax", "tensorflow")}


@dataclass(frozen=True)
class ConvertConfig:
    """Write a model's weights in another library's form, and prove it.

        zoo convert path/to/gpt2 runs/gpt2                    # theirs to ours

        zoo convert gpt.shakespeare_char gpt.onnx             # for onnxruntime

        zoo convert vae.mnist runs/decoder --to saved_model   # for TensorFlow

        zoo convert runs/bert runs/hf --to huggingface        # or keras_hub

    Prints what became of each weight. What was written is read again and compared; the
    other library computes with it too, where it is installed: transformers, keras_hub,
    onnxruntime or TensorFlow.

    Attributes:
        source: a checkpoint's name, or a folder: ours, Hugging Face's, Keras Hub's BERT
            or GPT-2, or BERT's authors' TensorFlow checkpoint.
        target: the folder to write, or a file *.onnx.
        to: whose form; "huggingface" takes GPT-2 and BERT's family, "keras_hub" GPT-2
            and BERT, and "onnx" and "saved_model" what a model computes: logits of GPT
            and BERT, pictures of VAEs, DCGANs and CycleGANs. Unset, it is "onnx" for a
            file *.onnx and "zoo" else.
        direction: of a CycleGAN, in "onnx" and "saved_model".
    """

    source: Name
    target: Annotated[Path, tyro.conf.Positional]
    to: Form | None = None
    direction: Literal["a_to_b", "b_to_a"] = "a_to_b"

    @property
    def form(self) -> Form:
        """`to`, or what the target's name says."""
        return self.to or ("onnx" if self.target.suffix == ".onnx" else "zoo")

    @property
    def backends(self) -> tuple[str, ...]:
        """Those that write the form; none where all do."""
        return WRITERS.get(self.form, ())


def run(config: ConvertConfig) -> None:
    """Writes, prints and compares."""
    from rich.console import Console

    import zoo

    if (config.form == "onnx") != (config.target.suffix == ".onnx"):
        raise ValueError(
            f"ONNX is a file *.onnx and all else a folder; got {config.target} for "
            f"--to {config.form}."
        )
    # Whatever the precision of a training was: files hold float32, and what is compared
    # with other programs' outputs has to be computed as they do.
    model = zoo.from_preset(config.source, dtype="float32")
    console = Console(markup=False)
    if config.form in WRITERS:
        _export(config, model, console)
    else:
        _convert(config, model, console)


def _export(config: ConvertConfig, model: Any, console: "Console") -> None:
    from rich.table import Table

    from zoo.presets.export import export_inference, largest_difference

    found = export_inference(model, config.target, config.direction)
    table = Table("", "name", "shape", "type")
    for array in found.arrays:
        sides = [str(getattr(side, "name", side)) for side in array.shape]
        table.add_row("in", array.name, f"({', '.join(sides)})", array.dtype)
    for name in found.names_of_outputs:
        table.add_row("out", name, "", "float32")
    console.print(table)
    console.print(f"{len(found.weights)} arrays in {config.target}", highlight=False)
    program = "onnxruntime" if config.form == "onnx" else "tensorflow"
    try:
        difference = largest_difference(found, config.target)
    except ValueError as error:
        if not isinstance(error.__cause__, ModuleNotFoundError):
            raise
        console.print(f"Not compared: {error}", highlight=False)
    else:
        console.print(_says(program, difference), highlight=False)


def _convert(config: ConvertConfig, model: Any, console: "Console") -> None:
    import numpy as np
    from rich.table import Table

    import zoo
    from zoo.commands import compared
    from zoo.formats.huggingface.bert import export_bert
    from zoo.formats.huggingface.gpt2 import export_gpt2
    from zoo.formats.keras_hub import writing as keras_hub_writing
    from zoo.presets import registry, weights

    if isinstance(model, zoo.ImageTokens):
        raise ValueError(
            f"{config.source!r} is an ImageTokens, a folder of two presets: convert "
            "its folders gpt and vqvae."
        )
    bert = type(model).__name__.startswith(("Bert", "Electra"))
    found = registry.find(config.source)
    names: dict[str, list[str]] = {}
    if config.form == "zoo":
        same = model if found.dtype is None else zoo.from_preset(config.source)
        same.save_to_preset(config.target)  # in its own precision
        names = found.converter.their_names(model) if found.converter else {}
    elif config.form == "keras_hub":
        keras_hub_writing.export_keras_hub(model, config.target)
        names = keras_hub_writing.their_names(model)
    elif bert or isinstance(model, zoo.GPT):
        export = export_bert if bert else export_gpt2
        export(model, config.target)
        names = registry.find(config.target).converter.their_names(model)
    else:
        raise ValueError(
            f"{config.source!r} is a {type(model).__name__}, for which Hugging Face's "
            "transformers has no model. Leave --to out, for zoo's own form."
        )
    again = type(model).from_preset(config.target, dtype="float32")
    ours, theirs = (weights.arrays_of(each) for each in (model, again))
    table = Table("weight", "there", "shape", "largest difference, read again")
    # Of an ELECTRA no generator is written in the other form.
    kept = {name: x for name, x in ours.items() if not names or name in names}
    for name, array in kept.items():
        difference = float(np.abs(array - theirs[name]).max(initial=0.0))
        there = "\n".join(names.get(name, ["" if names else name]))
        table.add_row(name, there, str(array.shape), f"{difference:.1e}")
    console.print(table)
    numbers = sum(x.size for x in kept.values())
    console.print(
        f"{len(kept)} arrays, {numbers:,} numbers in {config.target}", highlight=False
    )
    # Whichever side is another library's: the source, or what was written.
    for folder in filter(None, (found.folder, config.target)):
        for program, result in compared.differences(model, folder):
            if isinstance(result, str):
                console.print(f"Not compared: {result}", highlight=False)
            else:
                console.print(_says(program, result), highlight=False)


def _says(program: str, difference: float) -> str:
    if not difference < 1e-4:
        raise ValueError(
            f"{program}'s outputs differ by {difference:.1e} (max-abs), which is more "
            "than 1e-4: do not use what was written."
        )
    return f"{program}'s outputs differ by at most {difference:.1e} (max-abs)."
