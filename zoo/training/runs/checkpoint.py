"""Exact resume: all state that the rest of a training run depends on, in one file.

Weights, seeds, optimizer moments, schedule positions, moving averages, loss scales,
random states, and the update number, which determines the position in the data.
"""

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo.engine.current import engine

# The metadata keys of earlier versions.
EARLIER = {"backend", "python_random", "numpy_random", "extra"}
# The file's checksum in its header, and its placeholder while it is computed.
CHECKSUM = b'"sha256":"%s"'
BLANK = CHECKSUM % (b"0" * 64)


@dataclass(frozen=True)
class HostState:
    """All state of a compiled model, copied to the host.

    Attributes:
        arrays: variables and random states by name.
        metadata: plain text to store with them.
    """

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]

    @classmethod
    def of(cls, model: Any, **extra: Any) -> "HostState":
        """Copies the state of a model, so that training on does not change it.

        Args:
            model: a compiled `zoo.training.Model`.
            extra: plain values to store with it.
        """
        arrays: dict[str, Any] = {
            name: engine().numpy(variable)
            for name, variable in _named_variables(model).items()
        }
        states, words = _random_states()
        arrays |= {f"random.{name}": state for name, state in states.items()}
        metadata = {
            "backend": keras.config.backend(),
            **words,
            "extra": json.dumps(extra),
            "sha256": "0" * 64,
        }
        if not engine().is_main:
            return cls({}, metadata)
        # On a CPU the backend's arrays share the memory of its variables.
        copied = {k: np.array(a, order="C", copy=True) for k, a in arrays.items()}
        return cls(copied, metadata)

    def write(
        self, path: str | Path, before: Callable[[], None] = lambda: None
    ) -> None:
        """Writes a checkpoint, atomically; only the main process writes.

        Args:
            path: a safetensors file.
            before: called when the new file is written, just before it replaces the
                one at `path`.
        """
        from safetensors.numpy import save

        from zoo.files.atomic import replacing

        if not engine().is_main:
            return
        data = save(self.arrays, self.metadata)
        checksum = hashlib.sha256(data).hexdigest().encode()
        header = 8 + int.from_bytes(data[:8], "little")
        with replacing(path) as file:
            file.write(data[:header].replace(BLANK, CHECKSUM % checksum))
            file.write(memoryview(data)[header:])
            before()


def save_checkpoint(path: str | Path, model: Any, **extra: Any) -> None:
    """Writes the state of a compiled model, atomically.

    Args:
        path: a safetensors file.
        model: a compiled `zoo.training.Model`.
        extra: plain values to store with it.
    """
    HostState.of(model, **extra).write(path)


def read_extra(path: str | Path) -> dict[str, Any]:
    """The plain values stored in a checkpoint, after verifying its checksum.

    Raises:
        ValueError: the file is damaged.
    """
    from zoo.files.damaged import reading

    with reading(path, "a whole checkpoint"):
        return json.loads(_metadata(path)["extra"])


def _metadata(path: str | Path) -> dict[str, str]:
    """The file's metadata, after verifying its checksum."""
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > Path(path).stat().st_size:
                raise ValueError("its header is cut off.")
            header = file.read(size)
            metadata = json.loads(header)["__metadata__"]
            said = metadata.get("sha256")
            # Files of earlier versions have no checksum; unknown keys without one mean
            # that the key "sha256" itself is damaged.
            if said is None and set(metadata) - EARLIER:
                raise ValueError("it has no checksum.")
            if said is not None:
                digest = hashlib.sha256(size.to_bytes(8, "little"))
                digest.update(header.replace(CHECKSUM % said.encode(), BLANK))
                while part := file.read(1 << 20):
                    digest.update(part)
                if digest.hexdigest() != said:
                    raise ValueError("its checksum does not match.")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is not a whole checkpoint: {error}") from error
    except RecursionError as error:
        raise ValueError(
            f"{path} is not a whole checkpoint: its header is nested too deeply."
        ) from error
    return metadata


