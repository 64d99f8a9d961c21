"""Diffusion: its arithmetic, training, requests, presets and exports."""

import math

import keras
import numpy as np
import pytest
from keras import ops

import zoo
from zoo.models.diffusion.config import PRESETS
from zoo.models.diffusion.diffusion import Diffusion, DiffusionConfig
from zoo.models.diffusion.noising import TIMES, Noising
from zoo.models.diffusion.units import Units
from zoo.tokenizers.tokenizer import Tokenizer

SIZE = {
    "image_shape": (4, 4, 1),
    "levels": 5,
    "width": 8,
    "multipliers": (1, 2),
    "num_residual_blocks": 1,
    "groups": 4,
    "num_heads": 2,
    "condition_dim": 6,
}
TINY = DiffusionConfig(**SIZE, num_classes=3)


def made(config=TINY, stddev=0.1, **kwargs):
    """A model whose weights, zeros among them, are drawn by NumPy."""
    keras.utils.set_random_seed(0)
    model = Diffusion(config, **kwargs)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(0, stddev, variable.shape))
    return model


def images(count, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.integers(5, size=(count, 4, 4, 1)) / 4).astype("float32")


def full_batch(count, seed=0):
    rng = np.random.default_rng(seed)
    shape = (count, 4, 4, 1)
    return {
        "images": images(count, seed),
        "conditions": rng.integers(3, size=count, dtype="int32"),
        "times": rng.random(count, dtype="float32"),
        "noise": rng.normal(size=shape).astype("float32"),
        "jitter": rng.random(shape, dtype="float32"),
        "drops": (rng.random(count) < 0.3).astype("float32"),
    }


@pytest.fixture(scope="module")
def model():
    return made()


# === Arithmetic ===


@pytest.mark.parametrize("times", TIMES)
def test_laws_of_times_keep_to_the_path(times):
    for name in ("flow", "ddpm_linear", "edm"):
        noising = Noising(name, "velocity", "uniform", times)
        places = ops.convert_to_tensor(np.linspace(0, 1, 65, dtype="float32"))
        found = ops.convert_to_numpy(noising.training_times(places))
        assert np.isfinite(found).all() and (np.diff(found) >= 0).all()
        assert noising.path.first - 1e-7 <= found[0] <= found[-1] <= 1 + 1e-6
        grid = noising.grid(5)
        assert len(grid) == 6 and grid[0] == 1 and grid[-1] == 0
        assert (np.diff(grid) < 0).all()


@pytest.mark.parametrize("space", ["linear", "logit"])
def test_units_undo_each_other_and_know_the_volume(space):
    units, x = Units(5, space), images(4)
    jitter = np.random.default_rng(1).uniform(0.01, 0.99, x.shape).astype("float32")
    data = ops.convert_to_numpy(units.to_data(x, jitter))
    np.testing.assert_allclose(
        ops.convert_to_numpy(units.to_images(data)), x, atol=1e-6
    )
    # By finite differences: d data / d jitter is the volume of a level.
    step = 1e-2
    ahead, behind = (
        ops.convert_to_numpy(units.to_data(x, jitter + d)).astype("float64")
        for d in (step, -step)
    )
    slope = np.log((ahead - behind) / (2 * step)).reshape(4, -1).sum(1)
    np.testing.assert_allclose(units.log_volume(data), slope, atol=0.15)


# === Training ===


def test_the_loss_is_its_formula(model):
    batch = full_batch(6)
    model.compile("adam")
    logs = model.test_on_batch(batch, return_dict=True)
    data = (np.round(batch["images"] * 4) + batch["jitter"]) * (2 / 5) - 1
    t = batch["times"][:, None, None, None]
    noised = (1 - t) * data + t * batch["noise"]
    told = np.where(batch["drops"] > 0.5, 3, batch["conditions"])
    vectors = model.condition(told)
    predicted = ops.convert_to_numpy(model.network(noised, batch["times"], vectors))
    error = np.square(predicted - (batch["noise"] - data)).mean()
    assert logs["loss"] == pytest.approx(error, rel=1e-5)


def test_example_weights_count(model):
    batch, weights = full_batch(6), np.array([1, 0, 2, 0, 0, 1], "float32")
    model.compile("adam")
    rows = np.repeat(np.arange(6), weights.astype(int))
    repeated = {name: x[rows] for name, x in batch.items()}
    found, same = (
        model.evaluate(x, sample_weight=w, batch_size=6, verbose=0, return_dict=True)
        for x, w in ((batch, weights), (repeated, None))
    )
    assert found["loss"] == pytest.approx(same["loss"], rel=1e-5)


