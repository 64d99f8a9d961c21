"""`zoo.training.Model`: a Keras model that states its losses as phases."""

import contextlib
import dataclasses
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import keras
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

from zoo.configs.made import made
from zoo.distribution import adoption  # noqa: F401 - finds users' own scopes
from zoo.engine.base import Engine
from zoo.engine.batches import bound
from zoo.engine.current import engine
from zoo.engine.layout import Table, replicated
from zoo.layers import frozen_layers
from zoo.training import step
from zoo.training.added_losses import all_layers
from zoo.training.callbacks import StopOnNaN
from zoo.training.checks import example_weights
from zoo.training.checks.checked_data import ChecksData
from zoo.training.checks.ranges import Watch
from zoo.training.checks.refusals import refuse_16_bit_weights, refuse_hooks
from zoo.training.finetuning.layer_rates import (
    forget_hooks,
    layerwise_factors,
    scale_rates,
)
from zoo.training.finetuning.lora import enable_lora, has_lora
from zoo.training.optimizers.group import (
    OptimizerGroup,
    deserialize_optimizer,
    serialize_optimizer,
)
from zoo.training.phases import Batch, Phase
from zoo.training.saving.kept_tokenizer import KeepsTokenizer
from zoo.training.saving.unsaved_layers import SavesAllLayers, check_saved
from zoo.training.terms import TermMeans

Optimizer: TypeAlias = keras.optimizers.Optimizer


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """What `compile` settles for the training step.

    Attributes:
        engine: the backend's.
        accumulate: micro-batches an update.
        phase_variables: the variables that each phase moves.
        phase_layers: the layers that each phase trains, inner ones too.
        has_prepare: whether the model prepares batches.
        has_shared: whether the model shares work between phases.
        terms: the running means of all logged terms.
        watch: looks for values out of their range.
        recorded: steps that the engine recorded for this model, by batch shape.
    """

    engine: Engine
    accumulate: int
    phase_variables: Mapping[str, list[keras.Variable]]
    phase_layers: Mapping[str, list[keras.Layer]]
    has_prepare: bool
    has_shared: bool
    terms: TermMeans
    watch: Watch
    recorded: dict = dataclasses.field(default_factory=dict)

    def log_prefix(self, phase: Phase) -> str:
        """What precedes a term in the logs: nothing where there is one phase."""
        return f"{phase.name}/" if len(self.phase_variables) > 1 else ""


