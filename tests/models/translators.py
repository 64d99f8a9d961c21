"""Small Transformers with the same weights on every backend."""

import numpy as np
from keras import ops

from zoo import Transformer, TransformerConfig
from zoo.presets.weights import named_weights
from zoo.training import engine

CONFIG = TransformerConfig(17, 12, 1, 2, 16, 32, dropout=0.0)
RNG = np.random.default_rng(0)


def numpy_weights(model) -> dict[str, np.ndarray]:
    """None of them zero or one throughout."""
    rng = np.random.default_rng(1)
    arrays = {}
    for name, weight in sorted(named_weights(model).items()):
        array = 0.2 * rng.normal(size=weight.shape) + name.endswith("gamma")
        arrays[name] = array.astype("float32")
    return arrays


def made(config=CONFIG, **kwargs) -> Transformer:
    model = Transformer(config, **kwargs)
    arrays = numpy_weights(model)
    for name, weight in named_weights(model).items():
        weight.assign(arrays[name])
    return model


def compiled_logits(model, training=False):
    """A function from (sources, targets) to scores; compiled, for JAX."""
    forward = engine().compile(
        lambda *pair: model(pair, training=training), lambda: model.variables
    )
    return lambda pair: ops.convert_to_numpy(forward(*pair))
