"""Exports inference to files that other programs run: ONNX, TensorFlow's SavedModel.

Running them needs neither zoo nor Keras. `inference` defines what is exported; the
backend's engine writes it.
"""

import json
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from keras import ops

from zoo.engine.current import engine
from zoo.extras import optional
from zoo.files.atomic import replacing, replacing_folder
from zoo.presets.inference import Direction, Served, exported, served
from zoo.presets.registration import registration_of
from zoo.version import __version__

Format = Literal["onnx", "saved_model"]
# ONNX files are protocol buffers, which can't be larger.
LARGEST_ONNX = 2**31 - 2**20


def format_of(target: str | os.PathLike[str]) -> Format:
    """The format that a target's name implies: `*.onnx` or a SavedModel's folder."""
    return "onnx" if Path(target).suffix == ".onnx" else "saved_model"


def export_inference(
    model: Any, target: str | os.PathLike[str], direction: Direction = "a_to_b"
) -> Served:
    """Writes a model's inference, in float32, for programs without zoo or Keras.

    This is GPT's logits, the logits of BERT's heads, the decoder of VAEs and
    autoencoders, DCGAN's generator, one of CycleGAN's generators, or an image
    classifier. Batch sizes, text lengths and the size of translated pictures stay
    variable. TensorFlow writes both formats, JAX a SavedModel (with TensorFlow
    installed), torch ONNX.

    Args:
        model: the model with its weights.
        target: a file `*.onnx`, or a new folder for a SavedModel.
        direction: which generator of a CycleGAN to export.

    Returns:
        What was exported, as a Keras model of named arrays.

    Raises:
        ValueError: this kind of model, or this backend, can't be exported, or a
            package is missing; the message says which.
        FileExistsError: the folder exists and is not empty.
    """
    found = served(model, direction)
    target = Path(target).expanduser()
    if engine().mesh.size > 1:
        raise ValueError(
            f"Inference must be exported on one device, got {engine().mesh}. Save the "
            "model with save_to_preset and export it outside of zoo.distribution.use."
        )
    if format_of(target) == "onnx":
        _write_onnx(found, target)
    else:
        _write_saved_model(found, target)
    return found


def export_called(model: Any, target: str | os.PathLike[str], format: Format) -> None:
    """Handles Keras's `model.export(target, format)` if it means exporting inference.

    Raises:
        ValueError: the model's call is not what other programs need, and the message
            names what is; or the format does not match the target's name.
    """
    if format_of(target) != format:
        raise ValueError(
            "The target must be a file *.onnx for ONNX and a folder for a SavedModel, "
            f"got {os.fspath(target)} for format={format!r}."
        )
    name = type(model).__name__
    registered = registration_of(type(model))
    if registered is not None and registered.served is not None:
        found = served(model)
        if found.network is model:
            export_inference(model, target)
            return
        inputs = ", ".join(array.name for array in found.arrays)
        outputs = ", ".join(found.names_of_outputs)
        raise ValueError(
            f"{name}.export without input_signature would write a call of the whole "
            f"model. zoo.presets.export_inference(model, {os.fspath(target)!r}) writes "
            f"its {outputs} from {inputs}; with input_signature=... Keras writes the "
            "call."
        )
    raise ValueError(
        f"{name}.export needs input_signature=..., since the model takes several kinds "
        "of inputs. zoo.presets.export_inference needs none, and exports "
        f"{', '.join(exported())}."
    )


def _write_onnx(found: Served, file: Path) -> None:
    size = sum(4 * math.prod(weight.shape) for weight in found.weights)
    if size > LARGEST_ONNX:
        raise ValueError(
            f"The weights of an ONNX file must be at most {LARGEST_ONNX:,} bytes, got "
            f"{size:,}. A SavedModel has no such limit: give a folder."
        )
    found.as_dict = False
    try:
        with replacing(file) as opened, tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "model.onnx"
            engine().export_onnx(found, written)
            _name(found, written)
            with written.open("rb") as source:
                shutil.copyfileobj(source, opened)
    finally:
        found.as_dict = True


def _write_saved_model(found: Served, folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"A SavedModel needs a new folder, but {folder} exists. Choose another."
        )
    with replacing_folder(folder) as new:
        engine().export_saved_model(found, new)


def _name(found: Served, file: Path) -> None:
    """Names outputs and dimensions in an ONNX file as `inference` names them."""
    onnx = optional("onnx", "ONNX", "export")
    proto = onnx.load(file)
    graph = proto.graph
    new = dict(zip((x.name for x in graph.output), found.names_of_outputs, strict=True))
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
    for output in graph.output:
        output.name = new[output.name]
    arrays = {array.name: array for array in found.arrays}
    for given in graph.input:
        sides = given.type.tensor_type.shape.dim
        for dim, side in zip(sides, arrays[given.name].shape, strict=True):
            if not isinstance(side, int):
                dim.dim_param = side.name
    for output in graph.output:
        # Exporters name this dimension after themselves or after operations.
        dim = output.type.tensor_type.shape.dim[0]
        if not dim.HasField("dim_value"):
            dim.dim_param = "batch"
    proto.producer_name, proto.producer_version = "zoo", __version__
    if found.class_names:
        properties = {"class_names": json.dumps(found.class_names)}
        onnx.helper.set_model_props(proto, properties)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(
            f"This backend's exporter wrote an invalid file ({error}). TensorFlow's "
            "exporter supports all exportable models: set KERAS_BACKEND=tensorflow."
        ) from error
    onnx.save(proto, file)


def run_exported(
    target: str | os.PathLike[str], inputs: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Runs an exported file with onnxruntime or TensorFlow and returns its outputs.

    Raises:
        ValueError: the library that runs it is not installed.
    """
    if format_of(target) == "onnx":
        onnxruntime = optional("onnxruntime", "Running ONNX", "export")
        session = onnxruntime.InferenceSession(
            os.fspath(target), providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, inputs), strict=True))
    # TensorFlow runs it, whichever backend we run on.
    tensorflow = optional("tensorflow", "Running a SavedModel", "tensorflow")
    # Keep the loaded object: its variables live only as long as it does.
    loaded = tensorflow.saved_model.load(os.fspath(target))
    outputs = loaded.serve(inputs)
    return {name: x.numpy() for name, x in outputs.items()}


def largest_difference(
    found: Served, target: str | os.PathLike[str], seeds: tuple[int, ...] = (0, 1, 2)
) -> float:
    """The largest absolute difference between a file's outputs and the model's.

    Args:
        found: what `export_inference` returned.
        target: the exported file.
        seeds: seeds for random inputs, of another shape for each seed.

    Raises:
        ValueError: the library that runs the file is not installed.
    """
    worst = 0.0
    for seed in seeds:
        inputs = found.samples(seed)
        theirs = run_exported(target, inputs)
        for name, ours in found(inputs).items():
            difference = np.abs(ops.convert_to_numpy(ours) - theirs[name])
            worst = max(worst, float(difference.max(initial=0.0)))
    return worst
