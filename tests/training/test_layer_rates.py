"""Layer-wise learning rates, beside torch's parameter groups and Keras's optimizers."""

import keras
import numpy as np
import pytest
import torch
from keras import layers, ops
from keras import optimizers as keras_optimizers
from keras.optimizers import SGD, Adam, AdamW

from tests.training.toys import step
from zoo.training import ConstantThenLinear, Model, Phase
from zoo.training.runs.checkpoint import Resume, save_checkpoint

SIZES = (3, 6, 5, 2)
DECAY, PEAK, STEPS = 0.5, 0.02, 10


@keras.saving.register_keras_serializable("tests")
class Tower(Model):
    """Three layers, of which the lower two are the stack."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = [
            layers.Dense(units, activation=activation, name=f"dense_{index}")
            for index, (units, activation) in enumerate(
                zip(SIZES[1:], ("tanh", "tanh", None), strict=True)
            )
        ]
        rng = np.random.default_rng(0)
        for part, size in zip(self.parts, SIZES[:-1], strict=True):
            part.build((None, size))
            part.kernel.assign(rng.normal(0, 0.5, (size, part.units)))

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x

    def stack(self):
        return [[self.parts[0]], [self.parts[1]]]

    def phases(self):
        return (Phase("fit", self.squares, [self]),)

    def squares(self, batch):
        x, y = batch
        return {"loss": ops.mean(ops.square(self(x) - y))}


def batches():
    rng = np.random.default_rng(1)
    shapes = ((8, SIZES[0]), (8, SIZES[-1]))
    return [
        tuple(rng.normal(size=shape).astype("float32") for shape in shapes)
        for _ in range(STEPS)
    ]


def weights_of(model):
    return [np.array(ops.convert_to_numpy(v)) for v in model.trainable_variables]


def adamw(**options):
    schedule = ConstantThenLinear(PEAK, STEPS + 2, warmup_steps=3)
    return AdamW(schedule, weight_decay=0.3, epsilon=1e-12, **options)


def torch_adamw(clip, momentum):
    """The same by torch: a group of parameters for each rate; weights, averages."""
    parameters = [torch.from_numpy(w).requires_grad_() for w in weights_of(Tower())]
    groups = [
        {
            "params": [parameter],
            "factor": factor,
            "weight_decay": 0.3 if parameter.ndim == 2 else 0.0,
        }
        for parameter, factor in zip(
            parameters, np.repeat([DECAY**2, DECAY, 1], 2), strict=True
        )
    ]
    optimizer = torch.optim.AdamW(groups, eps=1e-12)
    schedule = ConstantThenLinear(PEAK, STEPS + 2, warmup_steps=3)
    averages = None
    for number, (x, y) in enumerate(batches()):
        h = torch.from_numpy(x)
        for index in range(3):
            h = h @ parameters[2 * index] + parameters[2 * index + 1]
            h = h if index == 2 else torch.tanh(h)
        optimizer.zero_grad()
        (h - torch.from_numpy(y)).square().mean().backward()
        norm = sum(p.grad.square().sum() for p in parameters).sqrt()
        assert norm > clip
        for parameter in parameters:
            parameter.grad *= clip / norm
        rate = float(ops.convert_to_numpy(schedule(number)))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        optimizer.step()
        new = [p.detach().numpy().copy() for p in parameters]
        share = (1 - momentum) / (1 - momentum ** (number + 1))
        pairs = zip(averages or new, new, strict=True)
        averages = [a + share * (w - a) for a, w in pairs]
    return new, averages


@pytest.mark.parametrize("accumulate", [1, 2])
def test_ten_steps_are_those_of_torch_with_a_group_for_each_rate(accumulate):
    expected, averages = torch_adamw(clip=0.1, momentum=0.7)
    model = Tower()
    model.compile(
        adamw(global_clipnorm=0.1, use_ema=True, ema_momentum=0.7),
        layer_decay=DECAY,
        accumulate=accumulate,
    )
    for batch in batches():
        step(model, batch)
    for found, wanted in zip(weights_of(model), expected, strict=True):
        assert np.abs(found - wanted).max() <= 1e-6
    with model.averaged_weights():
        for found, wanted in zip(weights_of(model), averages, strict=True):
            assert np.abs(found - wanted).max() <= 1e-6


@pytest.mark.skipif(keras.config.backend() != "torch", reason="torch's own kernel")
@pytest.mark.parametrize("optimizer", [Adam, AdamW])
def test_torch_s_fused_kernel_is_told_each_rate(optimizer, monkeypatch):
    from zoo.engine.torch import memory_order

    told = []
    fused = memory_order._fused_adam

    def watched(optimizer, gradients, variables, learning_rate):
        told.append((len(variables), float(ops.convert_to_numpy(learning_rate))))
        fused(optimizer, gradients, variables, learning_rate)

    monkeypatch.setattr(memory_order, "_fused_adam", watched)
    model = Tower()
    model.compile(optimizer(PEAK), layer_decay=DECAY, run_eagerly=True)
    step(model, batches()[0])
    expected = [(2, PEAK * DECAY**2), (2, PEAK * DECAY), (2, PEAK)]
    assert told == [(count, pytest.approx(rate)) for count, rate in expected]


# === Every optimizer, on gradients that do not hang on the weights ===


class Slopes(Model):
    """Three matrices, whose gradients are the batch's mean."""

    def __init__(self):
        super().__init__()
        self.parts = [layers.Dense(4, use_bias=False, name=f"p{i}") for i in range(3)]
        for index, part in enumerate(self.parts):
            part.build((None, 3))
            part.kernel.assign(np.linspace(-1, 1, 12).reshape(3, 4) * (index + 1))

    def stack(self):
        return [[self.parts[0]], [self.parts[1]]]

    def phases(self):
        return (Phase("fit", self.slopes, [self]),)

    def slopes(self, batch):
        pairs = [(part.kernel, batch[str(i)]) for i, part in enumerate(self.parts)]
        return {"loss": sum(ops.sum(w * ops.mean(g, axis=0)) for w, g in pairs)}