class Resume(keras.callbacks.Callback):
    """Restores a checkpoint, so that `fit` continues exactly.

    Variables are restored immediately. Random states are restored again just before the
    first update, since Keras's data loaders draw from torch's generator on start.

    Args:
        path: the checkpoint.
        model: a model compiled as the saved one was.
        keep_rates: whether to keep the constant learning rates that the model was
            compiled with.

    Attributes:
        extra: the plain values stored in the checkpoint.

    Raises:
        ValueError: the file is damaged or belongs to another model, other optimizers
            or another backend, whose random states differ.
    """

    def __init__(
        self, path: str | Path, model: Any, *, keep_rates: bool = False
    ) -> None:
        super().__init__()
        self.extra, self._restore = _load(path, model, keep_rates)
        self._started = False

    def on_train_batch_begin(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        """Restores the random states, once."""
        if not self._started:
            self._started = True
            self._restore()


def _load(
    path: str | Path, model: Any, keep_rates: bool
) -> tuple[dict[str, Any], Callable[[], None]]:
    """Restores the variables; returns the extra values and a function for the rest."""
    from zoo.files.damaged import reading

    metadata, arrays = _read(path)
    members = model.optimizer.members.values()
    kept = {id(member._learning_rate) for member in members} if keep_rates else set()
    _assign(path, model, arrays, kept)
    states = {
        name.removeprefix("random."): array
        for name, array in arrays.items()
        if name.startswith("random.")
    }

    def restore() -> None:
        _set_random_states(states, metadata)

    # Files of earlier versions have no checksum.
    with reading(path, "a whole checkpoint"):
        restore()
        return json.loads(metadata["extra"]), restore


def load_variables(path: str | Path, model: Any) -> None:
    """Restores the weights and the optimizers' state, but no random states.

    Args:
        path: a checkpoint.
        model: a model compiled as the saved one was.

    Raises:
        ValueError: as for `Resume`.
    """
    _, arrays = _read(path)
    _assign(path, model, arrays, set())


def _read(path: str | Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """A checkpoint's metadata and arrays, for this backend."""
    from safetensors import SafetensorError, safe_open

    from zoo.files.damaged import cause

    metadata = _metadata(path)
    try:
        with safe_open(str(path), framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a whole checkpoint: {cause(error)}") from error
    backend = keras.config.backend()
    if metadata.get("backend") != backend:
        raise ValueError(
            f"{path} was written on the {metadata.get('backend')} backend and can "
            f"resume only there, not on {backend}. To transfer weights, use "
            "save_weights or save_to_preset."
        )
    return metadata, arrays


def _assign(
    path: str | Path, model: Any, arrays: Mapping[str, np.ndarray], kept: set[int]
) -> None:
    """Assigns all variables but those whose ids are in `kept`."""
    named = _named_variables(model)
    saved = {name for name in arrays if not name.startswith("random.")}
    wrong = [n for n in named if n in saved and arrays[n].shape != named[n].shape]
    if saved != set(named) or wrong:
        missing, unknown = sorted(set(named) - saved), sorted(saved - set(named))
        raise ValueError(
            f"{path} does not fit this model and its optimizers. Missing: "
            f"{missing[:3]}; unknown: {unknown[:3]}; of another shape: {wrong[:3]}. "
            "Make and compile the model as it was saved."
        )
    for name, variable in named.items():
        if id(variable) not in kept:
            variable.assign(arrays[name])


class Checkpoint(keras.callbacks.Callback):
    """Saves a checkpoint at the end of every epoch, replacing the last one.

    Args:
        path: the file.
        extra: returns the plain values to store with it, as a dict.
    """

    def __init__(self, path: str | Path, extra: Any = dict) -> None:
        super().__init__()
        self.path, self.extra = Path(path), extra

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Writes the checkpoint."""
        save_checkpoint(self.path, self.model, **self.extra())


def _named_variables(model: Any) -> dict[str, keras.Variable]:
    """All state by position, since automatic names change between processes."""
    named = {f"model.{index}": v for index, v in enumerate(model.variables)}
    for name, variable in model.optimizer.named_variables().items():
        named[f"optimizer.{name}"] = variable
    return named


def _random_states() -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The random states of the backend, NumPy and Python, as arrays and strings."""
    version, internal, gauss = random.getstate()
    _, keys, *numpy_rest = np.random.get_state(legacy=True)
    backend = engine().random_state() | {"numpy": keys}
    arrays = {name: np.array(state) for name, state in backend.items()}
    return arrays, {
        "python_random": json.dumps([version, list(internal), gauss]),
        "numpy_random": json.dumps([int(numpy_rest[0]), *map(float, numpy_rest[1:])]),
    }


def _set_random_states(arrays: dict[str, np.ndarray], words: dict[str, str]) -> None:
    """Restores the states from `_random_states`."""
    version, internal, gauss = json.loads(words["python_random"])
    random.setstate((version, tuple(internal), gauss))
    position, has_gauss, cached = json.loads(words["numpy_random"])
    keys = arrays["numpy"]
    np.random.set_state(("MT19937", keys, int(position), int(has_gauss), cached))
    engine().set_random_state({k: v for k, v in arrays.items() if k != "numpy"})
