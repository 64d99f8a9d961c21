"""A model's configuration and optimizers in Keras's files."""

import dataclasses
from typing import Any, ClassVar

import keras

from zoo.configs.made import made
from zoo.layers import frozen_layers
from zoo.training.finetuning.lora import has_lora
from zoo.training.optimizers.group import deserialize_optimizer, serialize_optimizer
from zoo.training.saving.unsaved_layers import SavesAllLayers


class SavesConfig(SavesAllLayers):
    """Serialises a model's configuration and the arguments of `compile`."""

    # The class of the configuration, a frozen dataclass; None if there is none.
    Config: ClassVar[type | None] = None

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
    def from_config(cls, config: dict, custom_objects: Any = None) -> Any:
        """Rebuilds the model from what `get_config` returned."""
        if cls.Config is None:
            given = {k: v for k, v in config.items() if k != frozen_layers.FLAGS}
            model = super().from_config(given, custom_objects)
        else:
            dtype = keras.dtype_policies.get(config["dtype"])
            fields = made(cls.Config, config["config"])
            parts = config.get("parts", {})
            model = cls(fields, **parts, name=config["name"], dtype=dtype)
        return frozen_layers.restored(model, config)

    def get_compile_config(self) -> dict:
        """The optimizers by phase, with their decay exclusions, and the step's options.

        Empty with LoRA: the file holds the plain, merged model, and the state of the
        adapted one does not fit it.
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
            # As asked, since the meaning of "auto" differs between backends.
            "jit_compile": self._asked_jit_compile,
        }

    def compile_from_config(self, config: dict) -> None:
        """Compiles from what `get_compile_config` gave, and builds the optimizers."""
        variables = self._planned(config["accumulate"]).phase_variables
        with self.engine.stored():
            optimizers = {
                name: deserialize_optimizer(saved, variables[name])
                for name, saved in config["optimizer"].items()
            }
        self.compile(**{**config, "optimizer": optimizers})
