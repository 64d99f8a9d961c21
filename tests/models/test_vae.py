from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops
from keras.optimizers import SGD, Adam

import zoo
from tests.training.toys import step, with_weights
from zoo.presets.registry import count_parameters

CONFIG = zoo.VAEConfig((4, 4, 1), latent_dim=3, hidden=(6, 5))
CONVOLUTIONAL = replace(
    CONFIG,
    image_shape=(8, 8, 1),
    body="convolutional",
    hidden=(2, 3),
    activation="relu",
)
RNG = np.random.default_rng(0)
# Of `plain_torch_vae`, in float64; `test_reference_losses` recomputes them.
RATE, MOMENTUM = 0.01, 0.9
LOSSES = {
    "elbo": [
        11.144984670499758,
        11.194102121700851,
        11.200585174876782,
        11.298287386614629,
        11.117345309068698,
        11.365192608733729,
        11.162728308933872,
        11.240511626765276,
        11.310358756520591,
        11.243832021530306,
    ],
    "iwae": [
        11.09215505864336,
        10.935394595123357,
        11.134845554247194,
        11.168356314921503,
        10.953993763450558,
        11.399076142577394,
        11.315192742959733,
        11.2376545695076,
        11.187314406675103,
        11.191405984231684,
    ],
}


def batch(config, rows=8, seed=1):
    rng = np.random.default_rng(seed)
    images = (rng.uniform(size=(rows, *config.image_shape)) > 0.5).astype("float32")
    shape = (rows, config.num_samples, config.latent_dim)
    return {"images": images, "noise": rng.normal(size=shape).astype("float32")}


def by_path(model):
    return {v.path: v for v in model.trainable_variables}


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        replace(CONFIG, num_samples=4),
        replace(CONFIG, objective="iwae", num_samples=4),
        CONVOLUTIONAL,
    ],
    ids=["elbo", "elbo_4", "iwae_4", "convolutional"],
)
def test_loss_and_gradients_are_plain_torchs(config):
    pytest.importorskip("torch")
    from tests.models import plain_torch_vae as plain

    model = with_weights(zoo.VAE(config, name="vae"), stddev=0.3)
    data = batch(config)
    weights = {
        name: ops.convert_to_numpy(v).copy() for name, v in by_path(model).items()
    }
    expected, gradients = plain.loss_and_gradients(config, weights, data)
    model.compile(SGD(1.0))
    logs = step(model, data)
    assert float(logs["loss"]) == pytest.approx(expected, abs=1e-4)
    for name, variable in by_path(model).items():
        gradient = weights[name] - ops.convert_to_numpy(variable)
        np.testing.assert_allclose(
            gradient, gradients[name], rtol=0, atol=1e-4, err_msg=name
        )


def ten_batches(config):
    return [batch(config, seed=seed) for seed in range(10)]


@pytest.mark.parametrize("objective", LOSSES)
def test_ten_losses_are_those_of_every_backend(objective):
    config = replace(CONFIG, objective=objective, num_samples=3)
    model = with_weights(zoo.VAE(config), stddev=0.3)
    model.compile(SGD(RATE, momentum=MOMENTUM))
    found = [float(step(model, data)["loss"]) for data in ten_batches(config)]
    assert found == pytest.approx(LOSSES[objective], rel=1e-5)


@pytest.mark.parametrize("objective", LOSSES)
def test_reference_losses(objective):
    pytest.importorskip("torch")
    from tests.models.plain_torch_vae import losses

    config = replace(CONFIG, objective=objective, num_samples=3)
    model = with_weights(zoo.VAE(config), stddev=0.3)
    arrays = {name: ops.convert_to_numpy(v) for name, v in by_path(model).items()}
    found = losses(config, arrays, ten_batches(config), RATE, MOMENTUM)
    assert found == pytest.approx(LOSSES[objective], rel=1e-9)


def tensors(data):
    return {name: ops.convert_to_tensor(array) for name, array in data.items()}


def numbers(found):
    return {name: ops.convert_to_numpy(value).item() for name, value in found.items()}


def terms(config, data, stddev=0.5):
    model = with_weights(zoo.VAE(config), stddev=stddev)
    return numbers(model.bound_loss(tensors(data), training=False))


