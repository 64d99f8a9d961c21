"""Turns the texts that a user gives to `fit` into what the model is trained with.

This is the one place where texts enter a model. Texts in memory are read once, before
anything is trained, and are then ordinary arrays to Keras; those of a
`tf.data.Dataset`, a `DataLoader`, a `PyDataset` or a generator are read batch by batch,
by the same functions. A model says only what a list of texts becomes.
"""

import contextlib
import math
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

from zoo.engine.batches import FEEDING, fed
from zoo.tokenizers.tokenizer import Tokenizer
from zoo.training.checks import example_weights
from zoo.training.raw.labels import class_numbers
from zoo.training.raw.sources import Source, parts_of, string_source
from zoo.training.raw.streams import Batch, Stream, TellsEpoch, in_rows
from zoo.training.raw.texts import Segments, is_text, segments_of

# The arguments of `fit` that hold data.
DATA = ("x", "y", "sample_weight")


class ReadsTexts:
    """A model's reading of raw texts; see `docs/guides/raw-text-and-tables.md`.

    Attributes:
        sequence_length: the number of tokens that texts are padded or cut to; None for
            the longest text, if all are in memory, but at most what the model can read.
    """

    tokenizer: Any
    config: Any
    sequence_length: int | None = None

    # === What a subclass defines ===

    def text_inputs(self, segments: Segments, length: int | None) -> tuple[Any, int]:
        """The inputs that texts become, one row for each, and how many were cut.

        Args:
            segments: N texts, or the first and the second of N pairs.
            length: tokens per row; None for those of the longest text.
        """
        raise NotImplementedError

    def text_examples(
        self, segments: Segments, y: Any, weights: Any, length: int | None
    ) -> tuple[Batch, int]:
        """The data (x, y, weights) that texts are trained with, and how many were cut.

        Any number of rows.

        Args:
            segments: N texts, or the first and the second of N pairs.
            y: what `fit` was given with them, or None.
            weights: the texts' weights, or None.
            length: tokens per row; None for those of the longest text.
        """
        inputs, cut = self.text_inputs(segments, length)
        return (inputs, class_numbers(self, y), weights), cut

    # Whether each text becomes one row, so that batches of texts are batches of rows.
    one_row_per_text: bool = True

    # How a batch of inputs is changed each time that it is used, given a source of
    # randomness: masks. None if it is not.
    redrawn: Any = None

    @property
    def longest_text(self) -> float:
        """The most tokens that the model reads; infinite without a limit."""
        return self.config.context_length

    # === Where texts enter ===

    def with_texts_read(
        self, arguments: dict[str, Any], training: bool
    ) -> dict[str, Any]:
        """The arguments of `fit` or `evaluate`, with texts as arrays or a stream.

        Names of classes become numbers. Other data stay as they are.

        Raises:
            ValueError: the model can't read texts, or not these.
        """
        data = [arguments.get(name) for name in DATA]
        if (segments := segments_of(data[0])) is not None:
            return self._of_memory(arguments, segments, training)
        if not self._reads_strings:
            return {**arguments, "y": class_numbers(self, data[1])}
        shuffle = bool(arguments.get("shuffle"))
        x, source = string_source(data[0], arguments.get("batch_size"), shuffle)
        if source is None:
            return {**arguments, "x": x, "y": class_numbers(self, data[1])}
        return self._of_source(arguments, source, training)

    def with_validation_read(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """`fit`'s arguments with the texts of `validation_data` read."""
        given = arguments.get("validation_data")
        if given is None:
            return arguments
        is_parts = isinstance(given, tuple) and not all(map(is_text, given))
        parts = given if is_parts else (given,)
        own = dict(zip(DATA, (*parts, None, None), strict=False))
        size = arguments.get("validation_batch_size") or arguments.get("batch_size")
        found = self.with_texts_read({**own, "batch_size": size}, training=False)
        if all(found.get(name) is own[name] for name in DATA):
            return arguments
        if not isinstance(found["x"], DataAdapter | Iterator):
            return {**arguments, "validation_data": tuple(found[n] for n in DATA)}
        return {**arguments, "validation_data": found["x"]}

    def with_inputs_read(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments of `predict` with texts as arrays or a stream."""
        x = arguments["x"]
        if (segments := segments_of(x)) is not None:
            return {**arguments, "x": _Reader(self, None).inputs(segments)}
        if not self._reads_strings:
            return arguments
        x, source = string_source(x, arguments.get("batch_size"))
        if source is None:
            return {**arguments, "x": x}
        reader = _Reader(self, self._fixed_length()) if source.has_texts else None

        def batches(epoch: int) -> Iterator[Batch]:
            del epoch
            for batch in source.batches():
                found, _, _ = parts_of(batch)
                yield (reader.inputs(_texts_in(found)) if reader else found,)

        return {**arguments, "x": Stream(batches, source.num_batches)}

    def batch_read(self, x: Any, y: Any, weights: Any) -> Batch:
        """One batch for `train_on_batch` or `test_on_batch`, with its texts read."""
        if (segments := segments_of(x)) is None:
            return x, class_numbers(self, y), weights
        x, y, weights = _Reader(self, None).examples(segments, y, weights)
        if self.redrawn is not None:
            ((x, *_),) = self._drawn([(x,)], _drawn_seed(), 0)
        return x, y, weights

    @contextlib.contextmanager
    def ending(self, arguments: dict[str, Any]) -> Iterator[None]:
        """Within the block, a stream of unknown length ends without a warning.

        Keras warns that data ran out, as if that were the user's mistake.
        """
        data = (arguments.get("x"), arguments.get("validation_data"))
        steps = arguments.get("steps_per_epoch") or arguments.get("steps")
        streams = [x for x in data if isinstance(x, DataAdapter)]
        with warnings.catch_warnings():
            if not steps and any(x.num_batches is None for x in streams):
                warnings.filterwarnings("ignore", "Your input ran out of data")
            yield

    def _of_memory(
        self, arguments: dict[str, Any], segments: Segments, training: bool
    ) -> dict[str, Any]:
        y, weights = arguments.get("y"), arguments.get("sample_weight")
        found = _Reader(self, None).examples(segments, y, weights)
        arguments = {**arguments, **dict(zip(DATA, found, strict=True))}
        if self.redrawn is None:
            return arguments
        if arguments.get("validation_split"):
            raise ValueError(
                "validation_split takes part of arrays, and the masks of texts are "
                "drawn batch by batch. Pass validation_data=texts instead."
            )
        example_weights.check_arguments(self, arguments)

        seed = _drawn_seed() if training else None

        def redrawing(inner: DataAdapter) -> Stream:
            def batches(epoch: int) -> Iterator[Batch]:
                return self._drawn(inner.get_numpy_iterator(), seed, epoch)

            return Stream(batches, inner.num_batches, inner.batch_size, inner)

        return _told_epochs(fed(arguments, redrawing))

    def _of_source(
        self, arguments: dict[str, Any], source: Source, training: bool
    ) -> dict[str, Any]:
        if given := [n for n in DATA[1:] if arguments.get(n) is not None]:
            raise ValueError(
                f"{' and '.join(given)} must be part of data that come in batches: "
                "(texts, y, sample_weight)."
            )
        example_weights.check_arguments(self, arguments)
        class_weight = arguments.get("class_weight")
        reader = _Reader(self, self._fixed_length()) if source.has_texts else None

        def examples() -> Iterator[tuple[int, Batch]]:
            for batch in source.batches():
                x, y, weights = parts_of(batch)
                if reader:
                    segments = _texts_in(x)
                    found = reader.examples(segments, y, weights)
                    rows = len(segments[0])
                else:
                    found = x, class_numbers(self, y), weights
                    rows = len(found[1])
                yield rows, _packed(_class_weighted(found, class_weight))

        is_redrawn = source.has_texts and self.redrawn is not None
        seed = _drawn_seed() if training and is_redrawn else None

        def batches(epoch: int) -> Iterator[Batch]:
            found = in_rows(examples())
            return self._drawn(found, seed, epoch) if is_redrawn else found

        dropped = (*FEEDING, "_use_cached_eval_dataset")
        kept = {k: v for k, v in arguments.items() if k not in dropped}
        for name in ("steps_per_epoch", "steps"):
            if name in arguments:
                kept[name] = arguments[name]
        if "shuffle" in arguments:
            kept["shuffle"] = False
        if source.once:
            return {"x": batches(0), **kept}
        one_row_each = self.one_row_per_text or not source.has_texts
        count = source.num_batches if one_row_each else None
        stream = Stream(batches, count, inner=source.inner)
        return _told_epochs({"x": stream, **kept})

    @property
    def _reads_strings(self) -> bool:
        """Whether the model takes texts, or names of classes as targets."""
        return _reads_texts(self) or hasattr(self, "class_names")

    def _fixed_length(self) -> int:
        length = self.sequence_length or self.longest_text
        if math.isinf(length):
            raise ValueError(
                f"{type(self).__name__} reads texts of any length, and those that come "
                "in batches must get one length. Set model.sequence_length."
            )
        return int(length)

    def _drawn(
        self, batches: Iterable[Batch], seed: int | None, epoch: int
    ) -> Iterator[Batch]:
        """Batches with masks of their own; without a seed, the same in each epoch."""
        assert self.redrawn is not None
        rng = np.random.default_rng(0 if seed is None else (seed, epoch))
        for batch in batches:
            x, *rest = parts_of(batch)
            yield _packed((self.redrawn(x, rng), *rest))


def _told_epochs(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `fit`, whose callbacks tell the stream each epoch's number."""
    if "callbacks" not in arguments or "epochs" not in arguments:
        return arguments
    callbacks, told = arguments["callbacks"], TellsEpoch(arguments["x"])
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(told)
        return arguments
    return {**arguments, "callbacks": [*keras.tree.flatten(callbacks or []), told]}


def _drawn_seed() -> int:
    """From NumPy's generator, as Keras's shuffling, so that one seed fixes both."""
    return np.random.randint(2**31)


class _Reader:
    """Reads texts with one length, and warns the first time that some were cut."""

    def __init__(self, model: ReadsTexts, length: int | None) -> None:
        self.model, self.length = model, length or model.sequence_length
        self.warned = False
        check_reads_texts(model)

    def examples(self, segments: Segments, y: Any, weights: Any) -> Batch:
        """The data (x, y, weights)."""
        found, cut = self.model.text_examples(segments, y, weights, self.length)
        self._warn(cut, len(segments[0]))
        return found

    def inputs(self, segments: Segments) -> Any:
        """The inputs alone."""
        found, cut = self.model.text_inputs(segments, self.length)
        self._warn(cut, len(segments[0]))
        return found

    def _warn(self, cut: int, total: int) -> None:
        if not cut or self.warned:
            return
        self.warned = True
        most = self.model.longest_text
        limit = self.length or most
        way_out = "Make the model with a longer context_length"
        if limit < most:
            up_to = "" if math.isinf(most) else f", up to {most},"
            way_out = f"Set sequence_length to more than {limit}{up_to}"
        warnings.warn(
            f"{cut} of the first {total} texts have more than {limit} tokens and were "
            f"cut at the end. {way_out} to keep more of them.",
            stacklevel=6,
        )


def check_reads_texts(model: Any) -> None:
    """Raises a ValueError if a model can't read texts, or has no tokenizer."""
    name = type(model).__name__
    if not _reads_texts(model):
        raise ValueError(
            f"{name} does not take raw texts, and was given some. Pass the arrays that "
            "its documentation names."
        )
    if model.tokenizer is None:
        raise ValueError(
            f"{name} was given texts, and has no tokenizer to read them with. Set "
            "model.tokenizer = zoo.Tokenizer.from_preset(...), load the model with "
            "from_preset, or pass token ids."
        )
    if not isinstance(model.tokenizer, Tokenizer):
        raise ValueError(
            f"{name} reads texts with a zoo.Tokenizer, and its tokenizer is "
            f"{model.tokenizer!r:.80}. Pass token ids, or convert it: "
            "zoo.Tokenizer.load reads the files of Hugging Face and Keras Hub."
        )


def _reads_texts(model: Any) -> bool:
    return type(model).text_inputs is not ReadsTexts.text_inputs


def _texts_in(x: Any) -> Segments:
    if (segments := segments_of(x)) is None:
        raise ValueError(
            f"Each batch must hold texts, as the first did, got {x!r:.80}."
        )
    return segments


def _class_weighted(batch: Batch, class_weight: Any) -> Batch:
    """A batch (x, y, weights) with the weights of its classes."""
    x, y, weights = batch
    if class_weight is None:
        return batch
    if weights is not None:
        raise ValueError("Give either class_weight or sample_weight, not both.")
    weights = [class_weight.get(int(number), 1.0) for number in np.asarray(y)]
    return x, y, np.array(weights, "float32")


def _packed(batch: Batch) -> Batch:
    """A batch without the parts that it lacks."""
    while batch[-1] is None:
        batch = batch[:-1]
    return batch
