"""One optimizer that holds the optimizers of all phases as its state."""

import types
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from zoo.engine.current import engine
from zoo.training.optimizers.averages import start, unbias
from zoo.training.optimizers.loss_scale import DynamicLossScale
from zoo.training.optimizers.schedules import Scaled


@keras.saving.register_keras_serializable("zoo")
class OptimizerGroup(keras.optimizers.Optimizer):
    """The optimizers of a model's phases, saved, restored and scheduled as one.

    Keras's trainers pass, save and restore the variables of exactly one optimizer:
    this one. Its `variables` are those of all members and loss scales. Its
    `learning_rate` is the first member's; setting it scales every member's by the same
    factor, so that Keras's callbacks work on all.

    Args:
        optimizers: one optimizer per phase, by the phase's name.
        loss_scaling: whether each phase has a dynamic loss scale, for float16.

    Raises:
        ValueError: two phases share an optimizer, or one has unsupported options.
    """

    def __init__(
        self,
        optimizers: Mapping[str, keras.optimizers.Optimizer],
        loss_scaling: bool = False,
    ) -> None:
        for phase, optimizer in optimizers.items():
            _check_member(phase, optimizer)
        if len({id(optimizer) for optimizer in optimizers.values()}) < len(optimizers):
            raise ValueError(
                "Each phase must have an optimizer of its own, since an optimizer "
                "keeps moments for the variables it was built on, got one optimizer "
                f"object for several of the phases {sorted(optimizers)}. Make one "
                "per phase."
            )
        super().__init__(learning_rate=1.0, name="optimizers")
        self._untrack_variable(self._learning_rate)
        # Read-only proxies: Keras's saving would walk into dicts and lists and store
        # the members' state twice.
        self.members = types.MappingProxyType(dict(optimizers))
        self.loss_scales = types.MappingProxyType(
            {name: DynamicLossScale(name) for name in optimizers if loss_scaling}
        )
        for member in self.members.values():
            rate = member._learning_rate
            if isinstance(rate, LearningRateSchedule) and not isinstance(rate, Scaled):
                member._learning_rate = Scaled(rate)
        self._last_rates = self._rates()

    def build_members(
        self,
        variables: Mapping[str, list[keras.Variable]],
        decays: Callable[[keras.Variable], bool],
    ) -> None:
        """Creates every member's state.

        Args:
            variables: the variables of each phase.
            decays: whether weight decay applies to a variable.

        Raises:
            ValueError: an optimizer was already built on other variables.
        """
        for phase, member in self.members.items():
            if member.built:
                known = [id(v) for v in member._trainable_variables]
                if known != [id(v) for v in variables[phase]]:
                    raise ValueError(
                        f"The optimizer of phase {phase!r} was built on other "
                        "variables. Pass a new optimizer to compile()."
                    )
                continue
            if not hasattr(member, "_exclude_from_weight_decay"):
                undecayed = [v for v in variables[phase] if not decays(v)]
                member.exclude_from_weight_decay(var_list=undecayed)
            member.build(variables[phase])
            if member.use_ema:
                start(member)
        averaging = [member for member in self.members.values() if member.use_ema]
        for member in averaging:
            unbias(member)
        if averaging:
            # Where Keras's SwapEMAWeights looks for them.
            self._trainable_variables = [
                v for member in averaging for v in member._trainable_variables
            ]
            self._model_variables_moving_average = [
                v
                for member in averaging
                for v in member._model_variables_moving_average
            ]
        self.built = True

    def build(self, variables: list[keras.Variable]) -> None:
        """Does nothing: `build_members` builds each on its own phase's variables."""

    @property
    def variables(self) -> list[keras.Variable]:
        """All state to pass through the step, save and restore."""
        own = [self._iterations]
        for member in self.members.values():
            own += member.variables
            if isinstance(member._learning_rate, Scaled):
                own.append(member._learning_rate.scale)
        for loss_scale in self.loss_scales.values():
            own += loss_scale.variables
        return own

    @property
    def learning_rate(self) -> Any:
        """The first member's current rate; setting it scales every member's."""
        return engine().numpy(next(iter(self.members.values())).learning_rate)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        variables = self._rate_variables()
        if self._first_rate() == 0:
            # Zero can't be scaled; start from the last rates before it.
            for variable, rate in zip(variables, self._last_rates, strict=True):
                variable.assign(rate)
        present = self._first_rate()
        if present == 0:
            raise ValueError(
                f"The learning rate is 0 and can't be scaled to {value}. Compile with "
                "a learning rate above 0."
            )
        self._last_rates = self._rates()
        factor = float(ops.convert_to_numpy(value)) / present
        for variable, rate in zip(variables, self._last_rates, strict=True):
            variable.assign(rate * factor)

    def _first_rate(self) -> float:
        return float(self.learning_rate)

    def _rate_variables(self) -> list[keras.Variable]:
        rates = [member._learning_rate for member in self.members.values()]
        return [rate.scale if isinstance(rate, Scaled) else rate for rate in rates]

    def _rates(self) -> tuple[float, ...]:
        return tuple(float(engine().numpy(v)) for v in self._rate_variables())

    @property
    def use_ema(self) -> bool:
        """Whether any member keeps a moving average of the weights."""
        return any(member.use_ema for member in self.members.values())

    @use_ema.setter
    def use_ema(self, value: bool) -> None:
        # Keras's constructor assigns it, but the members decide.
        del value

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        """At the end of `fit`, averaged weights replace the last ones, as in Keras."""
        averages = self._model_variables_moving_average if self.use_ema else []
        for variable, average in zip(self._trainable_variables, averages, strict=True):
            # A copy, since JAX's steps donate the memory of their arguments.
            variable.assign(ops.copy(average))

    def get_config(self) -> dict:
        """The members' configurations, by phase."""
        members = self.members.items()
        return {
            "optimizers": {k: keras.optimizers.serialize(m) for k, m in members},
            "loss_scaling": bool(self.loss_scales),
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> "OptimizerGroup":
        """Rebuilds the members from their configurations, without their state."""
        optimizers = {
            phase: keras.optimizers.deserialize(member, custom_objects)
            for phase, member in config["optimizers"].items()
        }
        return cls(optimizers, config["loss_scaling"])

    def save_own_variables(self, store: dict) -> None:
        """Writes all state under the names of `named_variables`."""
        for name, variable in self.named_variables().items():
            store[name] = engine().numpy(variable)

    def load_own_variables(self, store: dict) -> None:
        """Reads all state.

        Raises:
            ValueError: the state belongs to other optimizers.
        """
        named = self.named_variables()
        if set(named) != set(store.keys()):
            missing = sorted(set(named) - set(store.keys()))[:5]
            unknown = sorted(set(store.keys()) - set(named))[:5]
            raise ValueError(
                "The saved optimizer state does not fit this model's optimizers. "
                f"Missing: {missing}; unknown: {unknown}. Compile with the optimizers "
                "and precision that the state was saved with."
            )
        for name, variable in named.items():
            variable.assign(store[name])

    def named_variables(self) -> dict[str, keras.Variable]:
        """All state, by names that contain the phase and the optimizer."""
        named = {"updates": self._iterations}
        for phase, member in self.members.items():
            for index, variable in enumerate(member.variables):
                named[f"{phase}.{type(member).__name__}.{index}"] = variable
            if isinstance(member._learning_rate, Scaled):
                named[f"{phase}.learning_rate_scale"] = member._learning_rate.scale
        for phase, loss_scale in self.loss_scales.items():
            named[f"{phase}.loss_scale"] = loss_scale.scale
            named[f"{phase}.good_updates"] = loss_scale.good_updates
        return named


def serialize_optimizer(optimizer: keras.optimizers.Optimizer) -> dict:
    """An optimizer's config, and which of its variables are excluded from decay.

    Keras's own serialisation drops the exclusions. They are stored as positions among
    the variables, since automatic names differ between processes.
    """
    undecayed = [
        index
        for index, variable in enumerate(optimizer._trainable_variables)
        if not optimizer._use_weight_decay(variable)
    ]
    return {"optimizer": keras.optimizers.serialize(optimizer), "undecayed": undecayed}


def deserialize_optimizer(
    config: dict, variables: list[keras.Variable]
) -> keras.optimizers.Optimizer:
    """Rebuilds an optimizer from `serialize_optimizer`, for these variables."""
    optimizer = keras.optimizers.deserialize(config["optimizer"])
    undecayed = [variables[index] for index in config["undecayed"]]
    optimizer.exclude_from_weight_decay(var_list=undecayed)
    return optimizer


def _check_member(phase: str, optimizer: keras.optimizers.Optimizer) -> None:
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            f"The optimizer of phase {phase!r} is a LossScaleOptimizer. Pass its inner "
            "optimizer: under mixed_float16 each phase has its own loss scale."
        )
    if optimizer.gradient_accumulation_steps:
        raise ValueError(
            f"The optimizer of phase {phase!r} has gradient_accumulation_steps="
            f"{optimizer.gradient_accumulation_steps}. Use "
            f"compile(accumulate={optimizer.gradient_accumulation_steps}) instead, "
            "which splits each batch into that many micro-batches and makes one "
            "update."
        )
    if callable(optimizer._learning_rate) and not isinstance(
        optimizer._learning_rate, (keras.Variable, LearningRateSchedule)
    ):
        raise ValueError(
            f"The learning rate of phase {phase!r} is a function, whose value would "
            "be frozen when the step is compiled. Use a schedule instead "
            "(zoo.training.WarmupCosine, keras.optimizers.schedules)."
        )
    if optimizer.loss_scale_factor:
        raise ValueError(
            f"The optimizer of phase {phase!r} has loss_scale_factor="
            f"{optimizer.loss_scale_factor}. Leave it out: under mixed_float16 each "
            "phase has a dynamic loss scale."
        )