class Model(KeepsTokenizer, ChecksData, SavesAllLayers):
    """A Keras model whose training is the sequence of its `phases()`.

    A subclass gives `phases()` and, where it needs them, `prepare(batch)` and
    `shared(batch)`; `fit`, `evaluate`, saving and callbacks are Keras's own. A
    subclass with a configuration sets `Config`, a frozen dataclass, and takes it as
    the constructor's first argument.
    """

    Config: ClassVar[type | None] = None
    # How several devices share the weights: rules (pattern in the path, mesh axes).
    layout: ClassVar[Table] = ()
    # Fields of the configuration that the mesh's model axis must divide.
    divided: ClassVar[Sequence[str]] = ()
    # Whether much of a step is elementwise work, which XLA fuses, between products:
    # then "auto" compiles on a CPU too. Convolutions are faster there without it.
    fusion_pays: ClassVar[bool] = False
    # Whether a step loops over tokens: a recording of it, which unrolls the loop, takes
    # longer than many steps.
    long_loops: ClassVar[bool] = False
    plan: Plan

    def __init__(self, config: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.engine = engine()
        if self.Config is not None and type(config) is not self.Config:
            raise TypeError(
                f"{type(self).__name__} is made from a {self.Config.__name__}: "
                f"{type(self).__name__}({self.Config.__name__}(...)). "
                f"Received: {config!r}"
            )
        self.config = config
        for name in self.divided:
            if getattr(config, name) % self.engine.mesh.model:
                raise ValueError(
                    f"model={self.engine.mesh.model} devices can't share {name}="
                    f"{getattr(config, name)}: choose a number that divides it."
                )
        self.engine.adopt(self.layout)

    # === What a subclass states ===

    def phases(self) -> Sequence[Phase]:
        """The losses, in the order in which one training step minimises them."""
        raise NotImplementedError(f"{type(self).__name__} must define phases().")

    def prepare(self, batch: Batch) -> Batch:
        """Turns a batch into what the losses take; the place to draw noise.

        Runs once a step, before the batch is cut into micro-batches; all its arrays
        keep one row an example.
        """
        return batch

    def shared(self, batch: Batch) -> dict:
        """Work that several phases use, added to their batch (a dict); done once.

        The phase with `through_shared` sends its gradient back through it; to the
        others it is constant. It returns floating-point arrays.
        """
        raise NotImplementedError

    def decays(self, variable: keras.Variable) -> bool:
        """Whether decoupled weight decay applies: to matrices, not biases or norms."""
        return len(variable.shape) >= 2

    def stack(self) -> Sequence[Sequence[keras.Layer]]:
        """What was pretrained, from the embeddings up: the layers at each height.

        Fine-tuning asks for it (`compile(layer_decay=)`, `enable_lora`). What is in
        none of them is the head.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not say how its layers lie above each other: "
            "it has no stack()."
        )

    # === Keras's interface ===

    def enable_lora(
        self,
        rank: int,
        alpha: float | None = None,
        targets: Sequence[str] = ("query", "value"),
    ) -> None:
        """Low-rank adaptation (LoRA): freezes `stack()` but for small added products.

        See `zoo.training.finetuning.lora.enable_lora`. Call it before `compile`, and
        before the model has predicted anything.
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
        """Readies the model for `fit`.

        Args:
            optimizer: one optimizer, or one a phase by the phase's name.
            accumulate: cut each batch into this many micro-batches and make one
                update from their mean gradient.
            layer_decay: the rate of each layer of `stack()`, and the decay of its
                weights, as a share of the layer's above it; heads learn at the
                optimizer's rate (Sun et al. 2019, "How to Fine-Tune BERT").
            run_eagerly: as in Keras.
            steps_per_execution: as in Keras; 1 on torch.
            jit_compile: as in Keras; "auto" heeds `fusion_pays` as well.
            unsupported: `loss` and `metrics` raise: the phases state both.
        """
        if any(value is not None for value in unsupported.values()):
            raise ValueError(
                f"{type(self).__name__}.compile() does not take "
                f"{sorted(unsupported)}. Its losses and metrics are the terms that "
                "its phases return; override phases() to change them."
            )
        if not isinstance(accumulate, int) or accumulate < 1:
            raise ValueError(
                f"accumulate must be a whole number from 1. Received: {accumulate!r}"
            )
        if not 0 < layer_decay <= 1:
            raise ValueError(
                f"layer_decay must be above 0 and at most 1. Received: {layer_decay!r}"
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
                optimizer=self._group(optimizer),
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
        """Around each call of Keras's trainer."""
        with self._on_devices(training), self.engine.whole_updates(self):
            yield

    def _check_devices(self) -> None:
        if self.engine is not engine():
            raise ValueError(
                f"{type(self).__name__} was made outside of this block of "
                "zoo.distribution.use, so its weights do not lie on these devices. "
                "Make, compile and fit a model in one block; weights go from one to "
                "another through save_weights or save_to_preset."
            )

    def _report_replicated(self) -> None:
        shapes = {v.path: v.shape for v in self.trainable_variables}
        forgotten = replicated(shapes, self.layout, self.engine.mesh)
        if forgotten:
            warnings.warn(
                f"Every device holds the whole of {forgotten} (elements a variable): "
                f"no rule of {type(self).__name__}.layout and no axis of "
                f"{self.engine.mesh} cuts them.",
                stacklevel=3,
            )

    def _planned(self, accumulate: int) -> Plan:
        unbuilt = [
            layer.name
            for layer in self._flatten_layers(include_self=False)
            if not layer.built
        ]
        if unbuilt:
            raise ValueError(
                f"{type(self).__name__} has layers without weights yet: {unbuilt[:5]}. "
                "Build them before compile(), for instance by calling each network "
                "once or by giving a Sequential an Input."
            )
        self.built = True
        self.engine.settle(self)
        phases = self.phases()
        if not phases:
            raise ValueError(f"{type(self).__name__}.phases() gave no phase.")
        first = {phase.name: phase for phase in reversed(phases)}
        for phase in phases:
            if phase.trains != first[phase.name].trains:
                raise ValueError(
                    f"Two phases are named {phase.name!r}, but train different "
                    "layers. Phases of one name share their optimizer: give each its "
                    "own name, or let both train the same."
                )
        producers = [phase.name for phase in phases if phase.through_shared]
        if len(producers) > 1:
            raise ValueError(
                "One phase trains what shared() calls, and only it can have "
                f"through_shared. Received: {producers}. Join them into one phase."
            )
        own = {id(variable) for variable in self.trainable_variables}
        for phase in phases:
            if not own.issuperset(id(variable) for variable in phase.variables()):
                raise ValueError(
                    f"Phase {phase.name!r} trains layers that are not the model's. "
                    "Assign them to attributes of the model."
                )
            if not phase.variables():
                raise ValueError(
                    f"Phase {phase.name!r} has nothing to train: its layers have no "
                    "trainable variables."
                )
        return Plan(
            engine=self.engine,
            accumulate=accumulate,
            # A read-only proxy: Keras would track, and save, what a dict holds.
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

    def _group(self, optimizer) -> OptimizerGroup:
        names = list(self.plan.phase_variables)
        if not isinstance(optimizer, Mapping):
            if len(names) > 1:
                raise ValueError(
                    f"{type(self).__name__} trains in {len(names)} phases and needs "
                    "an optimizer for each: compile(optimizer={"
                    + ", ".join(f"{name!r}: ..." for name in names)
                    + f"}}). Received: {optimizer!r}"
                )
            optimizer = {names[0]: optimizer}
        if set(optimizer) != set(names):
            raise ValueError(
                f"The optimizers' keys must be the names of the phases, {names}. "
                f"Received: {list(optimizer)}"
            )
        group = OptimizerGroup(
            {name: keras.optimizers.get(optimizer[name]) for name in names},
            loss_scaling=any(
                layer.compute_dtype == "float16" for layer in self._flatten_layers()
            ),
        )
        with self.engine.stored():
            group.build_members(self.plan.phase_variables, self.decays)
        for member in group.members.values():
            forget_hooks(member)
            self.plan.engine.tune(member)
            if self.layer_decay != 1:
                factors = layerwise_factors(self.stack(), self.layer_decay)
                scale_rates(member, factors)
        return group

    def unpack(self, data: Any) -> Batch:
        """Keras's `(x,)` as `x`; `(x, y)` and `(x, y, sample_weight)` as they are.

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
        """One update of every phase; the signature is the backend's trainer's."""
        return self.plan.engine.train_step(step.train, self, *args)

    def test_step(self, *args: Any) -> Any:
        """Every phase's terms without updates."""
        return self.plan.engine.test_step(step.test, self, *args)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Keras's `fit`; raises a clear error when a loss stops being a number.

        A ragged last batch, which devices and micro-batches can't share, is dropped.
        """
        arguments = bound(super().fit, args, kwargs)
        arguments = self.checked(arguments, "train_function")
        if isinstance(arguments["x"], Iterator | DataAdapter):
            # Keras can't shuffle these, and warns unless told that it need not.
            arguments["shuffle"] = False
        callbacks = arguments["callbacks"]
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = keras.tree.flatten(callbacks or [])
            # Keras's own callback, where it is given, says how to end.
            gracefully = any(
                isinstance(callback, keras.callbacks.TerminateOnNaN)
                and not callback.raise_error
                for callback in callbacks
            )
            callbacks = [*callbacks, StopOnNaN(gracefully=gracefully)]
        arguments["callbacks"] = callbacks
        plan = getattr(self, "plan", None)
        divisor = self.engine.mesh.data * (plan.accumulate if plan else 1)
        with self._trainer(), self.explained():
            if divisor > 1:
                self._check_devices()
            arguments = self.engine.fit_arguments(arguments, divisor)
            if plan:
                plan.watch.start()
            return super().fit(**arguments)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Keras's `evaluate`; the last batch may be ragged on any number of devices."""
        arguments = bound(super().evaluate, args, kwargs)
        arguments = self.checked(arguments, "test_function")
        plan = getattr(self, "plan", None)
        if plan is None:
            return super().evaluate(**arguments)  # which says that compile() is missing
        if arguments.get("_use_cached_eval_dataset"):
            plan.watch.check()  # within fit, which has not looked at its last batches
        plan.watch.start()
        with self._trainer(training=False), self.explained():
            results = self.engine.evaluate(self, super().evaluate, arguments)
        plan.watch.check()
        return results

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Keras's `predict`, likewise."""
        arguments = self.checked_inputs(bound(super().predict, args, kwargs))
        with self._trainer(training=False), self.explained():
            return self.engine.predict(self, super().predict, arguments)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Keras's `train_on_batch`."""
        example_weights.check_arguments(self, {"class_weight": class_weight})
        with self._trainer():
            return super().train_on_batch(
                x, y, sample_weight, class_weight, return_dict
            )

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Keras's `test_on_batch`."""
        with self._trainer(training=False):
            return super().test_on_batch(*args, **kwargs)

    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Keras's `predict_on_batch`."""
        with self._trainer(training=False):
            return super().predict_on_batch(*args, **kwargs)

    def make_train_function(self, force: bool = False) -> Any:
        """Keras's compiled step, or the engine's where it needs its own."""
        keras_makes = super().make_train_function
        return self._make("train_function", self.train_step, keras_makes, force)

    def make_test_function(self, force: bool = False) -> Any:
        """Likewise."""
        keras_makes = super().make_test_function
        return self._make("test_function", self.test_step, keras_makes, force)

    def make_predict_function(self, force: bool = False) -> Any:
        """Likewise."""
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
        """Keras's `save`; of several processes one writes."""
        with self._written(filepath) as path:
            super().save(path, *args, **kwargs)

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Keras's `save_weights`, likewise."""
        with self._written(filepath) as path:
            super().save_weights(path, *args, **kwargs)

    @contextlib.contextmanager
    def _written(self, filepath: Any) -> Iterator[Any]:
        """The path to write to: every process has to gather, one has to keep."""
        check_saved(self)
        variables = [
            *self.variables,
            *(self.optimizer.variables if self.compiled else ()),
        ]
        with (
            tempfile.TemporaryDirectory() as folder,
            self.engine.readable(variables),
        ):
            kept = self.engine.is_main
            yield filepath if kept else Path(folder) / Path(filepath).name
        self.engine.wait()

    @property
    def metrics(self) -> list:
        """The running means of the terms, once compiled, and what looks at batches."""
        plan = getattr(self, "plan", None)
        return [plan.terms, plan.watch] if plan else []

    @contextlib.contextmanager
    def averaged_weights(self, needed: bool = True):
        """Within the block, the weights are the optimizers' moving averages.

        For evaluation and sampling in the course of training.

        Args:
            needed: raise if no optimizer was made with `use_ema=True`; otherwise the
                weights then stay as they are.
        """
        members = [m for m in self.optimizer.members.values() if m.use_ema]
        if needed and not members:
            raise ValueError(
                "There are no averaged weights: compile with an optimizer that has "
                "use_ema=True."
            )
        swapped = []
        for member in members:
            averages = member._model_variables_moving_average
            for variable, average in zip(
                member._trainable_variables, averages, strict=True
            ):
                present, new = self.engine.copies([variable, average])
                swapped.append((variable, present))
                # A copy, since JAX's steps take over the memory of what they get.
                variable.assign(new)
        try:
            yield self
        finally:
            for variable, value in swapped:
                variable.assign(value)

    # === Serialisation ===

    def get_config(self) -> dict:
        """The configuration, as plain values."""
        if self.Config is None:
            return {**super().get_config(), **frozen_layers.flags(self)}
        return {
            "config": dataclasses.asdict(self.config),
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            **frozen_layers.flags(self),
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> "Model":
        """Rebuilds the model from what `get_config` returned."""
        if cls.Config is None:
            given = {k: v for k, v in config.items() if k != frozen_layers.FLAGS}
            model = super().from_config(given, custom_objects)
        else:
            dtype = keras.dtype_policies.get(config["dtype"])
            fields = made(cls.Config, config["config"])
            model = cls(fields, name=config["name"], dtype=dtype)
        return frozen_layers.restored(model, config)

    def get_compile_config(self) -> dict:
        """Optimizers by phase, with their decay exclusions, and the step's options.

        With LoRA there is none: what is saved is the plain model that it amounts to,
        which that state does not fit.
        """
        if not self.compiled or has_lora(self):
            return {}
        with self.engine.stored():
            optimizers = {
                name: serialize_optimizer(member)
                for name, member in self.optimizer.members.items()
            }
        return {
            "optimizer": optimizers,
            "accumulate": self.plan.accumulate,
            "layer_decay": self.layer_decay,
            "run_eagerly": self.run_eagerly,
            "steps_per_execution": self.steps_per_execution,
            # As asked, since what "auto" means differs between backends.
            "jit_compile": self._asked_jit_compile,
        }

    def compile_from_config(self, config: dict) -> None:
        """The inverse, on loading; all optimizer state exists afterwards."""
        variables = self._planned(config["accumulate"]).phase_variables
        with self.engine.stored():
            optimizers = {
                name: deserialize_optimizer(saved, variables[name])
                for name, saved in config["optimizer"].items()
            }
        self.compile(**{**config, "optimizer": optimizers})
