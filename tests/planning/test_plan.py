"""Plans against reality: variables byte by byte, and XLA's memory analysis."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import zoo
from zoo.models.language.gpt import GPT, PRESETS, GPTConfig
from zoo.planning.accelerators import DEVICES
from zoo.planning.config import PlanConfig
from zoo.planning.inventory import inventory
from zoo.planning.picture import amount, draw, parts
from zoo.planning.plan import flops_per_token, plan, ways_to_fit

ROOT = Path(__file__).parents[2]
SMALL = GPTConfig(256, 64, 2, 4, 128)
BIG = PlanConfig(
    "gpt3_175b",
    mesh_data=16,
    mesh_model=8,
    batch_size=1536,
    precision="mixed_bfloat16",
    attention="flash",
)
TABLE = (
    (r"embeddings$", (None, "model")),
    (r"(query_key_value|expand)/kernel$", (None, "model")),
    (r"(query_key_value|expand)/bias$", ("model",)),
    (r"(output|contract)/kernel$", ("model", None)),
)

OPTIMIZERS = {
    "adamw": lambda **kw: keras.optimizers.AdamW(**kw),
    "sgd": lambda **kw: keras.optimizers.SGD(**kw),
    "momentum": lambda **kw: keras.optimizers.SGD(momentum=0.9, **kw),
    "lion": lambda **kw: keras.optimizers.Lion(**kw),
    "muon": lambda **kw: keras.optimizers.Muon(
        exclude_layers=["positions", "embedding"], **kw
    ),
}


def nbytes(variables):
    return sum(keras.ops.convert_to_numpy(v).nbytes for v in variables)


@pytest.mark.parametrize(
    ("optimizer", "precision", "ema"),
    [(name, "float32", False) for name in OPTIMIZERS]
    + [("adamw", "mixed_float16", False), ("momentum", "mixed_bfloat16", True)],
)
def test_state_is_exact(optimizer, precision, ema):
    model = GPT(SMALL, dtype=precision)
    model.compile(OPTIMIZERS[optimizer](use_ema=ema))
    config = PlanConfig("own", optimizer=optimizer, precision=precision, ema=ema)
    planned = plan(config, SMALL)
    assert planned.parameters == nbytes(model.trainable_variables)
    assert planned.gradients == planned.parameters
    assert planned.optimizer == nbytes(model.optimizer.variables)
    assert planned.num_parameters == model.count_params()


def test_counting_leaves_nothing_behind():
    from keras.src.backend.common import global_state

    inventory.cache_clear()
    plan(PlanConfig("own"), SMALL)
    assert not global_state.get_global_attribute("uninitialized_variables", [])


# === Activations, against XLA ===

SIZES = {
    "small": (SMALL, 8),
    "wide": (GPTConfig(1000, 128, 4, 4, 256), 8),
    "large_vocabulary": (GPTConfig(5000, 256, 6, 6, 384), 4),
    "long_context": (GPTConfig(256, 512, 2, 4, 128), 4),
    "post_norm_relu": (
        GPTConfig(256, 64, 3, 4, 128, norm_position="post", activation="relu"),
        8,
    ),
    "exact_gelu_dropout": (
        GPTConfig(256, 64, 3, 4, 128, dropout=0.1, activation="gelu"),
        8,
    ),
    "attention_dropout": (
        GPTConfig(256, 64, 3, 4, 128, dropout=0.1, attention_dropout=0.1),
        8,
    ),
}
JAX_ONLY = pytest.mark.skipif(
    keras.config.backend() != "jax", reason="compares with XLA by way of JAX"
)
TOLERANCE = 0.15


def compiled(model_config, rows, clip, accumulate):
    """Compiles the step that `fit` runs; returns it and the bytes of its arguments."""
    import jax

    model = GPT(model_config)
    optimizer = keras.optimizers.AdamW(global_clipnorm=1.0 if clip else None)
    model.compile(optimizer, accumulate=accumulate)
    kinds = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    state = tuple([v.value for v in kind] for kind in kinds)
    ids = np.zeros((rows, model_config.context_length + 1), "int32")
    # Keras donates the state's memory, as here. XLA's CPU compiler drops the barriers
    # that delay recomputation until the backward pass, which makes remat useless;
    # compilers for GPUs and TPUs keep them until everything is scheduled.
    options = {"xla_disable_hlo_passes": "cse_barrier_expander"}
    lowered = jax.jit(model.train_step, donate_argnums=0).lower(state, (ids,))
    others = nbytes(model.non_trainable_variables) + nbytes(model.metrics_variables)
    return lowered.compile(compiler_options=options), others + ids.nbytes


def check_against_xla(size, remat, clip=True, accumulate=1):
    model_config, rows = SIZES[size]
    config = PlanConfig(
        "own", batch_size=rows, clip=clip, accumulate=accumulate, remat=remat
    )
    planned = plan(config, model_config)
    step, others = compiled(
        dataclasses.replace(model_config, remat=remat), rows, clip, accumulate
    )
    memory = step.memory_analysis()
    state = planned.parameters + planned.optimizer
    assert memory.argument_size_in_bytes == state + others
    assert planned.peaks[remat].bytes == pytest.approx(
        memory.temp_size_in_bytes, rel=TOLERANCE
    )
    print(
        f"{size} remat={remat} clip={clip} accumulate={accumulate}: planned "
        f"{amount(planned.peaks[remat].bytes, 'B')} {planned.peaks[remat].name}, XLA "
        f"{amount(memory.temp_size_in_bytes, 'B')}, ratio "
        f"{planned.peaks[remat].bytes / memory.temp_size_in_bytes:.3f}"
    )


@JAX_ONLY
@pytest.mark.parametrize("remat", [False, True])
def test_activations_are_near_xlas(remat):
    check_against_xla("small", remat)


@JAX_ONLY
@pytest.mark.slow
@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("size", list(SIZES)[1:])
def test_activations_are_near_xlas_in_all_sizes(size, remat):
    check_against_xla(size, remat)


@JAX_ONLY
@pytest.mark.slow
@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize(("clip", "accumulate"), [(False, 1), (True, 2), (True, 4)])
@pytest.mark.parametrize("size", ["small", "wide"])
def test_gradients_that_do_not_wait_are_near_xlas(size, clip, accumulate, remat):
    check_against_xla(size, remat, clip, accumulate)


def test_flash_attention_keeps_no_maps():
    plain = plan(PlanConfig("gpt2", batch_size=8))
    flash = plan(PlanConfig("gpt2", batch_size=8, attention="flash"))
    maps = 3 * 8 * 12 * 1024 * 1024 * 4  # 3 tensors, B, N, T, T, float32
    logarithms = 8 * 12 * 1024 * 4
    kept = [sum(p.activations.values()) for p in (plain, flash)]
    assert kept[0] - kept[1] == maps - logarithms


# === Several devices ===


def test_data_parallel_devices_hold_all_and_reduce_gradients():
    one = plan(PlanConfig("gpt2", batch_size=8))
    eight = plan(PlanConfig("gpt2", mesh_data=8, batch_size=64))
    assert eight.parameters == one.parameters
    assert eight.optimizer == one.optimizer
    assert eight.peaks == one.peaks
    assert not one.communication
    (sent,) = eight.communication.values()
    assert sent == 2 * 7 / 8 * eight.parameters


def test_sharded_parameters_are_gathered_twice_and_scattered_once():
    whole = plan(PlanConfig("gpt3_1_3b", mesh_data=8, batch_size=8))
    cut = plan(
        PlanConfig("gpt3_1_3b", mesh_data=8, batch_size=8, shard_parameters=True)
    )
    # Everything but biases and norms is sharded.
    assert cut.parameters == pytest.approx(whole.parameters / 8, rel=0.01)
    assert cut.optimizer == pytest.approx(whole.optimizer / 8, rel=0.01)
    sent = sum(cut.communication.values())
    assert sent == pytest.approx(3 * 7 / 8 * whole.parameters, rel=0.01)
    again = dataclasses.replace(cut.config, batch_size=16, accumulate=2)
    assert sum(plan(again).communication.values()) == pytest.approx(
        5 * 7 / 8 * whole.parameters, rel=0.01
    )


def test_the_model_axis_cuts_weights_heads_and_hidden_units():
    one = plan(PlanConfig("own"), SMALL, TABLE)
    two = plan(PlanConfig("own", mesh_model=2), SMALL, TABLE)
    cut = sum(
        weight.bytes
        for weight in inventory(GPT, SMALL, "float32", "adamw", False).weights
        if not weight.path.endswith(("gamma", "beta", "output/bias", "contract/bias"))
    )
    assert two.parameters == one.parameters - cut // 2
    # The embedding is sharded along its width, and so are the residual stream and
    # norms.
    for name, size in one.activations.items():
        assert two.activations[name] == size // 2
    stream = 64 * 128 * 4
    # Two all-reduces per block and pass, each sending (m-1)/m twice.
    forward = two.communication["activations, all-reduce in the forward pass (model)"]
    assert forward == 2 * SMALL.num_layers * 2 * 1 / 2 * stream
    logits = two.communication["logits, all-reduce (model)"]
    assert logits == 2 * 1 / 2 * 64 * 256 * 4


def test_a_vocabulary_that_is_cut_leaves_the_stream_whole():
    table = ((r"token_embedding/embeddings$", ("model", None)), *TABLE)
    one = plan(PlanConfig("own"), SMALL, table)
    two = plan(PlanConfig("own", mesh_model=2), SMALL, table)
    assert "logits, all-reduce (model)" not in two.communication
    assert two.communication["embeddings, all-reduce (model)"] > 0
    halved = ("queries", "attended", "exponentials", "attention prob", "feed-forward h")
    for name, size in one.activations.items():
        pieces = 2 if name.startswith(halved) else 1
        assert two.activations[name] == size // pieces


ON_FOUR_DEVICES = """
import dataclasses, json, sys
import jax, keras
from jax.sharding import NamedSharding, PartitionSpec
import zoo.distribution
from zoo.planning.config import PlanConfig
from zoo.planning.plan import plan
from zoo.models.language.gpt import GPT, GPTConfig

