from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops
from keras.optimizers import SGD, Adam

import zoo
from tests.training.toys import step, with_weights
from zoo.models.flows.flow import PRESETS
from zoo.presets.registry import count_parameters

SPLINE = zoo.NormalizingFlowConfig(
    (4, 4, 1),
    levels=4,
    dequantization="variational",
    stages=("squeeze", "squeeze"),
    steps=(2, 1),
    hidden=(3, 3),
    actnorm=True,
    num_blocks=1,
    num_bins=3,
    noise_steps=2,
    noise_hidden=2,
)
REALNVP = zoo.NormalizingFlowConfig(
    (4, 4, 1),
    levels=4,
    stages=("checkerboard", "squeeze", "checkerboard"),
    steps=(2, 1, 1),
    hidden=(3, 3, 3),
    actnorm=True,
    network="residual",
    num_blocks=1,
)
GLOW = zoo.NormalizingFlowConfig(
    (4, 4, 2),
    levels=4,
    num_classes=3,
    stages=("squeeze", "squeeze"),
    steps=(2, 1),
    hidden=(4, 4),
    mixing="convolution",
    actnorm=True,
    network="plain",
)
VARIATIONAL = replace(
    GLOW,
    image_shape=(4, 4, 1),
    num_classes=2,
    stages=("checkerboard",),
    steps=(2,),
    hidden=(3,),
    network="gated",
    num_blocks=1,
    dequantization="variational",
    noise_steps=2,
    noise_hidden=2,
    actnorm=False,
)
PLANE = zoo.NormalizingFlowConfig(
    (2,),
    levels=0,
    dequantization="none",
    stages=("halves",),
    steps=(4,),
    hidden=(6,),
    network="plain",
    num_bins=6,
)
CONFIGS = {
    "spline": SPLINE,
    "realnvp": REALNVP,
    "glow": GLOW,
    "variational": VARIATIONAL,
}
# Of `plain_torch_flow`, in float64; `test_reference_losses` recomputes them.
RATE, MOMENTUM = 1e-4, 0.5
LOSSES = {
    "spline": [
        55.87701479878555,
        52.08283537361222,
        60.23422273822757,
        45.97760355291684,
        56.36155877476153,
        43.17709907303902,
        49.950822327457644,
        52.272237540643,
        46.496332086905774,
        50.56377628536296,
    ],
    "realnvp": [
        88.32493481642577,
        77.61972659395387,
        69.6964125906611,
        62.83008152329827,
        57.04917647151645,
        39.51703874622374,
        52.153217302644656,
        45.501204655164486,
        34.04855124881616,
        39.48237370180558,
    ],
    "glow": [
        57.500064484683556,
        57.95207488387589,
        60.04769035742377,
        53.77182734169019,
        61.93111918309538,
        55.28425837003755,
        51.96978395350566,
        56.299974155994825,
        53.89830754883226,
        54.98304730724641,
    ],
    "variational": [
        39.668505066137904,
        32.824686333966284,
        31.84544018698379,
        38.609557308341586,
        39.696510167841865,
        39.36578772970642,
        36.52519195860813,
        28.205943722290755,
        36.08829094074938,
        27.165311306712322,
    ],
}


def batch(config, rows=6, seed=1):
    rng = np.random.default_rng(seed)
    shape = (rows, *config.image_shape)
    made = {
        "images": (rng.integers(4, size=shape) / 3).astype("float32"),
        # Away from 0 and 1, where logits are steep and float32 is coarse.
        "noise": rng.uniform(0.1, 0.9, shape).astype("float32"),
    }
    if config.num_classes:
        made["labels"] = rng.integers(config.num_classes, size=rows).astype("int32")
    return made


def flow(config, stddev=0.1, start=True):
    model = with_weights(zoo.NormalizingFlow(config, name="flow"), stddev=stddev)
    if start:
        data = batch(config, seed=99)
        model.seed.state.assign([1, 2])
        model.initialize(data["images"], data.get("labels"))
        for variable in model.variables:
            if variable.path.endswith("mean"):
                variable.assign(np.linspace(-0.5, 0.5, variable.shape[0]))
            if variable.path.endswith("stddev"):
                variable.assign(np.linspace(0.8, 1.5, variable.shape[0]))
    return model


