"""`zoo.training.Model`: a Keras model that declares its losses as phases."""

import contextlib
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import keras
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

from zoo.distribution import adoption  # noqa: F401 - finds users' own scopes
from zoo.engine.batches import bound
from zoo.engine.current import engine
from zoo.engine.layout import Table, replicated
from zoo.training import step
from zoo.training.added_losses import all_layers
from zoo.training.callbacks import stopping_on_nan
from zoo.training.checks import example_weights
from zoo.training.checks.checked_data import ChecksData
from zoo.training.checks.phases import check_built, check_phases
from zoo.training.checks.ranges import Watch
from zoo.training.checks.refusals import refuse_16_bit_weights, refuse_hooks
from zoo.training.finetuning.lora import enable_lora
from zoo.training.optimizers.averages import averaged
from zoo.training.optimizers.building import built_group
from zoo.training.phases import Batch, Phase
from zoo.training.raw.reading import ReadsTexts
from zoo.training.saving.config import SavesConfig
from zoo.training.saving.kept_tokenizer import KeepsTokenizer
from zoo.training.saving.one_writer import written
from zoo.training.saving.unsaved_layers import check_saved
from zoo.training.step_plan import StepPlan
from zoo.training.terms import TermMeans

Optimizer: TypeAlias = keras.optimizers.Optimizer