model_config = GPTConfig(1000, 128, 4, 4, 256)
config = PlanConfig("own", batch_size=8, **json.loads(sys.argv[1]))
planned = plan(config, model_config)
with zoo.distribution.use(
    data=config.mesh_data,
    model=config.mesh_model,
    shard_parameters=config.shard_parameters,
):
    model = GPT(dataclasses.replace(model_config, remat=config.remat))
    model.compile(keras.optimizers.AdamW(global_clipnorm=1.0))
    kinds = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    state = tuple([v.value for v in kind] for kind in kinds)
    mesh = model.trainable_variables[0].value.sharding.mesh
    rows = NamedSharding(mesh, PartitionSpec("data"))
    ids = jax.ShapeDtypeStruct((8, 129), "int32", sharding=rows)
    lowered = jax.jit(model.train_step, donate_argnums=0).lower(state, (ids,))
options = {"xla_disable_hlo_passes": "cse_barrier_expander"}
memory = lowered.compile(compiler_options=options).memory_analysis()
others = 2 * 48 * 4 + 8 * 129 * 4 // config.mesh_data
print(json.dumps({
    "state": [planned.parameters + planned.optimizer + others,
              memory.argument_size_in_bytes],
    "peak": [planned.peaks[config.remat].bytes, memory.temp_size_in_bytes],
}))
"""


@JAX_ONLY
@pytest.mark.slow
@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize(
    "mesh",
    [
        {"mesh_data": 4},
        {"mesh_model": 4},
        {"mesh_data": 2, "mesh_model": 2},
        {"mesh_data": 4, "shard_parameters": True},
    ],
    ids=str,
)
def test_a_device_of_four_is_near_xlas(mesh, remat):
    flags = os.environ.get("XLA_FLAGS", "")
    done = subprocess.run(
        [sys.executable, "-c", ON_FOUR_DEVICES, json.dumps(mesh | {"remat": remat})],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ
        | {"XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count=4"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["state"][0] == found["state"][1]
    assert found["peak"][0] == pytest.approx(found["peak"][1], rel=TOLERANCE)


def test_a_layout_is_needed_for_a_model_axis():
    with pytest.raises(ValueError, match="no layout"):
        plan(PlanConfig("own", mesh_model=2), SMALL, ())


# === GPT-3 ===


def test_gpt3_is_planned_without_being_made():
    planned = plan(BIG)
    assert planned.num_parameters == zoo.presets.count_parameters("gpt3_175b")
    assert planned.parameters == pytest.approx(174.6e9 * 4 / 8, rel=0.001)


def test_gpt3_takes_the_published_computation():
    planned = plan(dataclasses.replace(BIG, tokens=300e9))
    total = planned.flops * planned.steps
    # Brown et al. 2020, table D.1, which omits attention's T·T products.
    attention = 12 * 96 * 12288 * 2048 * 300e9
    assert total - attention == pytest.approx(3.14e23, rel=0.005)


def test_days_follow_from_flops_and_devices():
    planned = plan(dataclasses.replace(BIG, tokens=300e9, device="a100_80gb"))
    seconds = planned.flops * planned.steps / (16 * 8 * 312e12 * 0.4)
    assert planned.days == pytest.approx(seconds / 86400)
    custom = plan(
        dataclasses.replace(
            BIG, tokens=300e9, device="mine", device_memory=80, device_tflops=624
        )
    )
    assert custom.days == pytest.approx(planned.days / 2)


def test_remat_costs_a_forward_pass_of_the_blocks():
    held = inventory(GPT, PRESETS["gpt2"], "float32", "adamw", False)
    kept, again = (
        flops_per_token(PRESETS["gpt2"], held.weights, remat) for remat in (False, True)
    )
    blocks = sum(math.prod(w.shape) for w in held.weights if "block_" in w.path)
    assert again - kept == 2 * blocks + 4 * 12 * 768 * 1024


# === Verdicts ===


@pytest.mark.slow
def test_what_is_too_large_gets_the_fewest_changes_that_help():
    asked = plan(
        PlanConfig(
            "gpt2_xl", batch_size=16, device="a100_80gb", precision="mixed_bfloat16"
        )
    )
    assert not asked.fits
    ways = ways_to_fit(asked)
    assert {"remat": True} in ways
    for way in ways:
        assert plan(dataclasses.replace(asked.config, **way)).fits
    assert plan(dataclasses.replace(asked.config, remat=True)).fits
    hopeless = plan(PlanConfig("gpt3_175b", device="t4"))
    assert ways_to_fit(hopeless) == []


def test_shown_parts_add_up():
    planned = plan(BIG)
    for remat in (False, True):
        assert sum(parts(planned, remat).values()) == planned.total(remat)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "gpt7"}, "gpt7.*gpt3_175b"),
        ({"device": "abacus"}, "abacus.*h100"),
        ({"mesh_model": 5}, "mesh_model=5.*num_heads=12"),
        ({"mesh_data": 3, "batch_size": 8}, "batch_size=8.*mesh_data=3.*multiple of 3"),
        ({"accumulate": 3, "batch_size": 8}, "batch_size=8.*accumulate=3"),
        ({"mesh_data": 0}, "mesh_data must be at least 1, got 0"),
        ({"batch_size": -1}, "batch_size must be at least 0, got -1"),
        ({"utilisation": 40.0}, r"utilisation must be in \(0, 1\], got 40"),
        ({"device": "t4", "precision": "mixed_bfloat16"}, "t4 has no bfloat16"),
        ({"shard_parameters": True}, "mesh_data=1"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        plan(dataclasses.replace(PlanConfig("gpt2"), **change))


def test_devices_are_plausible():
    for device in DEVICES.values():
        assert 16e9 <= device.memory <= 300e9
        assert device.single < device.half < 5e15


def test_amounts_read_well():
    assert amount(3.2e9, "B") == "3.20 GB"
    assert amount(999, "B") == "1.00 kB"
    assert amount(3.14e23, "FLOP") == "314 ZFLOP"
    assert amount(0, "B") == "–"


def test_the_picture_is_drawn(tmp_path):
    from matplotlib.image import imread

    draw(plan(PlanConfig("gpt2", batch_size=8)), tmp_path / "plan.png")
    assert imread(tmp_path / "plan.png").shape[:2] == (600, 900)