def test_micro_batches_equal_one_batch():
    found = {}
    for parts in (1, 2):
        each = made()
        each.compile(keras.optimizers.SGD(0.05), accumulate=parts)
        losses = [
            float(each.train_on_batch(full_batch(8, i), return_dict=True)["loss"])
            for i in range(3)
        ]
        found[parts] = losses, [ops.convert_to_numpy(v) for v in each.variables]
    np.testing.assert_allclose(found[2][0], found[1][0], rtol=1e-5)
    for a, b in zip(found[1][1], found[2][1], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_stays_near_float32(dtype):
    losses = {}
    for policy in ("float32", dtype):
        each = made(dtype=policy)
        each.compile("adam")
        logs = each.test_on_batch(full_batch(8), return_dict=True)
        losses[policy] = float(logs["loss"])
        each.train_on_batch(full_batch(8))
        for variable in each.variables:
            assert np.isfinite(ops.convert_to_numpy(variable)).all()
    assert losses[dtype] == pytest.approx(losses["float32"], rel=0.03)


def test_draws_are_made_for_what_is_missing(model):
    drawn = model.prepare((images(8), np.zeros(8, "int32")))
    times = np.sort(ops.convert_to_numpy(drawn["times"]))
    np.testing.assert_allclose(np.diff(times), 1 / 8, atol=1e-6)
    assert 0 <= times[0] and times[-1] < 1
    assert {"noise", "jitter", "drops", "conditions"} <= drawn.keys()


# === Requests ===


def test_guidance_is_its_formula(model):
    rng = np.random.default_rng(0)
    x = ops.convert_to_tensor(rng.normal(size=(4, 4, 4, 1)).astype("float32"))
    times = ops.convert_to_tensor(np.full(4, 0.6, "float32"))
    given = ops.convert_to_tensor(np.array([0, 1, 2, 0], "int32"))
    nothing = ops.full_like(given, 3)
    c, u = (model.estimate(x, times, k) for k in (given, nothing))
    found = model.guided(x, times, given, 2.5)
    for index in range(2):
        c_, u_ = (ops.convert_to_numpy(part[index]) for part in (c, u))
        assert np.abs(c_ - u_).max() > 1e-4
        wanted = u_ + 2.5 * (c_ - u_)
        np.testing.assert_allclose(
            ops.convert_to_numpy(found[index]), wanted, atol=1e-5
        )


@pytest.mark.parametrize("solver", ["ddim", "ancestral", "heun", "multistep", "rk4"])
def test_samples_are_images_that_a_seed_determines(model, solver):
    draw = {"labels": [0, 1, 2], "steps": 3, "solver": solver, "seed": 1}
    found = model.sample(**draw)
    assert found.shape == (3, 4, 4, 1)
    np.testing.assert_allclose(found * 4, np.round(found * 4), atol=1e-5)
    np.testing.assert_array_equal(model.sample(**draw), found)


def test_solvers_reach_the_same_image():
    """On a path with a known estimate of both parts, more steps come closer."""
    each = made(stddev=0.05)
    noise = np.random.default_rng(0).normal(size=(4, 4, 4, 1)).astype("float32")
    given, rng = np.zeros(4, "int32"), np.random.default_rng(0)
    from zoo.models.diffusion.drawing import _How

    def ends(solver, steps):
        return each._carried(noise, given, _How(solver, steps, 1.0, 4), rng)

    exact = ends("heun", 64)
    for solver, steps, tolerance in (("ddim", 64, 0.05), ("heun", 12, 0.02)):
        assert np.abs(ends(solver, steps) - exact).max() < tolerance
    assert np.abs(ends("multistep", 32) - exact).max() < 0.05


def test_inpainting_keeps_known_pixels(model):
    x, known = images(3), np.zeros((4, 4), bool)
    known[:2] = True
    found = model.inpaint(x, known, labels=[0, 1, 2], steps=3, seed=0)
    np.testing.assert_array_equal(found[:, :2], x[:, :2])
    assert np.abs(found[:, 2:] - x[:, 2:]).max() > 0.1
    with pytest.raises(ValueError, match="known must be booleans"):
        model.inpaint(x, known.astype(int))
    with pytest.raises(ValueError, match="known must be of shape"):
        model.inpaint(x, known[:3])


def test_images_come_back_from_their_noise():
    each, x = made(stddev=0.05), images(3)
    latents = each.encode(x, labels=[0, 1, 2], steps=10)
    np.testing.assert_array_equal(each.decode(latents, labels=[0, 1, 2], steps=10), x)
    ways = each.interpolate(x[:1], x[1:2], 3)
    assert ways.shape == (1, 3, 4, 4, 1)


def test_a_film_ends_in_the_sample(model):
    film = model.film(labels=[0, 1], frames=3, steps=4, seed=0)
    assert film.shape == (2, 3, 4, 4, 1)
    same = model.sample(labels=[0, 1], steps=4, seed=0)
    np.testing.assert_allclose(film[:, -1], same, atol=1e-5)


def test_likelihood_of_an_untrained_model_is_the_normal_law():
    """Its flow is zero, so that data keep their place under the normal density."""
    each, x = Diffusion(TINY), images(5)
    found = each.log_likelihood(x, seed=7, steps=2)
    jitter = np.random.default_rng(7).random(x.shape, dtype="float32")
    data = (np.round(x * 4) + jitter) * (2 / 5) - 1
    normal = -0.5 * data.astype("float64") ** 2 - 0.5 * math.log(2 * math.pi)
    wanted = (normal + math.log(2) - math.log(5)).reshape(5, -1).sum(1)
    np.testing.assert_allclose(found, wanted, atol=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_likelihood_says_how_wrong_it_may_be():
    each, x = made(stddev=0.05), images(2)
    exact = each.likelihood(x, seed=7, trace="exact", steps=None)
    assert exact.log_likelihood.shape == (2,)
    assert np.all(exact.probe_error == 0) and np.all(exact.solver_error < 0.05)
    signs = each.likelihood(x, seed=7, probes=8, steps=26)
    far = np.abs(signs.log_likelihood - exact.log_likelihood)
    assert np.all(far < 5 * signs.probe_error + signs.solver_error + 1e-3)
    assert np.all(signs.probe_error > 0)


def test_texts_say_what_to_draw():
    tokenizer = Tokenizer.characters("abc ")
    config = DiffusionConfig(
        **SIZE, vocab_size=tokenizer.vocab_size, text_length=5, text_layers=1
    )
    each = made(config)
    each.tokenizer = tokenizer
    ids = each.tokens(["a", "cab", "a b c"])
    each.compile("adam")
    each.fit(images(3), ids, verbose=0)
    found = each.sample(prompts=["a", "cab"], steps=2, guidance=2.0, seed=0)
    assert found.shape == (2, 4, 4, 1)
    assert each.prompt_classes is None
    with pytest.raises(ValueError, match=r"prompts=\[\.\.\.\]"):
        each.sample(2)
    with pytest.raises(ValueError, match="from 1 to 5 tokens"):
        each.sample(prompts=["abcabc"])


# === Files ===


def test_saved_and_loaded(tmp_path):
    each = made()
    draw = {"labels": [0, 1, 2], "steps": 2, "seed": 0}
    each.save_to_preset(tmp_path / "preset")
    again = zoo.from_preset(tmp_path / "preset")
    assert again.config == each.config
    np.testing.assert_array_equal(again.sample(**draw), each.sample(**draw))
    each.compile("adam")
    each.train_on_batch(full_batch(4))
    each.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    losses = [
        float(m.train_on_batch(full_batch(4, 1), return_dict=True)["loss"])
        for m in (each, again)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


@pytest.mark.host
def test_published_sizes():
    """Ho et al. 2020 report 35.7 million parameters on CIFAR-10."""
    from zoo.presets.registry import count_parameters

    assert set(PRESETS) == {
        "diffusion_8",
        "diffusion_28",
        "ddpm_32",
        "dit_small_32",
        "edm_32",
    }
    assert count_parameters("diffusion_28") == 1_610_180
    assert 35e6 < count_parameters("ddpm_32") < 41e6


# === Bad input ===


@pytest.mark.host
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_shape": (4, 4)}, "height, width, channels"),
        ({"levels": 1}, "levels must be a whole number from 2"),
        ({"path": "spiral"}, "path must be one of"),
        ({"prediction": "score"}, "prediction must be one of"),
        ({"patch_size": 3}, "multiples of patch_size=3"),
        ({"num_classes": 2, "vocab_size": 3, "text_length": 2}, "classes or texts"),
        ({"vocab_size": 3}, "vocab_size and text_length"),
        ({"prediction": "noise"}, "leaves no data at time 1"),
    ],
)
def test_bad_configurations(changes, words):
    with pytest.raises(ValueError, match=words):
        DiffusionConfig(**{**SIZE, **changes})


def test_bad_input(model):
    model.compile("adam")
    labels = np.zeros(2, "int32")
    for call, words in (
        (lambda: model.fit(images(2) * 255, labels, verbose=0), "Divide 8-bit images"),
        (lambda: model.fit(images(2)[:, :3], labels, verbose=0), "must have the shape"),
        (lambda: model.fit(images(2), verbose=0), "got images alone"),
        (lambda: model.fit(images(2), labels + 3, verbose=0), "from 0 to 2"),
        (lambda: model.sample(2, labels=[0, 3]), "from 0 to 2"),
        (lambda: model.sample(2, labels=[0]), "one label or prompt per image"),
        (lambda: model.sample(0), "count"),
        (lambda: model.sample(2, steps=0), "steps must be"),
        (lambda: model.sample(2, solver="magic"), "solver must be one of"),
        (lambda: model.sample(2, guidance=-1.0), "guidance must be"),
        (lambda: model.log_likelihood(images(2) - 1), "from 0 to 1"),
        (lambda: model.decode(np.zeros((1, 4))), "latents must be of shape"),
        (lambda: model.tokens(["a"]), "vocab_size=0"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    plain = Diffusion(DiffusionConfig(**SIZE))
    with pytest.raises(ValueError, match="without classes"):
        plain.sample(2, labels=[0, 1])
    with pytest.raises(ValueError, match="guidance must be 1"):
        plain.sample(2, guidance=2.0)
