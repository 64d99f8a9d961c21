"""`use`: one description of the devices, and the engine that applies it."""

import importlib

import keras

from zoo.distribution.strategy import Strategy
from zoo.engine.current import activate, deactivate
from zoo.engine.layout import Mesh

# The engine's module and class, by backend and strategy; the first is the default.
STRATEGIES = {
    "tensorflow": {
        "mirrored": ("tensorflow_mirrored", "MirroredEngine"),
        "dtensor": ("tensorflow_dtensor", "DTensorEngine"),
    },
    "jax": {"gspmd": ("jax_mesh", "JaxMeshEngine")},
    "torch": {"dtensor": ("torch_mesh", "TorchMeshEngine")},
}


class use:  # noqa: N801 - reads as a verb: `with use(data=4): ...`
    """Spreads everything made from here on over several devices.

    A `with` block limits it to the block; a plain call applies to the rest of the
    program. Make, compile and fit the model inside as usual: its losses are those of
    one device on the same global batch.

        with zoo.distribution.use(data=4, model=2):
            model = zoo.GPT(config)
            model.compile(...)
            model.fit(dataset, batch_size=64)   # 64 in all, 16 per data shard

    Args:
        data: devices that share each batch; -1 for all that `model` leaves.
        model: devices that share each weight, by the model's `layout` table.
        shard_parameters: whether to also cut weights and the optimizer's state along
            the data axis (FSDP, ZeRO-3).
        strategy: on TensorFlow, "mirrored" (MirroredStrategy; the default for a plain
            data axis) or "dtensor" (the default otherwise). Other backends have one
            strategy each.

    Raises:
        ValueError: the devices do not exist, or the backend does not support this.
            Nothing has been started then.
    """

    def __init__(
        self,
        data: int = -1,
        model: int = 1,
        *,
        shard_parameters: bool = False,
        strategy: str | None = None,
    ) -> None:
        for name, value, least in (("data", data, -1), ("model", model, 1)):
            if not isinstance(value, int) or value < least or value == 0:
                rest = ", or -1 for all devices" if name == "data" else ""
                raise ValueError(
                    f"{name} must be a positive number of devices{rest}, got {value!r}."
                )
        backend = keras.config.backend()
        chosen = self._chosen(backend, strategy, model > 1 or shard_parameters)
        module, name = STRATEGIES[backend][chosen]
        kind: type[Strategy] = getattr(
            importlib.import_module(f"zoo.distribution.{module}"), name
        )
        there = kind.count_devices()
        if data == -1:
            data = max(there // model, 1)
        mesh = Mesh(data, model, shard_parameters)
        if mesh.size > there:
            raise ValueError(
                f"data={data} x model={model} needs {mesh.size} devices, but there "
                f"are {there}. {kind.MORE_DEVICES}"
            )
        self.engine = kind(mesh)
        self.engine.enter()
        activate(self.engine)

    @staticmethod
    def _chosen(backend: str, strategy: str | None, sharded: bool) -> str:
        known = STRATEGIES[backend]
        if strategy is None:
            return "dtensor" if "dtensor" in known and sharded else next(iter(known))
        if strategy not in known:
            raise ValueError(
                f"strategy must be one of {list(known)} on the {backend} backend, got "
                f"{strategy!r}."
            )
        if strategy == "mirrored" and sharded:
            raise ValueError(
                "MirroredStrategy keeps whole weights on every device. For a model "
                'axis or shard_parameters use strategy="dtensor".'
            )
        return strategy

    def __enter__(self) -> "use":
        return self

    def __exit__(self, *error: object) -> None:
        deactivate(self.engine)
        self.engine.exit()
