"""Trains, saves and breaks models on virtual devices, in a process of its own.

    KERAS_BACKEND=jax python -m tests.distribution.cells FOLDER [PART ...]

Writes the results to FOLDER/PART.json, which `test_distribution.py` checks. Each
function in `PARTS` is one part; for torch, torchrun runs it in four processes.
"""

import contextlib
import json
import logging
import os
import sys
import types
import warnings
from pathlib import Path

BACKEND = os.environ["KERAS_BACKEND"]
if BACKEND == "jax":
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=4"
if BACKEND == "tensorflow":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 4,
    )
if BACKEND == "torch":
    import torch

    torch.set_num_threads(1)
    logging.getLogger("torch.__trace").setLevel(logging.CRITICAL)

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import ops  # noqa: E402

import zoo  # noqa: E402
from tests.distribution.models import CASES, QUICK, SLOW, compiled  # noqa: E402
from tests.training.toys import Regression, RegressionConfig  # noqa: E402
from zoo.distribution import use  # noqa: E402
from zoo.engine.current import engine  # noqa: E402
from zoo.layers import Dropout, MultiHeadAttention  # noqa: E402

warnings.simplefilter("error", UserWarning)

DTENSOR = {"strategy": "dtensor"} if BACKEND == "tensorflow" else {}
CELLS = {
    "data": {"data": 4, **DTENSOR},
    "model": {"data": 1, "model": 4},
    "data x model": {"data": 2, "model": 2},
    "sharded": {"data": 4, "shard_parameters": True},
}
if BACKEND == "tensorflow":
    CELLS["mirrored"] = {"data": 2}
# Both axes and sharded parameters at once: enough where compiling is slow.
SOME = [cell for cell in CELLS if cell not in ("data", "model")]
STEPS = 10


def block(cell):
    """Enters the devices of a cell; one device for None."""
    return use(**CELLS[cell]) if cell else contextlib.nullcontext()


def batches(case, count=STEPS):
    rng = np.random.default_rng(1)
    return [CASES[case][1](rng) for _ in range(count)]


def joined(batches):
    return keras.tree.map_structure(lambda *xs: np.concatenate(xs), *batches)


def rows(data, stop):
    return keras.tree.map_structure(lambda x: x[:stop], data)


class EachStep(keras.callbacks.Callback):
    """Records the loss terms of each batch."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_begin(self, batch, logs=None):
        if BACKEND != "jax":  # whose variables are unavailable during an epoch
            self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs):
        self.losses.append([float(logs[name]) for name in sorted(logs)])


def train(case, cell):
    """Runs ten steps of `fit`; returns each step's terms and the bytes per device."""
    with block(cell):
        model = compiled(CASES[case][0])
        losses = ten_steps(model, case)
        state = [*model.variables, *model.optimizer.variables]
        return {"losses": losses, "bytes": engine().held_bytes(state)}


def ten_steps(model, case):
    each = EachStep()
    data = joined(batches(case))
    rows = len(data) // STEPS if case == "gpt" else 16
    model.fit(data, batch_size=rows, shuffle=False, verbose=0, callbacks=[each])
    return each.losses


def matrix(folder):
    """Trains the quick cases in every cell and on one device."""
    return {case: in_cells(case) for case in QUICK}


def models(folder):
    """Trains the slow cases in every cell and on one device."""
    return {case: in_cells(case) for case in SLOW}


def in_cells(case):
    return {str(cell): train(case, cell) for cell in (None, *CELLS)}


def checkpoints(folder):
    """Saves in each cell, loads in each other, and returns the models' outputs."""
    data = rows(batches("gpt")[0][:, :-1], 8)
    found = {}
    for cell in (None, *CELLS):
        with block(cell):
            model = compiled(CASES["gpt"][0])
            model.fit(batches("gpt")[0], batch_size=16, verbose=0)
            model.save(folder / f"{cell}.keras")
            model.save_to_preset(folder / f"{cell}")
            found[f"{cell} itself"] = model.predict(data, verbose=0).tolist()
    for cell in (None, *CELLS):
        with block(cell):
            # One device loads all files; other cells load its file and one sharded both
            # ways.
            for source in CELLS if cell is None else (None, "data x model"):
                if source == cell:
                    continue
                model = keras.saving.load_model(folder / f"{source}.keras")
                found[f"{source} in {cell}"] = model.predict(data, verbose=0).tolist()
                updates = int(engine().numpy(model.optimizer.iterations))
                found[f"{source} in {cell} updates"] = updates
            weights = zoo.GPT.from_preset(folder / "model")
            found[f"preset bytes in {cell}"] = engine().held_bytes(weights.variables)
            found[f"preset in {cell}"] = weights.predict(data, verbose=0).tolist()
    return found