def arrays(model):
    return {v.path: ops.convert_to_numpy(v).copy() for v in model.variables}


def trained(model):
    return [v.path for v in model.trainable_variables]


@pytest.mark.parametrize("name", CONFIGS)
def test_loss_and_gradients_are_plain_torchs(name):
    pytest.importorskip("torch")
    from tests.models import plain_torch_flow as plain

    config = CONFIGS[name]
    model, data = flow(config), batch(config)
    weights = arrays(model)
    del weights["noise/seed_generator_state"]
    expected, gradients = plain.loss_and_gradients(config, weights, data)
    model.compile(SGD(1.0))
    logs = step(model, data)
    assert float(logs["loss"]) == pytest.approx(expected, abs=1e-4)
    bits = expected / config.num_values / np.log(2)
    assert float(logs["bits_per_dim"]) == pytest.approx(bits, abs=1e-5)
    for path in trained(model):
        after = next(v for v in model.trainable_variables if v.path == path)
        # Gradients of the noise's networks are near 100, where float32 ends at 1e-5.
        most = max(1.0, np.abs(gradients[path]).max())
        # The spline's noise goes through a logit, which amplifies rounding: XLA's sums
        # in float32 are 1.2e-4 of the largest gradient away from float64's.
        close = 2e-4 if name == "spline" else 1e-4
        np.testing.assert_allclose(
            weights[path] - ops.convert_to_numpy(after),
            gradients[path],
            rtol=0,
            atol=close * most,
            err_msg=path,
        )