class Model(KeepsTokenizer, ReadsTexts, ChecksData, SavesConfig):
    """A Keras model trained by the sequence of its `phases()`.

    A subclass defines `phases()` and, if needed, `prepare(batch)` and
    `shared(batch)`; `fit`, `evaluate`, saving and callbacks are Keras's own. A
    subclass with a configuration sets `Config` to a frozen dataclass and takes an
    instance as the constructor's first argument.
    """

    # How devices share the weights: rules of a path pattern and mesh axes.
    layout: ClassVar[Table] = ()
    # Fields of the configuration that must be multiples of the mesh's model axis.
    divided: ClassVar[Sequence[str]] = ()
    # Whether a step has much elementwise work between matrix products, which XLA
    # fuses: "auto" then compiles on a CPU too. Convolutions run faster uncompiled.
    fusion_pays: ClassVar[bool] = False
    # Whether a step loops over tokens: recording it would unroll the loop, which takes
    # longer than many steps.
    long_loops: ClassVar[bool] = False
    plan: StepPlan

    def __init__(self, config: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.engine = engine()
        if self.Config is not None and type(config) is not self.Config:
            raise TypeError(
                f"{type(self).__name__} must be made from a {self.Config.__name__}, "
                f"got {config!r}. "
                f"Use {type(self).__name__}({self.Config.__name__}(...))."
            )
        self.config = config
        for name in self.divided:
            if getattr(config, name) % self.engine.mesh.model:
                raise ValueError(
                    f"model={self.engine.mesh.model} devices can't share {name}="
                    f"{getattr(config, name)}: choose a number that divides it."
                )
        self.engine.adopt(self.layout)

    # === What a subclass defines ===

    def phases(self) -> Sequence[Phase]:
        """The losses, in the order in which one training step minimises them."""
        raise NotImplementedError(f"{type(self).__name__} must define phases().")

    def prepare(self, batch: Batch) -> Batch:
        """Turns a batch into the input of the losses; the place to draw noise.

        Runs once per step, before the batch is split into micro-batches. All arrays
        keep one row per example.
        """
        return batch

    def shared(self, batch: Batch) -> dict:
        """Computes once what several phases use; added to their batch, a dict.

        The phase with `through_shared` backpropagates through it; the others treat it
        as constant. Returns floating-point arrays.
        """
        raise NotImplementedError

    def decays(self, variable: keras.Variable) -> bool:
        """Whether weight decay applies to a variable: to matrices, not biases or norms.

        Decoupled weight decay, as in AdamW.
        """
        return len(variable.shape) >= 2

    def stack(self) -> Sequence[Sequence[keras.Layer]]:
        """The pretrained layers at each height, from the embeddings up.

        Used in fine-tuning (`compile(layer_decay=)`, `enable_lora`). All other layers
        are the head.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not define the order of its layers: it has no "
            "stack(). Define it to use layer_decay or LoRA."
        )

    # === Keras's interface ===

    def enable_lora(
        self,
        rank: int,
        alpha: float | None = None,
        targets: Sequence[str] = ("query", "value"),
    ) -> None:
        """Low-rank adaptation (LoRA): freezes `stack()` and adds low-rank factors.

        See `zoo.training.finetuning.lora.enable_lora`. Call it before `compile` and
        before the first prediction.
        """
        enable_lora(self, rank, alpha, targets)

    def compile(
        self,
        optimizer: str | Optimizer | Mapping[str, str | Optimizer] = "adam",
        *,
        accumulate: int = 1,
        layer_decay: float = 1.0,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        **unsupported: Any,
    ) -> None:
        """Prepares the model for `fit`.

        Args:
            optimizer: one optimizer, or one per phase by the phase's name.
            accumulate: the number of micro-batches to split each batch into; one
                update uses their mean gradient.
            layer_decay: ratio of the learning rate and weight decay of each layer of
                `stack()` to those of the layer above; heads use the optimizer's rate
                (Sun et al. 2019, "How to Fine-Tune BERT").
            run_eagerly: as in Keras.
            steps_per_execution: as in Keras; 1 on torch.
            jit_compile: as in Keras; "auto" also takes `fusion_pays` into account.
            unsupported: `loss` and `metrics`, which raise: the phases define both.

        Raises:
            ValueError: an argument is invalid, or the model can't be trained with it.
        """
        if any(value is not None for value in unsupported.values()):
            raise ValueError(
                f"{type(self).__name__}.compile() does not take "
                f"{sorted(unsupported)}. Its losses and metrics are the terms that "
                "its phases return; override phases() to change them."
            )
        if not isinstance(accumulate, int) or accumulate < 1:
            raise ValueError(
                f"accumulate must be a whole number from 1, got {accumulate!r}."
            )
        if not 0 < layer_decay <= 1:
            raise ValueError(
                f"layer_decay must be above 0 and at most 1, got {layer_decay!r}."
            )
        check_saved(self)
        refuse_hooks(self)
        refuse_16_bit_weights(self)
        self._asked_jit_compile = jit_compile
        self.layer_decay = float(layer_decay)
        with self._on_devices():
            self._check_devices()
            self._report_replicated()
            self.plan = self._planned(accumulate)
            super().compile(
                optimizer=built_group(self, optimizer),
                run_eagerly=run_eagerly,
                steps_per_execution=steps_per_execution,
                jit_compile=(
                    jit_compile
                    if run_eagerly
                    else self.engine.jit_compile(self, jit_compile)
                ),
                auto_scale_loss=False,
            )

    @contextlib.contextmanager
    def _on_devices(self, training: bool = True) -> Iterator[None]:
        self.engine.refuse_others(training)
        with self.engine.in_use():
            yield

    @contextlib.contextmanager
    def _trainer(self, training: bool = True) -> Iterator[None]:
        """Wraps each call of Keras's trainer."""
        with self._on_devices(training), self.engine.whole_updates(self):
            yield

    def _check_devices(self) -> None:
        if self.engine is not engine():
            raise ValueError(
                f"{type(self).__name__} was made outside this block of "
                "zoo.distribution.use, so its weights are not on these devices. "
                "Make, compile and fit a model in one block; save_weights or "
                "save_to_preset carries weights from one block to another."
            )

    def _report_replicated(self) -> None:
        shapes = {v.path: v.shape for v in self.trainable_variables}
        forgotten = replicated(shapes, self.layout, self.engine.mesh)
        if forgotten:
            warnings.warn(
                f"Every device holds a full copy of {forgotten} (elements per "
                f"variable): no rule of {type(self).__name__}.layout and no axis of "
                f"{self.engine.mesh} splits them.",
                stacklevel=3,
            )

    def _planned(self, accumulate: int) -> StepPlan:
        check_built(self)
        self.built = True
        self.engine.settle(self)
        phases = self.phases()
        check_phases(self, phases)
        return StepPlan(
            engine=self.engine,
            accumulate=accumulate,
            # A read-only proxy: Keras would track, and save, the contents of a dict.
            phase_variables=types.MappingProxyType(
                {phase.name: phase.variables() for phase in phases}
            ),
            phase_layers=types.MappingProxyType(
                {phase.name: all_layers(phase.trains) for phase in phases}
            ),
            has_prepare=type(self).prepare is not Model.prepare,
            has_shared=type(self).shared is not Model.shared,
            terms=TermMeans(),
            watch=Watch(),
        )

    def unpack(self, data: Any) -> Batch:
        """Unpacks Keras's `(x,)` to `x`; keeps `(x, y)` and `(x, y, sample_weight)`.

        Weights without targets are `(x, None, sample_weight)`.
        """
        if not isinstance(data, (tuple, list)):
            return data
        data = tuple(data)
        while len(data) > 1 and data[-1] is None:
            data = data[:-1]
        if len(data) == 3:
            example_weights.refuse(self)
            if example_weights.is_place(data[1]):
                data = (data[0], None, data[2])
        return data[0] if len(data) == 1 else data

    def train_step(self, *args: Any) -> Any:
        """One update of every phase; the arguments depend on the backend's trainer."""
        return self.plan.engine.train_step(step.train, self, *args)

    def test_step(self, *args: Any) -> Any:
        """The terms of every phase, without updates."""
        return self.plan.engine.test_step(step.test, self, *args)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Keras's `fit`; raises a clear error when a loss is no longer finite.

        Reads raw texts where the model has a tokenizer (`zoo.training.raw`). Drops a
        ragged last batch if devices or micro-batches can't share it.
        """
        arguments = bound(super().fit, args, kwargs)
        arguments = self.with_texts_read(arguments, training=True)
        arguments = self.with_validation_read(arguments)
        arguments = self.checked(arguments, "train_function")
        if isinstance(arguments["x"], Iterator | DataAdapter):
            # Keras can't shuffle these, and warns unless shuffling is off.
            arguments["shuffle"] = False
        arguments["callbacks"] = stopping_on_nan(arguments["callbacks"])
        plan = getattr(self, "plan", None)
        divisor = self.engine.mesh.data * (plan.accumulate if plan else 1)
        with self._trainer(), self.explained(), self.ending(arguments):
            if divisor > 1:
                self._check_devices()
            arguments = self.engine.fit_arguments(arguments, divisor)
            if plan:
                plan.watch.start()
            return super().fit(**arguments)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Keras's `evaluate`; the last batch may be ragged on any number of devices."""
        arguments = bound(super().evaluate, args, kwargs)
        arguments = self.with_texts_read(arguments, training=False)
        arguments = self.checked(arguments, "test_function")
        plan = getattr(self, "plan", None)
        if plan is None:
            return super().evaluate(**arguments)  # raises: compile() is missing
        if arguments.get("_use_cached_eval_dataset"):
            plan.watch.check()  # within fit, which has not checked its last batches
        plan.watch.start()
        ending = self.ending(arguments)
        with self._trainer(training=False), self.explained(), ending:
            results = self.engine.evaluate(self, super().evaluate, arguments)
        plan.watch.check()
        return results

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Keras's `predict`; the last batch may be ragged on any number of devices."""
        arguments = self.with_inputs_read(bound(super().predict, args, kwargs))
        arguments = self.checked_inputs(arguments)
        ending = self.ending(arguments)
        with self._trainer(training=False), self.explained(), ending:
            return self.engine.predict(self, super().predict, arguments)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Keras's `train_on_batch`, on the engine's devices."""
        example_weights.check_arguments(self, {"class_weight": class_weight})
        x, y, sample_weight = self.batch_read(x, y, sample_weight)
        with self._trainer():
            return super().train_on_batch(
                x, y, sample_weight, class_weight, return_dict
            )

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Keras's `test_on_batch`, on the engine's devices."""
        x, y, sample_weight = self.batch_read(x, y, sample_weight)
        with self._trainer(training=False):
            return super().test_on_batch(x, y, sample_weight, return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """Keras's `predict_on_batch`, on the engine's devices."""
        x = self.with_inputs_read({"x": x})["x"]
        with self._trainer(training=False):
            return super().predict_on_batch(x)

    def make_train_function(self, force: bool = False) -> Any:
        """Compiles the training step, by Keras or by an engine that has its own."""
        keras_makes = super().make_train_function
        return self._make("train_function", self.train_step, keras_makes, force)

    def make_test_function(self, force: bool = False) -> Any:
        """Compiles the evaluation step, as `make_train_function` does."""
        keras_makes = super().make_test_function
        return self._make("test_function", self.test_step, keras_makes, force)

    def make_predict_function(self, force: bool = False) -> Any:
        """Compiles the prediction step, as `make_train_function` does."""
        keras_makes = super().make_predict_function
        return self._make("predict_function", self.predict_step, keras_makes, force)

    def _make(
        self, name: str, function: Callable, keras_makes: Callable, force: bool
    ) -> Callable:
        if force or getattr(self, name, None) is None:
            made = self.engine.step_function(self, name, function)
            if made is None:
                keras_makes(force)
                made = self.engine.on_batches(getattr(self, name))
                if name == "train_function":
                    made = self.engine.whole_step(self, made)
            setattr(self, name, made)
        return getattr(self, name)

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Keras's `save`; only the main process writes."""
        with written(self, filepath) as path:
            super().save(path, *args, **kwargs)

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Keras's `save_weights`; only the main process writes."""
        with written(self, filepath) as path:
            super().save_weights(path, *args, **kwargs)

    @property
    def metrics(self) -> list:
        """The running means of the terms and the watch on batches, once compiled."""
        plan = getattr(self, "plan", None)
        return [plan.terms, plan.watch] if plan else []

    @contextlib.contextmanager
    def averaged_weights(self, needed: bool = True) -> Iterator["Model"]:
        """Within the block, the weights are the optimizers' moving averages.

        For evaluation and sampling during training.

        Args:
            needed: whether to raise if no optimizer was made with `use_ema=True`;
                otherwise the weights then stay as they are.

        Raises:
            ValueError: `needed`, and no optimizer keeps averages.
        """
        with averaged(self, needed):
            yield self
