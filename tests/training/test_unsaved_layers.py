"""Attributes whose layers Keras's files would lack."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from zoo.training import Model, Phase

ON_TORCH = keras.config.backend() == "torch"
# Names of torch.nn.Module.
TORCHS = ["double", "half", "type", "float", "train"]


class Block(layers.Layer):
    """Holds a layer, or a list or dict of it, under any name."""

    def __init__(self, attribute, hold, **kwargs):
        super().__init__(**kwargs)
        dense = layers.Dense(2, name="inside")
        dense.build((None, 2))
        setattr(self, attribute, hold(dense))
        self.built = True


class Holder(Model):
    """Holds a layer by itself and by a block of its own."""

    def __init__(self, attribute="network", inner="network", hold=lambda x: x):
        super().__init__()
        self.block = Block(inner, hold)
        dense = layers.Dense(2, name="direct")
        dense.build((None, 2))
        setattr(self, attribute, hold(dense))
        self.built = True

    def phases(self):
        return (Phase("fit", lambda batch: {"loss": ops.sum(batch)}, [self]),)


HOLD = {
    "layer": lambda x: x,
    "list": lambda x: [x],
    "dict": lambda x: {"a": [x]},
}


# Of a file without what a dict of lists holds, before the error.
@pytest.mark.filterwarnings("ignore:Skipping nested container")
@pytest.mark.parametrize("hold", HOLD.values(), ids=HOLD)
@pytest.mark.parametrize("where", ["attribute", "inner"])
@pytest.mark.parametrize("name", ["vars", *(TORCHS if ON_TORCH else [])])
def test_a_name_that_keras_passes_over_is_refused(name, where, hold, tmp_path):
    model = Holder(**{where: name}, hold=hold)
    with pytest.raises(ValueError, match=rf"\.{name} holds layers .*{name}_layer"):
        model.compile("adam")
    with pytest.raises(ValueError, match=rf"\.{name} holds layers"):
        model.save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match=rf"\.{name} holds layers"):
        keras.saving.save_model(model, tmp_path / "model.keras")
    # What was written elsewhere, under a name that does not clash there.
    Holder(hold=hold).save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match=rf"\.{name} holds layers"):
        model.load_weights(tmp_path / "model.weights.h5")


@pytest.mark.parametrize("hold", HOLD.values(), ids=HOLD)
@pytest.mark.parametrize("name", ["network", "_network", *([] if ON_TORCH else TORCHS)])
def test_what_passes_is_saved(name, hold, tmp_path):
    models = [Holder(name, name, hold) for _ in range(2)]
    for model in models:
        model.compile("adam")
    models[0].save_weights(tmp_path / "model.weights.h5")
    models[1].load_weights(tmp_path / "model.weights.h5")
    for ours, theirs in zip(*(m.get_weights() for m in models), strict=True):
        assert np.array_equal(ours, theirs)


def test_a_second_name_does_the_same_work():
    model = Holder()
    # In a list of all layers too, which Keras saves.
    model.block.type = model.block.network
    model.compile("adam")