def ragged(folder):
    """Passes 37 rows in batches of 16, which leaves five over."""
    data = joined(batches("gpt", 3))[:37]
    found = {}
    for cell in (None, *SOME):
        with block(cell):
            model = compiled(CASES["gpt"][0], accumulate=1)
            evaluated = model.evaluate(data, batch_size=16, verbose=0)
            predicted = model.predict(data[:, :-1], batch_size=16, verbose=0)
            history = model.fit(
                data, batch_size=16, verbose=0, validation_data=(data,)
            ).history
            found[str(cell)] = {
                "loss": float(np.ravel(evaluated)[0]),
                "predicted": predicted.tolist(),
                "updates": int(engine().numpy(model.optimizer.iterations)),
                "val_loss": float(history["val_loss"][0]),
            }
    return found


def noise(folder):
    """Draws noise in `prepare`, to compare with one device's."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 3)).astype("f4"), rng.normal(size=(80, 1)).astype("f4")
    found = {}
    for cell in (None, *CELLS):
        if "model" in str(cell):  # the model has no layout
            continue
        with block(cell):
            keras.utils.set_random_seed(0)
            model = Regression(RegressionConfig(noise=0.5))
            for variable in model.trainable_variables:
                variable.assign(np.full(variable.shape, 0.3, "f4"))
            model.compile(keras.optimizers.SGD(0.1))
            history = model.fit(x, y, batch_size=16, shuffle=False, verbose=0).history
            found[str(cell)] = history["loss"]
    return found


def executions(folder):
    """Runs five batches at two steps per execution, so that the last is half full."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 3)).astype("f4"), rng.normal(size=(80, 1)).astype("f4")
    found = {}
    for steps in (1, 2):
        with use(**CELLS["data"]):
            keras.utils.set_random_seed(0)
            model = Regression()
            model.compile(keras.optimizers.SGD(0.1), steps_per_execution=steps)
            try:
                predicted = model.predict(x, batch_size=16, verbose=0)
                fitted = model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
                evaluated = model.evaluate(x, y, batch_size=16, verbose=0)
            except ValueError as error:
                found[steps] = str(error)
                continue
            found[steps] = {
                "predicted": predicted.tolist(),
                "loss": fitted.history["loss"],
                "evaluated": float(np.ravel(evaluated)[0]),
                "updates": int(engine().numpy(model.optimizer.iterations)),
            }
    return found


def slices(folder):
    """Slices, on TensorFlow, an array that is sharded along each axis in turn."""
    if BACKEND != "tensorflow":
        return {}
    from tensorflow.experimental import dtensor

    x = np.arange(64.0).reshape(4, 4, 4)
    taken = {
        "first": lambda x: x[0],
        "column": lambda x: x[:, -1],
        "new axis": lambda x: x[:, None],
        "place": lambda x: x[1, 2],
    }
    found = {
        name: {"one": take(x).tolist(), "ours": []} for name, take in taken.items()
    }
    with use(**CELLS["data"]):
        for axis in range(3):
            axes = tuple("data" if i == axis else None for i in range(3))
            for name, take in taken.items():
                with dtensor.default_mesh(engine().devices):
                    part = tf.function(take, autograph=False)(engine()._laid(x, axes))
                found[name]["ours"].append(engine().whole(part).numpy().tolist())
    return found


def dropout(folder):
    """Applies dropout to ones: no two shards may drop the same."""
    found = {}
    for cell in CELLS:
        with block(cell):
            model = _training(Dropout(0.5, seed=1))
            out = model.predict(np.ones((16, 64), "f4"), batch_size=16, verbose=0)
            found[cell] = out.tolist()
    return found