@pytest.mark.parametrize("name", LOSSES)
def test_ten_losses_are_those_of_every_backend(name):
    config = CONFIGS[name]
    model = flow(config)
    model.compile(SGD(RATE, momentum=MOMENTUM))
    batches = [batch(config, seed=seed) for seed in range(10)]
    found = [float(step(model, data)["loss"]) for data in batches]
    assert found == pytest.approx(LOSSES[name], rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_reference_losses(name):
    pytest.importorskip("torch")
    from tests.models import plain_torch_flow as plain

    config = CONFIGS[name]
    model = flow(config)
    weights = arrays(model)
    del weights["noise/seed_generator_state"]
    batches = [batch(config, seed=seed) for seed in range(10)]
    found = plain.losses(config, weights, trained(model), batches, RATE, MOMENTUM)
    assert found == pytest.approx(LOSSES[name], rel=1e-9)


@pytest.mark.parametrize("name", CONFIGS)
def test_decoding_undoes_encoding(name):
    model, data = flow(CONFIGS[name], start=False), batch(CONFIGS[name])
    labels = data.get("labels")
    latents = model.encode(data["images"], labels)
    assert latents.shape == (6, model.config.num_values)
    decoded = model.decode(latents, labels)
    np.testing.assert_allclose(decoded, data["images"], rtol=0, atol=1e-6)
    again = model.encode(decoded, labels)
    np.testing.assert_allclose(again, latents, rtol=0, atol=1e-4)


def test_density_of_the_plane_integrates_to_one():
    model = flow(PLANE, stddev=0.3, start=False)
    side = np.linspace(-8, 8, 401, dtype="float32")
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    density = np.exp(model.log_likelihood(grid, batch_size=65536).astype("float64"))
    assert density.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=1e-3)
    # And it is not the Gaussian that it starts from.
    gaussian = np.exp(-(grid**2).sum(1) / 2) / (2 * np.pi)
    assert np.abs(density - gaussian).max() > 0.01
    samples = model.sample(5, seed=0)
    assert samples.shape == (5, 2)
    np.testing.assert_allclose(
        model.decode(model.encode(samples)), samples, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("dequantization", ["uniform", "variational"])
def test_probabilities_of_all_images_sum_to_one(dequantization):
    # With noise forgotten, or its density or volume left out, they would not.
    config = replace(
        REALNVP,
        image_shape=(2, 2, 1),
        levels=2,
        dequantization=dequantization,
        stages=("checkerboard",),
        steps=(2,),
        hidden=(3,),
        noise_steps=2,
        noise_hidden=2,
    )
    model = flow(config, stddev=0.1, start=False)
    every = np.indices((2,) * 4).reshape(4, -1).T.reshape(-1, 2, 2, 1)
    draws = 4000
    images = np.repeat(every.astype("float32"), draws, axis=0)
    nats = model.log_likelihood(images, seed=3, batch_size=16384).reshape(16, -1)
    probabilities = np.exp(nats.astype("float64"))
    error = np.sqrt((probabilities.var(axis=1) / draws).sum())
    assert error < 0.02
    assert probabilities.mean(axis=1).sum() == pytest.approx(1, abs=float(4 * error))


def test_likelihood_of_images_on_levels_cannot_be_a_density():
    # Narrow densities around the levels would have any likelihood without noise.
    model = flow(replace(REALNVP, levels=256, actnorm=False), start=False)
    for variable in model.trainable_variables:
        if variable.path.endswith("last/kernel"):
            variable.assign(np.zeros(variable.shape))
        if variable.path.endswith(("scaling", "last/bias")):
            variable.assign(np.full(variable.shape, 3.0))
    images = np.full((2, 4, 4, 1), 0.5, "float32")
    assert (model.log_likelihood(images, num_samples=20) < 0).all()
    with pytest.raises(ValueError, match="dequantization must be 'none' for cont"):
        replace(REALNVP, dequantization="none")
    with pytest.raises(ValueError, match="dequantization must be 'none' for cont"):
        replace(REALNVP, levels=0)


def test_more_draws_give_a_tighter_bound():
    model, data = flow(SPLINE), batch(SPLINE, rows=64)
    one, many = (
        model.log_likelihood(data["images"], num_samples=count).mean()
        for count in (1, 30)
    )
    assert one < many
    same = model.log_likelihood(data["images"], seed=4)
    np.testing.assert_array_equal(same, model.log_likelihood(data["images"], seed=4))


def test_samples_depend_on_seed_labels_and_temperature():
    model = flow(GLOW)
    labels = np.asarray([0, 1, 2, 0])
    found = model.sample(4, labels=labels, seed=1)
    assert found.shape == (4, 4, 4, 2)
    assert found.min() >= 0 and found.max() <= 1
    np.testing.assert_allclose(found * 3, np.round(found * 3), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found, model.sample(4, labels=labels, seed=1))
    assert (found != model.sample(4, labels=labels, seed=2)).any()
    # Grey levels hide small differences in a few images.
    classes = np.arange(64) % 3
    one, other = (model.sample(64, labels=x, seed=1) for x in (classes, 2 - classes))
    assert (one != other).any()
    cold = model.sample(4, labels=np.zeros(4, int), temperature=0, seed=1)
    np.testing.assert_array_equal(cold[0], cold[1])
    assert model.sample(3).shape == (3, 4, 4, 2)


def test_interpolation_ends_in_the_images():
    model, data = flow(GLOW, start=False), batch(GLOW)
    images, labels = data["images"], np.asarray([0, 1])
    way = model.interpolate(images[:2], images[2:4], steps=3, labels=labels)
    assert way.shape == (2, 3, 4, 4, 2)
    np.testing.assert_allclose(way[:, 0], images[:2], rtol=0, atol=1e-6)
    np.testing.assert_allclose(way[:, -1], images[2:4], rtol=0, atol=1e-6)


def test_it_learns():
    model = zoo.NormalizingFlow(SPLINE)
    model.compile(Adam(0.02))
    images = np.repeat(batch(SPLINE, 4)["images"], 4, axis=0)
    history = model.fit(images, batch_size=16, epochs=30, verbose=0).history
    assert history["bits_per_dim"][-1] < history["bits_per_dim"][0] - 0.3
    started = [v for v in model.variables if v.path.endswith("started")]
    assert started and all(float(ops.convert_to_numpy(v)) == 1 for v in started)


def test_micro_batches_equal_one_batch():
    data, ends = batch(GLOW, 8), []
    for accumulate in (1, 4):
        model = flow(GLOW)
        model.compile(Adam(0.01), accumulate=accumulate)
        for _ in range(3):
            step(model, data)
        ends.append([ops.convert_to_numpy(v) for v in model.trainable_variables])
    for one, four in zip(*ends, strict=True):
        np.testing.assert_allclose(one, four, rtol=0, atol=1e-5)


def test_weights_of_images_count():
    model, data = flow(REALNVP), batch(REALNVP)
    weights = np.asarray([1, 0, 2, 0, 0, 1], "float32")
    model.compile(SGD(0.0))
    images = data["images"]
    found = model.test_on_batch(
        {"images": images, "noise": data["noise"]},
        np.empty((6, 0), "float32"),
        sample_weight=weights,
        return_dict=True,
    )
    nats = model.log_density(
        ops.convert_to_tensor(images), ops.convert_to_tensor(data["noise"])
    )
    expected = -np.average(ops.convert_to_numpy(nats), weights=weights)
    assert float(found["loss"]) == pytest.approx(expected, abs=1e-4)


def test_save_and_load(tmp_path):
    model, data = flow(GLOW), batch(GLOW)
    model.compile(Adam(0.01))
    step(model, data)
    model.save(tmp_path / "flow.keras")
    loaded = keras.saving.load_model(tmp_path / "flow.keras")
    assert float(step(loaded, data)["loss"]) == pytest.approx(
        float(step(model, data)["loss"]), abs=1e-5
    )
    model.save_to_preset(tmp_path / "preset")
    other = zoo.NormalizingFlow.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(other.sample(2, seed=0), model.sample(2, seed=0))


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_stays_near_float32(dtype):
    data = batch(REALNVP)
    loss = []
    for kind in ("float32", dtype):
        model = zoo.NormalizingFlow(REALNVP, dtype=kind)
        tensors = {k: ops.convert_to_tensor(v) for k, v in data.items()}
        terms = with_weights(model, stddev=0.2).likelihood_loss(tensors, False)
        loss.append(ops.convert_to_numpy(terms["loss"]).item())
    assert loss[1] == pytest.approx(loss[0], rel=0.01) and loss[0] != loss[1]
    model = zoo.NormalizingFlow(REALNVP, dtype=dtype)
    model.compile(Adam(0.01))
    assert np.isfinite(float(step(model, data)["loss"]))


def test_published_sizes():
    # The table of tutorial 11 of phlippe/uvadlc_notebooks.
    assert count_parameters("flow_simple_28") == 556_312
    assert count_parameters("flow_variational_28") == 628_388
    # 1,711,818 there, whose masked couplings also compute what the mask discards.
    assert count_parameters("flow_multiscale_28") == 1_657_038
    assert [*PRESETS] == [*zoo.catalog.MODELS["NormalizingFlow"].presets]


def test_bad_requests_say_what_to_do():
    bad = {
        "stages, steps and hidden must have one entry": {"steps": (1, 2)},
        "stages must be among .* got 'rows'": {"stages": ("rows",) * 3},
        "multiples of 8 for 3 stages 'squeeze'": {"stages": ("squeeze",) * 3},
        "can't be 'halves' where there is one channel": {"stages": ("halves",) * 3},
        "network must be one of": {"network": "dense"},
        "margin between 0 and 0.5": {"margin": 0.7},
        "num_bins must be from 2": {"num_bins": 1},
        "levels must be at least 2": {"levels": 1},
    }
    for message, change in bad.items():
        with pytest.raises(ValueError, match=message):
            replace(REALNVP, **change)
    model = zoo.NormalizingFlow(GLOW)
    images = batch(GLOW)["images"]
    with pytest.raises(ValueError, match="labels must be given .*num_classes=3"):
        model.encode(images)
    with pytest.raises(ValueError, match="Labels must be from 0 to 2, got .* 3"):
        model.sample(2, labels=[0, 3])
    with pytest.raises(ValueError, match="temperature must be a number from 0"):
        model.sample(2, temperature=-1.0)
    with pytest.raises(ValueError, match=r"shape \(N, 32\), got \(2, 5\)"):
        model.decode(np.zeros((2, 5)), labels=[0, 1])
    model.compile("adam")
    with pytest.raises(ValueError, match="needs one label for each image"):
        model.fit(images, verbose=0)
    with pytest.raises(ValueError, match=r"from 0 to 1, .*255"):
        model.fit(255 * images, np.zeros(6, "int32"), verbose=0)
    with pytest.raises(ValueError, match="must have the shape"):
        model.log_likelihood(images[:, :2], np.zeros(6, "int32"))
    plane = zoo.NormalizingFlow(PLANE)
    with pytest.raises(ValueError, match=r"shape \(N, 2\)"):
        plane.log_likelihood(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="must be finite"):
        plane.log_likelihood(np.full((3, 2), np.nan))
