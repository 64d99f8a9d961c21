"""`zoo convert`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from zoo.commands.shared.arguments import Name, writable_file, writable_folder

Form = Literal["zoo", "huggingface", "keras_hub", "onnx", "saved_model"]
# The backends that can write a format, if not all can, fastest start first.
WRITERS = {"onnx": ("torch", "tensorflow"), "saved_model": ("jax", "tensorflow")}


@dataclass(frozen=True)
class ConvertConfig:
    """Write a model in another format, and check that it computes the same.

    Prints where each weight went, reads the result back and compares it. If the other
    library is installed (transformers, keras_hub, onnxruntime or TensorFlow), its
    outputs are compared with zoo's too. For example:

        zoo convert path/to/gpt2 runs/gpt2                    # from Hugging Face

        zoo convert gpt.shakespeare_char gpt.onnx             # for onnxruntime

        zoo convert vae.mnist runs/decoder --to saved_model   # for TensorFlow

        zoo convert runs/bert runs/hf --to huggingface        # or keras_hub

    Attributes:
        source: a checkpoint's name, or a folder: one of zoo's, a Hugging Face model, a
            Keras Hub BERT or GPT-2, or the BERT authors' TensorFlow checkpoint.
        target: the folder, or the *.onnx file, to write.
        to: the format to write: huggingface supports GPT and the BERT family,
            keras_hub GPT-2 and BERT; onnx and saved_model write inference only: logits
            of GPT and BERT, pictures of VAEs, DCGANs and CycleGANs. Default: onnx if
            the target ends in .onnx, otherwise zoo.
        direction: which of a CycleGAN's two generators onnx and saved_model write.
    """

    source: Name
    target: Annotated[Path, tyro.conf.Positional]
    to: Form | None = None
    direction: Literal["a_to_b", "b_to_a"] = "a_to_b"

    @property
    def form(self) -> Form:
        """The format to write: `to`, or the one that the target's name implies."""
        return self.to or ("onnx" if self.target.suffix == ".onnx" else "zoo")

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends that can write the format; empty if all can."""
        return WRITERS.get(self.form, ())


def check(config: ConvertConfig) -> None:
    """Checks the target, before a backend starts."""
    if (config.form == "onnx") != (config.target.suffix == ".onnx"):
        raise ValueError(
            "The target must be a file *.onnx for ONNX and a folder for all other "
            f"formats, got {config.target} for --to {config.form}."
        )
    if config.form == "onnx":
        writable_file(config.target)
    else:
        writable_folder(config.target)


def run(config: ConvertConfig) -> None:
    """Writes the model, prints its weights and compares the outputs."""
    import zoo
    from zoo.program import waiting

    # Files hold float32 whatever the precision of training, and a comparison with other
    # programs must compute in the precision that they use.
    with waiting(f"loading {config.source}"):
        model = zoo.from_preset(config.source, dtype="float32")
    if config.form in WRITERS:
        _export(config, model)
    else:
        _convert(config, model)


def _export(config: ConvertConfig, model: Any) -> None:
    from zoo.commands.shared.printed import show_table
    from zoo.presets.export import export_inference, largest_difference
    from zoo.program import waiting

    with waiting(f"writing {config.target}"):
        found = export_inference(model, config.target, config.direction)
    rows = []
    for array in found.arrays:
        sides = [str(getattr(side, "name", side)) for side in array.shape]
        rows.append(("in", array.name, f"({', '.join(sides)})", array.dtype))
    rows += [("out", name, "", "float32") for name in found.names_of_outputs]
    show_table(("", "name", "shape", "type"), rows)
    print(f"{len(found.weights)} arrays in {config.target}")
    program = "onnxruntime" if config.form == "onnx" else "tensorflow"
    try:
        difference = largest_difference(found, config.target)
    except ValueError as error:
        if not isinstance(error.__cause__, ModuleNotFoundError):
            raise
        print(f"Outputs not compared: {error}")
    else:
        print(_says(program, difference))


def _convert(config: ConvertConfig, model: Any) -> None:
    import importlib

    import numpy as np

    import zoo
    from zoo.commands.shared import compared
    from zoo.commands.shared.printed import show_table
    from zoo.presets import registry, weights
    from zoo.presets.registration import registration_of

    if isinstance(model, zoo.ImageTokens):
        raise ValueError(
            f"The model must be a single preset, but {config.source!r} is an "
            "ImageTokens, which holds two. Convert its folders gpt and vqvae."
        )
    found = registry.find(config.source)
    names: dict[str, list[str]] = {}
    if config.form == "zoo":
        same = model if found.dtype is None else zoo.from_preset(config.source)
        same.save_to_preset(config.target)  # keeps the saved precision
        names = found.converter.their_names(model) if found.converter else {}
    else:
        registered = registration_of(type(model))
        formats = registered.formats if registered is not None else {}
        if config.form not in formats:
            raise ValueError(
                f"{config.source!r} is a {type(model).__name__}, for which "
                f"{config.form} has no model. --to takes "
                f"{', '.join(['zoo', *formats])} for it."
            )
        writer = importlib.import_module(formats[config.form])
        writer.write(model, config.target)
        names = writer.their_names(model)
    again = type(model).from_preset(config.target, dtype="float32")
    ours, theirs = (weights.arrays_of(each) for each in (model, again))
    rows = []
    # ELECTRA's generator is not written in the other formats.
    kept = {name: x for name, x in ours.items() if not names or name in names}
    for name, array in kept.items():
        difference = float(np.abs(array - theirs[name]).max(initial=0.0))
        there = ", ".join(names.get(name, ["" if names else name]))
        rows.append((name, there, str(array.shape), f"{difference:.1e}"))
    columns = ("weight", "name there", "shape", "largest difference when read back")
    show_table(columns, rows)
    numbers = sum(x.size for x in kept.values())
    print(f"{len(kept)} arrays, {numbers:,} numbers in {config.target}")
    # The source or the target may be in another library's format.
    for folder in filter(None, (found.folder, config.target)):
        for program, result in compared.differences(model, folder):
            if isinstance(result, str):
                print(f"Outputs not compared: {result}")
            else:
                print(_says(program, result))


def _says(program: str, difference: float) -> str:
    if not difference < 1e-4:
        raise ValueError(
            f"{program}'s outputs must differ by less than 1e-4, got a largest "
            f"absolute difference of {difference:.1e}. Do not use the written files."
        )
    return f"{program}'s outputs differ by at most {difference:.1e} (max-abs)."
