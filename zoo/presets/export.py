"""Inference as files that other programs run: ONNX, TensorFlow's SavedModel.

No code of ours is needed to run them, nor Keras. What is in them says `inference`; how
they are written is the backend's matter.
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
from zoo.presets.inference import MAKERS, Direction, Served, served
from zoo.version import __version__

Format = Literal["onnx", "saved_model"]
# ONNX's files are protocol buffers, which end here.
LARGEST_ONNX = 2**31 - 2**20


def format_of(target: str | os.PathLike[str]) -> Format:
    """By the name: a file `*.onnx`, or a folder for a SavedModel."""
    return "onnx" if Path(target).suffix == ".onnx" else "saved_model"


def export_inference(
    model: Any, target: str | os.PathLike[str], direction: Direction = "a_to_b"
) -> Served:
    """Writes what a model computes, in float32, for programs without zoo or Keras.

    GPT's logits, the scores of BERT's heads, VAEs' and autoencoders' decoders, DCGAN's
    generator, one of CycleGAN's, a classifier of images; with batches, texts and
    translated pictures of any size that the model takes. TensorFlow writes both
    formats, JAX a SavedModel (TensorFlow has to be installed too), torch ONNX.

    Args:
        model: with its weights.
        target: a file `*.onnx`, or a new folder for a SavedModel.
        direction: of a CycleGAN, which has two.

    Returns:
        What was exported, as a Keras model of named arrays.

    Raises:
        ValueError: nothing of such a model is exported, or not by this backend, which
            the message says; or a package is missing.
        FileExistsError: the folder exists, and is not empty.
    """
    found = served(model, direction)
    target = Path(target).expanduser()
    if engine().mesh.size > 1:
        raise ValueError(
            f"Inference is exported on one device, not on {engine().mesh}. Save the "
            "model by save_to_preset, and export it outside of zoo.distribution.use."
        )
    if format_of(target) == "onnx":
        _write_onnx(found, target)
    else:
        _write_saved_model(found, target)
    return found


def export_called(model: Any, target: str | os.PathLike[str], format: Format) -> None:
    """What Keras's `model.export(target, format)` asks for, where that is inference.

    Raises:
        ValueError: a call of the model is not what other programs want of it; the
            message says what is. Or the format is not the name's.
    """
    if format_of(target) != format:
        raise ValueError(
            f"ONNX is a file *.onnx and a SavedModel a folder; got {os.fspath(target)} "
            f"for format={format!r}."
        )
    name = type(model).__name__
    kinds = {kind.__name__ for kind in type(model).__mro__}
    if kinds & set(MAKERS):
        found = served(model)
        if found.network is model:
            export_inference(model, target)
            return
        inputs = ", ".join(array.name for array in found.arrays)
        outputs = ", ".join(found.names_of_outputs)
        raise ValueError(
            f"{name}.export would write a call of the whole model. zoo.presets."
            f"export_inference(model, {os.fspath(target)!r}) writes its {outputs} of "
            f"{inputs}; with input_signature=... Keras writes the call."
        )
    raise ValueError(
        f"{name}.export needs input_signature=..., since the model takes several kinds "
        "of inputs. zoo.presets.export_inference, which needs none, writes "
        f"{', '.join(MAKERS)}."
    )


def _write_onnx(found: Served, file: Path) -> None:
    size = sum(4 * math.prod(weight.shape) for weight in found.weights)
    if size > LARGEST_ONNX:
        raise ValueError(
            f"The weights have {size:,} bytes and a file of ONNX holds "
            f"{LARGEST_ONNX:,}. A SavedModel has no such limit: give a folder."
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
            f"{folder} exists; a SavedModel is written into a new folder."
        )
    with replacing_folder(folder) as new:
        engine().export_saved_model(found, new)


def _name(found: Served, file: Path) -> None:
    """Gives outputs and sides the names that `inference` has for them."""
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
        # Named by the tool that wrote it, or after its operations.
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
            f"This backend's exporter wrote a file that can't be run ({error}). "
            "TensorFlow's exports all models that are exported at all: set "
            "KERAS_BACKEND=tensorflow."
        ) from error
    onnx.save(proto, file)


def run_exported(
    target: str | os.PathLike[str], inputs: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What an exported file gives, run by onnxruntime or TensorFlow.

    Raises:
        ValueError: the program that runs it is not installed.
    """
    if format_of(target) == "onnx":
        onnxruntime = optional("onnxruntime", "Running ONNX", "export")
        session = onnxruntime.InferenceSession(
            os.fspath(target), providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, inputs), strict=True))
    # What runs it, whichever backend is ours.
    tensorflow = optional("tensorflow", "Running a SavedModel", "tensorflow")
    # Its variables live no longer than what was loaded.
    loaded = tensorflow.saved_model.load(os.fspath(target))
    outputs = loaded.serve(inputs)
    return {name: x.numpy() for name, x in outputs.items()}


def largest_difference(
    found: Served, target: str | os.PathLike[str], seeds: tuple[int, ...] = (0, 1, 2)
) -> float:
    """Between a file's outputs and the model's, on inputs of several shapes; max-abs.

    Raises:
        ValueError: the program that runs it is not installed.
    """
    worst = 0.0
    for seed in seeds:
        inputs = found.samples(seed)
        theirs = run_exported(target, inputs)
        for name, ours in found(inputs).items():
            difference = np.abs(ops.convert_to_numpy(ours) - theirs[name])
            worst = max(worst, float(difference.max(initial=0.0)))
    return worst