OPTIMIZERS = {
    "SGD": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.2},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "Adagrad": {},
    "Adadelta": {},
    "Adam": {"amsgrad": True},
    "Adamax": {},
    "Nadam": {"weight_decay": 0.2},
    "Ftrl": {},
    "Lion": {"clipnorm": 0.1},
    "Lamb": {},
    "Adafactor": {},
    "Muon": {"weight_decay": 0.2},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_moves_each_layer_as_at_its_own_rate(name):
    def make(rate):
        return getattr(keras_optimizers, name)(rate, **OPTIMIZERS[name])

    rng = np.random.default_rng(2)
    gradients = [
        {str(i): rng.normal(size=(2, 3, 4)).astype("float32") for i in range(3)}
        for _ in range(4)
    ]
    model, plain = Slopes(), Slopes()
    model.compile(make(PEAK), layer_decay=DECAY, run_eagerly=True)
    for batch in gradients:
        step(model, batch)
    for index, factor in enumerate((DECAY**2, DECAY, 1)):
        kernel = plain.parts[index].kernel
        optimizer = make(PEAK * factor)
        optimizer.build([kernel])
        for batch in gradients:
            gradient = ops.convert_to_tensor(batch[str(index)].mean(axis=0))
            optimizer.apply([gradient], [kernel])
        found = ops.convert_to_numpy(model.parts[index].kernel)
        assert np.abs(found - ops.convert_to_numpy(kernel)).max() <= 1e-6


# === Compiled, saved, resumed, refused ===


def test_compiled_again_with_the_same_optimizer():
    model, once, optimizer = Tower(), Tower(), SGD(0.1, momentum=0.5, weight_decay=0.1)
    for decay in (0.3, DECAY):
        model.compile(optimizer, layer_decay=decay)
    once.compile(SGD(0.1, momentum=0.5, weight_decay=0.1), layer_decay=DECAY)
    for m in (model, once):
        step(m, batches()[0])
    for a, b in zip(weights_of(model), weights_of(once), strict=True):
        assert np.array_equal(a, b)
    model.compile(optimizer)
    assert not {"update_step", "_apply_weight_decay"} & set(vars(optimizer))


def trained(model, part):
    for batch in batches()[part]:
        step(model, batch)


def test_saved_and_resumed(tmp_path):
    model, resumed = Tower(), Tower()
    for m in (model, resumed):
        m.compile(adamw(), layer_decay=DECAY)
    trained(model, slice(3))
    save_checkpoint(tmp_path / "checkpoint", model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layer_decay == DECAY
    Resume(tmp_path / "checkpoint", resumed)
    trained(model, slice(3, 6))
    for m in (loaded, resumed):
        trained(m, slice(3, 6))
        for a, b in zip(weights_of(m), weights_of(model), strict=True):
            assert np.array_equal(a, b)


def test_what_does_not_fit():
    for decay in (0, 1.5):
        with pytest.raises(ValueError, match=f"at most 1, got {decay}"):
            Tower().compile(layer_decay=decay)
    adam = Adam()
    both = keras_optimizers.MultiOptimizer(lambda variable: adam)
    with pytest.raises(ValueError, match="layer_decay does not reach"):
        Tower().compile(both, layer_decay=DECAY)
    with pytest.raises(NotImplementedError, match="Flat .* has no stack"):
        Flat().compile(layer_decay=DECAY)


class Flat(Tower):
    stack = Model.stack