def test_terms():
    found = terms(CONFIG, batch(CONFIG))
    parts = found["reconstruction"] + found["kl"]
    assert found["loss"] == pytest.approx(parts, abs=1e-5)
    bits = found["loss"] / 16 / np.log(2)
    assert found["bits_per_dim"] == pytest.approx(bits, abs=1e-6)


def test_beta_and_free_bits_change_the_objective_alone():
    data = batch(CONFIG)
    plain = terms(CONFIG, data)
    beta = terms(replace(CONFIG, beta=3.0), data)
    free = terms(replace(CONFIG, free_bits=100.0), data)
    for term in ("reconstruction", "kl", "bits_per_dim"):
        assert plain[term] == pytest.approx(beta[term], abs=1e-5)
        assert plain[term] == pytest.approx(free[term], abs=1e-5)
    expected = plain["reconstruction"] + 3 * plain["kl"]
    assert beta["loss"] == pytest.approx(expected, abs=1e-4)
    expected = plain["reconstruction"] + 3 * 100.0
    assert free["loss"] == pytest.approx(expected, abs=1e-3)


def test_iwae_equals_the_bound_of_one_sample_and_is_tighter_with_more():
    one, many = batch(CONFIG, 512), batch(replace(CONFIG, num_samples=50), 64)
    elbo = terms(CONFIG, one, stddev=0.1)
    iwae = replace(CONFIG, objective="iwae")
    assert terms(iwae, one, stddev=0.1)["loss"] == pytest.approx(elbo["loss"], abs=0.2)
    tight = terms(iwae, many)
    assert tight["loss"] < tight["reconstruction"] + tight["kl"] - 0.1


def test_warm_up_ticks_once_an_update_and_not_in_evaluation():
    config = replace(CONFIG, kl_warmup=4)
    model = with_weights(zoo.VAE(config))
    model.compile(SGD(0.0), accumulate=2)
    data = batch(config)
    weights = []
    for _ in range(5):
        logs = {k: float(v) for k, v in step(model, data).items()}
        weights.append((logs["loss"] - logs["reconstruction"]) / logs["kl"])
    np.testing.assert_allclose(weights, [0.25, 0.5, 0.75, 1, 1], atol=1e-5)
    logs = model.test_on_batch(data, return_dict=True)
    assert float(logs["loss"]) == pytest.approx(
        float(logs["reconstruction"]) + float(logs["kl"]), abs=1e-5
    )
    assert float(ops.convert_to_numpy(model.kl_warmup.count)) == 5


def test_micro_batches_equal_one_batch():
    data = batch(CONFIG)
    ends = []
    for accumulate in (1, 4):
        model = with_weights(zoo.VAE(CONFIG))
        model.compile(Adam(0.01), accumulate=accumulate)
        for _ in range(3):
            step(model, data)
        ends.append([ops.convert_to_numpy(v) for v in model.trainable_variables])
    for one, four in zip(*ends, strict=True):
        np.testing.assert_allclose(one, four, rtol=0, atol=1e-5)


@pytest.mark.parametrize("observation", zoo.models.autoencoders.vae.OBSERVATIONS)
@pytest.mark.parametrize("base", [CONFIG, CONVOLUTIONAL], ids=["mlp", "convolutional"])
def test_every_observation_reads_every_body(base, observation):
    config = replace(base, image_shape=(8, 8, 3), observation=observation)
    data = tensors(batch(config, 2))
    model = with_weights(zoo.VAE(config), stddev=0.3)
    found = numbers(model.bound_loss(data, training=False))
    mean, log_variance = model.posterior(data["images"])
    z = mean + ops.exp(log_variance / 2) * data["noise"][:, 0]
    log_prob = model.observation.log_prob(data["images"], model.decoder(z))
    expected = -ops.convert_to_numpy(log_prob).mean()
    assert found["reconstruction"] == pytest.approx(expected, rel=1e-5)
    assert model.sample(3, seed=0).shape == (3, 8, 8, 3)