def attention_dropout(folder):
    """Attends to identical rows with dropout of attention probabilities."""
    found = {}
    x = np.random.default_rng(0).normal(size=(1, 6, 16)).astype("f4")
    for cell in (None, *CELLS):
        with block(cell):
            keras.utils.set_random_seed(0)
            layer = MultiHeadAttention(4, 16, attention_dropout=0.5)
            layer.build((None, None, 16))
            # With a given seed, all devices drop the same.
            layer.attention_dropout.seed = keras.random.SeedGenerator(1)
            model = _training(layer)
            out = model.predict(np.repeat(x, 16, axis=0), batch_size=16, verbose=0)
            found[str(cell)] = out.tolist()
    return found


def _training(layer):
    from zoo.training import Model

    class Training(Model):
        def __init__(self):
            super().__init__()
            self.layer = layer
            self.built = True

        def call(self, x):
            return self.layer(x, training=True)

    model = Training()
    model.plan = None
    return model


def float16(folder):
    """Overflows on the last device's rows alone, between good updates."""
    from tests.training.toys import GAN, gan_batches

    found = {}
    for cell in CELLS:
        if "model" in cell:
            continue
        with block(cell):
            keras.config.set_dtype_policy("mixed_float16")
            try:
                model = GAN()
                model.compile(
                    {
                        "discriminator": keras.optimizers.Adam(0.01),
                        "generator": keras.optimizers.Adam(0.01),
                    }
                )
            finally:
                keras.config.set_dtype_policy("float32")
            good = gan_batches(2, size=16)
            bad = {**good[0], "discriminator_factor": np.ones(16, "f4")}
            bad["discriminator_factor"][-1] = np.inf
            seen = []
            for batch in (good[0], bad, good[1]):
                before = _weights(model)
                model.train_on_batch(batch)
                after = _weights(model)
                seen.append(
                    {
                        "moved": [
                            not np.array_equal(a, b)
                            for a, b in zip(before, after, strict=True)
                        ],
                        "finite": all(np.isfinite(w).all() for w in after),
                        "scales": {
                            name: float(engine().numpy(scale.scale))
                            for name, scale in model.optimizer.loss_scales.items()
                        },
                        "equal": _equal_everywhere(model),
                    }
                )
            found[cell] = {
                "steps": seen,
                "phases": [v.path.split("/")[0] for v in model.trainable_variables],
            }
    return found


def _weights(model):
    return [engine().numpy(v) for v in model.trainable_variables]


def _equal_everywhere(model):
    """Returns whether all copies of all weights are equal."""
    if BACKEND == "tensorflow":
        copies = [
            [c.numpy() for c in v._value.values]
            for v in model.trainable_variables
            if hasattr(v._value, "values")
        ]
        return all(np.array_equal(c[0], x) for c in copies for x in c)
    if BACKEND == "torch":
        import torch.distributed as dist

        own = [w.tolist() for w in _weights(model)]
        all_of_them = [None] * dist.get_world_size()
        dist.all_gather_object(all_of_them, own)
        return all(x == own for x in all_of_them)
    return True


def precision(folder):
    """Takes three updates of GPT in 16 bits in every cell."""
    found = {}
    for policy in ("mixed_bfloat16", "mixed_float16"):
        for cell in (None, *SOME):
            if BACKEND == "jax" and policy == "mixed_float16":
                continue  # XLA on a CPU lacks this attention product
            with block(cell):
                keras.config.set_dtype_policy(policy)
                try:
                    model = compiled(CASES["gpt"][0], accumulate=1)
                finally:
                    keras.config.set_dtype_policy("float32")
                losses = [
                    float(np.ravel(model.train_on_batch(batch))[0])
                    for batch in batches("gpt", 3)
                ]
            found[f"{policy} {cell}"] = losses
    return found


def generation(folder):
    """Generates greedy text and scores it."""
    prompt = batches("gpt")[0][:2, :4]
    found = {}
    for cell in (None, *SOME):
        with block(cell):
            model = CASES["gpt"][0]()
            text = model.generate(prompt, 6, temperature=0)
            found[str(cell)] = {
                "text": np.asarray(text).tolist(),
                "scores": np.asarray(model.score(batches("gpt")[0][:4, :12])).tolist(),
            }
    return found


