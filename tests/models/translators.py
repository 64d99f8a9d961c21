"""Small Transformers with the same weights on every backend."""

import numpy as np
from keras import ops

from tests.models.numpy_weights import with_numpy_weights
from zoo import Transformer, TransformerConfig
from zoo.engine.current import engine

CONFIG = TransformerConfig(17, 12, 1, 2, 16, 32, dropout=0.0)
RNG = np.random.default_rng(0)


def made(config=CONFIG, **kwargs) -> Transformer:
    return with_numpy_weights(Transformer(config, **kwargs))


def compiled_logits(model, training=False):
    """A compiled function from (sources, targets) to logits."""
    forward = engine().compile(
        lambda *pair: model(pair, training=training), lambda: model.variables
    )
    return lambda pair: ops.convert_to_numpy(forward(*pair))