def test_it_learns():
    model = with_weights(zoo.VAE(CONFIG))
    model.compile(Adam(0.02))
    images = np.repeat(batch(CONFIG, 4)["images"], 2, axis=0)
    history = model.fit(images, batch_size=8, epochs=40, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]


def test_sampling_reconstruction_and_interpolation():
    model = with_weights(zoo.VAE(CONFIG))
    images = batch(CONFIG)["images"]
    codes = model.encode(images)
    np.testing.assert_allclose(
        model.decode(codes), model.reconstruct(images), rtol=0, atol=1e-6
    )
    samples = model.sample(5, seed=1)
    np.testing.assert_array_equal(samples, model.sample(5, seed=1))
    assert (samples != model.sample(5, seed=2)).any()
    way = model.interpolate(images[:2], images[2:4], steps=4)
    assert way.shape == (2, 4, 4, 4, 1)
    np.testing.assert_allclose(
        way[:, -1], model.reconstruct(images[2:4]), rtol=0, atol=1e-6
    )


def test_likelihood_of_a_decoder_that_ignores_its_code():
    # Then log p(x) is known: the pixels' own, whatever the posterior.
    model = with_weights(zoo.VAE(CONFIG))
    for name, variable in by_path(model).items():
        if name == "decoder/output/kernel":
            variable.assign(np.zeros(variable.shape))
        if name == "decoder/output/bias":
            variable.assign(np.full(variable.shape, 0.4))
        if name.startswith("posterior") and name.endswith("kernel"):
            variable.assign(np.zeros(variable.shape))
    images = batch(CONFIG)["images"]
    p = 1 / (1 + np.exp(-0.4))
    expected = np.log(np.where(images == 1, p, 1 - p)).sum(axis=(1, 2, 3))
    found = model.log_likelihood(images, num_samples=7)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_save_and_load(tmp_path):
    model = with_weights(zoo.VAE(CONFIG))
    model.compile(Adam(0.01))
    data = batch(CONFIG)
    step(model, data)
    model.save(tmp_path / "vae.keras")
    loaded = keras.saving.load_model(tmp_path / "vae.keras")
    assert float(step(loaded, data)["loss"]) == pytest.approx(
        float(step(model, data)["loss"]), abs=1e-6
    )
    model.save_to_preset(tmp_path / "preset")
    other = zoo.VAE.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(other.sample(2, seed=0), model.sample(2, seed=0))


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_stays_near_float32(dtype):
    data = batch(CONFIG)
    model = with_weights(zoo.VAE(CONFIG, dtype=dtype))
    model.compile(Adam(0.01))
    before = [ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
    loss = float(step(model, data)["loss"])
    assert loss == pytest.approx(terms(CONFIG, data)["loss"], rel=0.02)
    after = [ops.convert_to_numpy(v) for v in model.trainable_variables]
    assert all((a != b).any() for a, b in zip(after, before, strict=True))


def test_published_size():
    # Burda et al. 2016: 784-200-200-50, two heads, and back.
    encoder = 784 * 200 + 200 + 200 * 200 + 200 + 2 * (200 * 50 + 50)
    decoder = 50 * 200 + 200 + 200 * 200 + 200 + 200 * 784 + 784
    assert count_parameters("vae_mlp") == encoder + decoder


def test_bad_requests_say_what_to_do():
    with pytest.raises(ValueError, match="observation must be one of .* got 'mse'"):
        replace(CONFIG, observation="mse")
    with pytest.raises(ValueError, match=r"beta must be at least 0, got -1"):
        replace(CONFIG, beta=-1.0)
    with pytest.raises(
        ValueError, match=r"free_bits must be 0 .*got 0.5.*objective='elbo'"
    ):
        replace(CONFIG, objective="iwae", free_bits=0.5)
    with pytest.raises(ValueError, match="num_samples must be a whole number from 1"):
        replace(CONFIG, num_samples=0)
    model = zoo.VAE(CONFIG)
    with pytest.raises(ValueError, match="count must be a whole number from 1"):
        model.sample(0)
    model.compile("adam")
    with pytest.raises(ValueError, match=r"from 0 to 1, .*255"):
        model.fit({"images": 255 * batch(CONFIG)["images"]}, verbose=0)