def errors(folder):
    """Records what is refused, and the messages."""
    found = {}

    def attempt(name, function):
        try:
            function()
        except (ValueError, TypeError) as error:
            found[name] = f"{type(error).__name__}: {error}"
        else:
            found[name] = "no error"

    cell = CELLS["data"]
    attempt("too many", lambda: use(data=64))
    attempt("no devices", lambda: use(data=0))
    attempt("strategy", lambda: use(data=4, strategy="horovod"))
    if BACKEND == "tensorflow":
        attempt("mirrored", lambda: use(data=2, model=2, strategy="mirrored"))
        os.environ["TF_CONFIG"] = "{}"
        attempt("hosts", lambda: use(data=2))
        del os.environ["TF_CONFIG"]
    outside = CASES["gpt"][0]()
    with use(**cell):
        attempt("outside", lambda: outside.compile("adam"))
        model = compiled(CASES["gpt"][0], accumulate=1)
        data = joined(batches("gpt"))
        attempt("batch", lambda: model.fit(data, batch_size=10, verbose=0))
        found["updates"] = int(engine().numpy(model.optimizer.iterations))
    attempt("left", lambda: model.fit(data, batch_size=16, verbose=0))
    with use(**CELLS["model"]):
        from zoo import GPT, GPTConfig

        attempt("heads", lambda: GPT(GPTConfig(64, 12, 1, 3, 12)))
    return found


def ways(folder):
    """Tries Keras's ways to call, read and set a model, its layers and variables."""
    return {str(cell): ways_in(cell, folder, WAYS) for cell in (None, *SOME)}


def trainer_ways(folder):
    """Tries the ways that compile something."""
    cells = (None, *SOME)
    return {str(cell): ways_in(cell, folder, TRAINER_WAYS) for cell in cells}


def ways_in(cell, folder, ways):
    with block(cell):
        model = compiled(CASES["gpt"][0], accumulate=1)
        data = batches("gpt")[0]
        x = data[:8, :-1]
        found = {}

        def seen(value):
            return [engine().numpy(x).tolist() for x in keras.tree.flatten(value)]

        # Of several processes, each has one device, or all share a block.
        own = folder / (cell or f"None {os.environ.get('RANK', '0')}")
        for name, way in ways.items():
            try:
                found[name] = seen(way(model, x, data, own))
            except Exception as error:
                found[name] = f"{type(error).__name__}: {error}"
        return found


def variable(model):
    """Returns a matrix that every cell with a model axis shards."""
    return max(model.trainable_variables, key=lambda v: np.prod(v.shape))


def set_weights(model, x, data, path):
    model.set_weights([w * 1.01 for w in model.get_weights()])
    return model.get_weights()


def assign(model, x, data, path):
    v = variable(model)
    before = v.numpy().copy()
    v.assign_add(np.ones(v.shape, "f4"))
    v.assign_sub(ops.ones(v.shape) * 0.25)
    v.assign(v * 0.5)
    after = v.numpy().copy()
    v.assign(before)
    return [after, v]


def files(model, x, data, path):
    model.save_weights(f"{path}.weights.h5")
    variable(model).assign(np.ones(variable(model).shape, "f4"))
    model.load_weights(f"{path}.weights.h5")
    return variable(model)


def whole_file(model, x, data, path):
    model.save(f"{path}.ways.keras")
    return keras.saving.load_model(f"{path}.ways.keras").get_weights()


def learning_rate(model, x, data, path):
    before = float(model.optimizer.learning_rate)
    model.optimizer.learning_rate = 0.01
    model.optimizer.learning_rate = float(model.optimizer.learning_rate) * 0.1
    return [before, float(model.optimizer.learning_rate)]


def summary(model, x, data, path):
    lines = []
    model.summary(print_fn=lambda line: lines.append(line))
    return [model.count_params(), sum("Total params" in line for line in lines)]


def callbacks(model, x, data, path):
    kept = keras.callbacks.ModelCheckpoint(f"{path}.best.weights.h5")
    kept.save_weights_only = True
    model.fit(
        data,
        batch_size=8,
        shuffle=False,
        verbose=0,
        callbacks=[
            kept,
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5),
            keras.callbacks.SwapEMAWeights(),
        ],
        validation_data=(data[:8],),
    )
    return model.get_weights()


def averages(model, x, data, path):
    with model.averaged_weights():
        return [model(x), model.get_weights()[0]]


WAYS = {
    "model(x)": lambda model, x, *_: model(x),
    "model(x, training=True)": lambda model, x, *_: model(x, training=True),
    "model(dict)": lambda model, x, *_: model({"token_ids": x}),
    "layer(x)": lambda model, x, *_: model.token_embedding(x),
    "convert_to_numpy(model(x))": lambda model, x, *_: ops.convert_to_numpy(model(x)),
    "model(x) + 1": lambda model, x, *_: ops.sum(model(x) + 1.0),
    "model.call": lambda model, x, *_: model.call(x),
    "stateless_call": lambda model, x, *_: model.stateless_call(
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
        x,
    )[0],
    "variable.numpy()": lambda model, *_: variable(model).numpy(),
    "np.array(variable)": lambda model, *_: np.array(variable(model)),
    "convert_to_numpy": lambda model, *_: ops.convert_to_numpy(variable(model)),
    "convert_to_tensor": lambda model, *_: ops.convert_to_tensor(variable(model)),
    "variable.value": lambda model, *_: variable(model).value,
    "variable * 2": lambda model, *_: variable(model) * 2,
    "variable[0]": lambda model, *_: variable(model)[0],
    "ops.sum(variable)": lambda model, *_: ops.sum(variable(model)),
    "ops.norm(variable)": lambda model, *_: ops.norm(variable(model)),
    "ops.matmul": lambda model, *_: ops.matmul(
        variable(model), ops.transpose(variable(model))
    ),
    "repr(variable)": lambda model, *_: int("Variable" in repr(variable(model))),
    "float(variable)": lambda model, *_: float(model.optimizer.iterations),
    "int(variable)": lambda model, *_: int(model.optimizer.iterations),
    "get_weights": lambda model, *_: model.get_weights(),
    "layer.get_weights": lambda model, *_: model.token_embedding.get_weights(),
    "set_weights": set_weights,
    "assign": assign,
    "optimizer": lambda model, *_: [np.array(v) for v in model.optimizer.variables],
    "learning_rate": learning_rate,
    "summary": summary,
    "load_own_variables": lambda model, *_: load_own_variables(model),
    "averaged_weights": averages,
    "save_weights": files,
}
TRAINER_WAYS = {
    "predict": lambda model, x, *_: model.predict(x, batch_size=8, verbose=0),
    "predict_on_batch": lambda model, x, *_: model.predict_on_batch(x),
    "test_on_batch": lambda model, x, data, _: model.test_on_batch(data),
    "train_on_batch": lambda model, x, data, _: model.train_on_batch(data),
    "evaluate": lambda model, x, data, _: model.evaluate(data, verbose=0),
    "weights after": lambda model, *_: model.get_weights(),
    "save": whole_file,
    "callbacks": callbacks,
}


def load_own_variables(model):
    store = {}
    model.optimizer.save_own_variables(store)
    model.optimizer.load_own_variables(store)
    return sorted(len(np.shape(x)) for x in store.values())


def others(folder):
    """Trains on devices that the user set up by other means."""
    found = {case: {} for case in QUICK}
    own = {"tensorflow": of_tensorflow, "jax": of_jax, "torch": of_torch}
    own[BACKEND](found)
    return found


def refusals(model, data):
    """Records the error of each way to train."""
    found = {}
    for name, call in (
        ("compile", lambda: model.compile(keras.optimizers.SGD(0.1))),
        ("fit", lambda: model.fit(data, batch_size=16, verbose=0)),
        ("evaluate", lambda: model.evaluate(data, batch_size=16, verbose=0)),
        ("predict", lambda: model.predict(data[:, :-1], verbose=0)),
        ("train_on_batch", lambda: model.train_on_batch(data[:16])),
    ):
        try:
            call()
        except ValueError as error:
            found[name] = str(error)
    return found


def of_tensorflow(found):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        found["gan"]["inside"] = ten_steps(compiled(CASES["gan"][0]), "gan")
        model = compiled(CASES["gpt"][0])
    found["gpt"]["outside"] = ten_steps(model, "gpt")
    with strategy.scope():
        model = CASES["gpt"][0]()
    model.compile(keras.optimizers.SGD(0.1))
    data = batches("gpt")[0]
    found["uses"] = {
        "generated": np.asarray(model.generate(data[:2, :4], 3)).shape,
        "predicted": model.predict(data[:5, :-1], verbose=0).shape,
        "evaluated": float(np.ravel(model.evaluate(data[:7], verbose=0))[0]),
        "called": tuple(model(data[:3, :-1]).shape),
        "weights": len(model.get_weights()),
    }
    four = tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(4)])
    with four.scope():
        found["gpt"]["four"] = ten_steps(compiled(CASES["gpt"][0]), "gpt")
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        found["gpt"]["one"] = ten_steps(compiled(CASES["gpt"][0]), "gpt")
    local = compiled(CASES["gpt"][0], accumulate=1)
    with strategy.scope():
        found["another scope"] = refusals(local, data)
    with tf.distribute.experimental.CentralStorageStrategy().scope():
        found["central storage"] = refusals(local, data)
        try:
            CASES["gpt"][0]()
        except ValueError as error:
            found["central storage"]["made"] = str(error)
    with keras.distribution.DataParallel(devices=["cpu:0", "cpu:1"]).scope():
        found["keras"] = refusals(local, data)
    with use(**CELLS["data"]):
        ours = compiled(CASES["gpt"][0], accumulate=1)
        with strategy.scope():
            found["within use"] = refusals(ours, data)
    with strategy.scope():
        try:
            use(data=2)
        except ValueError as error:
            found["use within"] = str(error)


def of_jax(found):
    devices = keras.distribution.list_devices()
    mesh = keras.distribution.DeviceMesh((2, 2), ["batch", "model"], devices)
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*embeddings?"] = ("model", None)
    with keras.distribution.DataParallel(devices=devices).scope():
        found["gan"]["DataParallel"] = ten_steps(compiled(CASES["gan"][0]), "gan")
    with keras.distribution.ModelParallel(layout_map=layout).scope():
        model = compiled(CASES["gpt"][0])
        found["gpt"]["ModelParallel"] = ten_steps(model, "gpt")
    variables = [*model.variables, *model.optimizer.variables]
    whole = [v.value.sharding.is_fully_replicated for v in variables]
    found["cut"] = whole.count(False)


def of_torch(found):
    from zoo.engine.torch.engine import TorchEngine

    with use(**CELLS["data"]):  # this joins the processes
        pass
    local = compiled(CASES["gpt"][0], accumulate=1)
    TorchEngine.own_processes = False  # as if the user had done it
    try:
        wrapped = torch.nn.parallel.DistributedDataParallel(local)
        data = batches("gpt")[0]
        found["processes"] = refusals(wrapped.module, data)
    finally:
        TorchEngine.own_processes = True
    # Keras has no distribution on torch, but accepts any object.
    nothing = types.SimpleNamespace(get_tensor_layout=lambda path: None)
    keras.distribution.set_distribution(nothing)
    try:
        found["keras"] = refusals(local, data)
    finally:
        keras.distribution.set_distribution(None)


def recipe(folder):
    """Completes a run on a 2x2 mesh, and resumes it from a checkpoint."""
    from recipes import gpt_text

    flags = {"smoke": True, "out": folder / "run", "mesh_data": 2, "mesh_model": 2}
    config = gpt_text.replace(gpt_text.VARIANTS["demo"], **flags, ema=0.9)
    first = gpt_text.main(config)
    again = gpt_text.main(gpt_text.replace(config, resume=True))
    return {"first": first, "again": again}


PARTS = (
    matrix,
    models,
    checkpoints,
    ragged,
    noise,
    executions,
    slices,
    dropout,
    attention_dropout,
    float16,
    precision,
    generation,
    errors,
    others,
    ways,
    trainer_ways,
    recipe,
)


def main(folder, *names):
    folder = Path(folder)
    main_process = os.environ.get("RANK", "0") == "0"
    if BACKEND == "tensorflow":  # DTensor has to start first
        with use(**CELLS["data"]):
            pass
    for part in PARTS:
        if not names or part.__name__ in names:
            found = part(folder)
            if main_process:
                (folder / f"{part.__name__}.json").write_text(json.dumps(found))
                print(part.__name__, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
