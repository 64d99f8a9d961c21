from dataclasses import replace

import keras
import numpy as np
import pytest
import torch
from keras import ops
from keras.optimizers import SGD, Adam
from torch.nn import functional

from tests.layers.torch_weights import randomize
from tests.models import plain_torch_dcgan as plain
from tests.training.conftest import restarting
from tests.training.toys import step, values, with_weights
from zoo.models.gan.dcgan import DCGAN, PRESETS, DCGANConfig
from zoo.presets.registry import no_initialisation

L, B = 5, 6
CONFIG = DCGANConfig(image_shape=(16, 16, 3), latent_dim=L, width=2)
SMALL = replace(CONFIG, image_shape=(8, 8, 1))
CRITIC = replace(SMALL, loss="wgan_gp", discriminator_norm="none")
CLASSES = replace(SMALL, num_classes=3)


def batch(config, rows=B, seed=0):
    rng = np.random.default_rng(seed)
    steps = config.discriminator_steps
    found = {
        "real": rng.uniform(size=(rows, *config.image_shape)).astype("float32"),
        "noise": rng.normal(size=(rows, steps, L)).astype("float32"),
        "mix": rng.uniform(size=(rows, steps)).astype("float32"),
    }
    if config.num_classes:
        found["labels"] = rng.integers(config.num_classes, size=rows).astype("int32")
    return found


def rates(discriminator=0.1, generator=0.1):
    return {"discriminator": SGD(discriminator), "generator": SGD(generator)}


def adams():
    return {"discriminator": Adam(0.01), "generator": Adam(0.0)}


def compiled(config, optimizers=None, **options):
    keras.utils.set_random_seed(0)
    model = with_weights(DCGAN(config), stddev=0.2)
    model.compile(optimizers or rates(), **options)
    return model


@pytest.fixture(scope="module")
def restart_small():
    """Returns one compiled model, reset to its initial state."""
    optimizers = {"discriminator": SGD(0.1), "generator": SGD(0.1, use_ema=True)}
    model = compiled(SMALL, optimizers)
    model.runs, call = [], model.generator.call

    def counted(*args, **kwargs):
        model.runs.append(kwargs)
        return call(*args, **kwargs)

    model.generator.call = counted
    return restarting(model)


@pytest.fixture
def small(restart_small):
    return restart_small()


def numpy(x):
    return np.array(ops.convert_to_numpy(x))


def images(x):
    """Images as torch has them: channels first."""
    return torch.tensor(2 * x - 1).permute(0, 3, 1, 2)


def pair(config, norm=True):
    """Both networks in torch, freshly initialised."""
    torch.manual_seed(0)
    widths, channels = config.widths, config.image_shape[-1]
    side = config.smallest[0]
    generator = plain.Generator(L, side, [*reversed(widths), channels])
    discriminator = plain.Discriminator(side, [channels, *widths], norm)
    randomize(generator)
    randomize(discriminator)
    return generator, discriminator


def in_our_layout(generator, discriminator, **read):
    ours = plain.in_our_layout(generator, "body/", **read)
    ours = {f"generator/{name}": x for name, x in ours.items()}
    theirs = plain.in_our_layout(discriminator, "features/", **read)
    return ours | {f"discriminator/{name}": x for name, x in theirs.items()}


def with_theirs(model, generator, discriminator):
    arrays = in_our_layout(generator, discriminator)
    assert set(arrays) == {v.path for v in model.trainable_variables}
    for variable in model.trainable_variables:
        variable.assign(arrays[variable.path])
    return model


def assert_weights(model, arrays):
    for variable in model.trainable_variables:
        np.testing.assert_allclose(
            numpy(variable),
            arrays[variable.path],
            rtol=0,
            atol=1e-4,
            err_msg=variable.path,
        )


# === Parity with plain torch ===


def test_samples_and_judgements_are_plain_torchs():
    generator, discriminator = pair(CONFIG)
    model = with_theirs(DCGAN(CONFIG), generator, discriminator)
    generator.eval(), discriminator.eval()
    data = batch(CONFIG)
    latents = data["noise"][:, 0]
    with torch.no_grad():
        drawn = generator(torch.tensor(latents)).permute(0, 2, 3, 1).numpy()
        judged = torch.sigmoid(discriminator(images(data["real"]))).numpy()
    found = model.generate(latents)
    np.testing.assert_allclose(found, (drawn + 1) / 2, rtol=0, atol=1e-4)
    found = model.judge(data["real"])
    np.testing.assert_allclose(found, judged, rtol=0, atol=1e-4)


def assert_statistics(model, generator, discriminator, passes):
    """Checks moving means and variances after `passes` of the discriminator."""
    for network, norms, count in (
        (model.generator.body, generator.norm, 1),
        (model.discriminator.features, discriminator.norm, passes),
    ):
        for index, theirs in enumerate(norms):
            if isinstance(theirs, torch.nn.Identity):
                continue
            ours = network.get_layer(f"norm_{index}")
            side = 4 * 2**index
            if network is model.discriminator.features:
                side = 16 // 2 ** (index + 1)
            variance = plain.biased_variance(theirs, count, B * side**2)
            for found, expected in (
                (ours.moving_mean, theirs.running_mean.numpy()),
                (ours.moving_variance, variance),
            ):
                np.testing.assert_allclose(
                    numpy(found), expected, rtol=0, atol=1e-4, err_msg=ours.path
                )


def test_an_alternating_step_is_plain_torchs():
    generator, discriminator = pair(CONFIG)
    model = with_theirs(DCGAN(CONFIG), generator, discriminator)
    # At a rate of 1, weights move by their gradients.
    model.compile(rates(1.0, 1.0))
    data = batch(CONFIG)
    logs = step(model, data)

    networks = (generator, discriminator)
    optimizers = [torch.optim.SGD(n.parameters(), 1.0) for n in networks]
    latents = torch.tensor(data["noise"][:, 0])
    expected = plain.step(*networks, *optimizers, images(data["real"]), latents)
    assert set(logs) == set(expected)
    for name, value in expected.items():
        assert float(logs[name]) == pytest.approx(value.item(), abs=1e-4), name
    assert_weights(model, in_our_layout(generator, discriminator))
    assert_statistics(model, generator, discriminator, passes=3)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_gradient_penalty_is_plain_torchs(accumulate):
    generator, discriminator = pair(CRITIC, norm=False)
    model = with_theirs(DCGAN(CRITIC), generator, discriminator)
    model.compile(rates(0.1, 0.0), accumulate=accumulate)
    data = batch(CRITIC)
    # The same two latents in each micro-batch, for the generator's batch norm.
    data["noise"] = np.repeat(data["noise"][:2], 3, axis=0)
    logs = step(model, data)

    real = images(data["real"])
    fake = generator(torch.tensor(data["noise"][:, 0])).detach()
    mix = torch.tensor(data["mix"])[..., None, None]
    between = (mix * real + (1 - mix) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(
        discriminator(between).sum(), between, create_graph=True
    )
    penalty = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
    loss = discriminator(fake).mean() - discriminator(real).mean() + 10 * penalty
    loss.backward()
    torch.optim.SGD(discriminator.parameters(), 0.1).step()
    found = float(logs["discriminator/gradient_penalty"])
    assert found == pytest.approx(penalty.item(), abs=1e-4)
    # Ten times the penalty.
    assert float(logs["discriminator/loss"]) == pytest.approx(loss.item(), abs=1e-3)
    assert_weights(model, in_our_layout(generator, discriminator))


# === The step ===


def test_the_generator_runs_once_a_step(small):
    # In what is compiled; that the statistics of its batch norm advance once a step is
    # part of the parity above.
    step(small, batch(SMALL))
    assert len(small.runs) == 1


def test_a_phase_moves_its_own_network_alone(small):
    for still in ("discriminator", "generator"):
        for name, member in small.optimizer.members.items():
            member.learning_rate = 0.0 if name == still else 0.1
        before = values(small)
        step(small, batch(SMALL))
        for variable in small.trainable_variables:
            moved = (numpy(variable) != before[variable.path]).any()
            assert moved == (not variable.path.startswith(still)), variable.path


def test_several_discriminator_steps_each_use_their_own_noise(small):
    # One update with three steps is three updates with one step, if the generator
    # stands still in the first two.
    config = replace(SMALL, discriminator_steps=3)
    model, data = compiled(config), batch(config)
    several = step(model, data)
    start = [numpy(v) for v in small.generator.trainable_variables]
    for index in range(3):
        for variable, value in zip(
            small.generator.trainable_variables, start, strict=True
        ):
            variable.assign(value)
        part = {"real": data["real"], "noise": data["noise"][:, index : index + 1]}
        logs = step(small, part)
    for name, value in logs.items():
        assert float(several[name]) == pytest.approx(float(value), abs=1e-5), name
    assert_weights(model, values(small))


def test_adams_first_moments_are_the_gradients():
    # Axis by axis, however a backend lays kernels out in memory.
    moved, held = compiled(SMALL, rates(1.0, 0.0)), compiled(SMALL, adams())
    before = values(moved)
    step(moved, batch(SMALL)), step(held, batch(SMALL))
    after, adam = values(moved), held.optimizer.members["discriminator"]
    variables = held.discriminator.trainable_variables
    for variable, moment in zip(variables, adam._momentums, strict=True):
        gradient = before[variable.path] - after[variable.path]
        np.testing.assert_allclose(
            numpy(moment), 0.1 * gradient, rtol=0, atol=1e-5, err_msg=variable.path
        )


@pytest.mark.slow
def test_all_options_at_once_learn():
    config = replace(
        CLASSES,
        image_shape=(16, 16, 1),
        loss="wgan_gp",
        upsampling="resize",
        spectral_norm=True,
        discriminator_norm="layer",
    )
    # The generator stands still, so that the discriminator's loss can only fall.
    model = compiled(config, {"discriminator": Adam(0.02), "generator": SGD(0.0)})
    data = batch(config, rows=32)
    history = model.fit(
        data["real"], data["labels"], batch_size=16, epochs=6, verbose=0
    ).history
    losses = history["discriminator/loss"]
    assert losses[-1] < losses[0] - 0.1
    samples = model.sample(3, seed=0)
    assert samples.shape == (3, *config.image_shape)
    assert 0 <= samples.min() < samples.max() <= 1


def test_scores_depend_on_labels_by_projection():
    model = with_weights(DCGAN(CLASSES), stddev=0.3)
    data = batch(CLASSES)
    x, y = 2 * data["real"] - 1, data["labels"]
    features = numpy(model.discriminator.features(x))
    layer = model.discriminator.score
    expected = features @ numpy(layer.kernel)[:, 0] + numpy(layer.bias)
    embedded = numpy(model.discriminator.labels.embeddings)[y]
    expected += (embedded * features).sum(axis=1)
    found = numpy(model.discriminator(x, y))[:, 0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_label_smoothing_lowers_the_real_target():
    config = replace(SMALL, label_smoothing=0.1, discriminator_norm="none")
    data = batch(config)
    model = with_weights(DCGAN(config), stddev=0.2)
    x, fake = 2 * data["real"] - 1, data["real"]
    terms = model.discriminator_loss(
        {"real": ops.convert_to_tensor(x), "fake": ops.convert_to_tensor(fake)},
        training=True,
        index=0,
    )
    real = torch.tensor(numpy(model.discriminator(x))[:, 0])
    fake = torch.tensor(numpy(model.discriminator(fake))[:, 0])
    cross_entropy = functional.binary_cross_entropy_with_logits
    expected = cross_entropy(real, torch.full((B,), 0.9))
    expected += cross_entropy(fake, torch.zeros(B))
    assert numpy(terms["loss"]) == pytest.approx(expected.item(), abs=1e-5)


# === Noise, samples, files ===


def test_noise_is_drawn_anew_and_mixtures_evenly():
    model = DCGAN(CRITIC)
    real = np.zeros((500, 8, 8, 1), "float32")
    first, second = (model.prepare(real) for _ in range(2))
    assert (numpy(first["noise"]) != numpy(second["noise"])).any()
    assert numpy(first["real"]).min() == -1
    mix = np.sort(numpy(first["mix"])[:, 0])
    # The distance of Kolmogorov and Smirnov, at a level of 1e-6.
    assert np.abs(mix - np.linspace(0, 1, 500)).max() < 0.12


def test_sampling_and_interpolation():
    model = with_weights(DCGAN(SMALL))
    samples = model.sample(5, seed=1)
    np.testing.assert_array_equal(samples, model.sample(5, seed=1))
    assert (samples != model.sample(5, seed=2)).any()
    a, b = np.random.default_rng(0).normal(size=(2, 2, L))
    way = model.interpolate(a, b, steps=3)
    assert way.shape == (2, 3, 8, 8, 1)
    for end, latents in ((0, a), (-1, b)):
        np.testing.assert_allclose(
            way[:, end], model.generate(latents), rtol=0, atol=1e-6
        )
    model = with_weights(DCGAN(CLASSES))
    zeros, ones = (model.generate(a, np.full(2, label)) for label in (0, 1))
    assert (zeros != ones).any()
    way = model.interpolate(a, b, 3, labels=np.array([1, 2]))
    np.testing.assert_allclose(way[:1, 0], ones[:1], rtol=0, atol=1e-6)


def test_averaged_weights_draw_other_samples(small):
    # The average starts at the weights after the first update.
    step(small, batch(SMALL)), step(small, batch(SMALL))
    present = small.sample(2, seed=0)
    with small.averaged_weights():
        assert (small.sample(2, seed=0) != present).any()
    np.testing.assert_array_equal(small.sample(2, seed=0), present)


def test_save_and_load(small, tmp_path):
    step(small, batch(SMALL)), step(small, batch(SMALL))
    small.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert loaded.config == SMALL
    for ours, theirs in zip(
        [*small.weights, *small.optimizer.variables],
        [*loaded.weights, *loaded.optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(numpy(ours), numpy(theirs), err_msg=ours.path)


def test_save_to_preset(tmp_path):
    model = DCGAN(replace(CLASSES, spectral_norm=True))
    model.save_to_preset(tmp_path / "preset")
    other = DCGAN.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(other.sample(2, seed=0), model.sample(2, seed=0))


def test_published_size():
    # pytorch/examples' networks at their defaults, which leave out the biases of the
    # layers without norm.
    with no_initialisation():
        model = DCGAN(PRESETS["dcgan_64"])
    trained = [
        sum(np.prod(v.shape) for v in network.trainable_variables)
        for network in (model.generator, model.discriminator)
    ]
    assert trained == [3_576_704 + 3, 2_765_568 + 64 + 1]


def test_first_weights_are_the_papers():
    with no_initialisation():
        model = DCGAN(PRESETS["dcgan_28"])
    names = {"kernel_initializer": 0.0, "gamma_initializer": 1.0}
    found = [
        (getattr(layer, name).get_config(), mean)
        for layer in model._flatten_layers()
        for name, mean in names.items()
        if hasattr(layer, name)
    ]
    assert len(found) == 3 + 2 + 2 + 1 + 1
    for config, mean in found:
        assert (config.get("mean", 0.0), config["stddev"]) == (mean, 0.02)
    assert model.generator.body.get_layer("up_0").input.shape == (None, 7, 7, 128)


def test_mixed_precision_stays_near_float32(small):
    keras.utils.set_random_seed(0)  # as `small` was made
    model = with_weights(DCGAN(SMALL, dtype="mixed_bfloat16"), stddev=0.2)
    model.compile(rates())
    for _ in range(2):
        expected, found = (step(m, batch(SMALL)) for m in (small, model))
        for name, value in expected.items():
            assert float(found[name]) == pytest.approx(float(value), rel=0.03), name


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"loss": "wasserstein"}, "loss must be one of .* got 'wasserstein'"),
        ({"image_shape": (30, 30, 1)}, "multiples of 4, got .*30"),
        ({"image_shape": (7, 7, 1)}, "at least 8 .*7"),
        ({"image_shape": (28, 28)}, r"\(height, width, channels\)"),
        ({"loss": "wgan_gp"}, "'wgan_gp', which penalises .*'layer' or 'none'"),
        ({"loss": "hinge", "label_smoothing": 0.1}, "'hinge', which has no target"),
        ({"label_smoothing": 1.0}, "label_smoothing must be .* got 1.0"),
        ({"discriminator_steps": 0}, "discriminator_steps must be .* got 0"),
        ({"num_classes": -1}, "num_classes must be .* got -1"),
        ({"gradient_penalty": -1.0}, "gradient_penalty must be .* got -1"),
        ({"upsampling": "bilinear"}, "upsampling must be one of .* got 'bilinear'"),
    ],
)
def test_bad_configurations_say_what_to_do(changes, message):
    with pytest.raises(ValueError, match=message):
        DCGANConfig(**changes)


def test_bad_requests_say_what_to_do(small):
    model = small
    real = batch(SMALL)["real"]
    with pytest.raises(ValueError, match=r"from 0 to 1, .*255"):
        model.fit(255 * real, verbose=0)
    with pytest.raises(ValueError, match=r"\(N, 8, 8, 1\), got \(6, 4, 8, 1\)"):
        model.fit(real[:, :4], verbose=0)
    with pytest.raises(ValueError, match=r"\(N, 5\), got shape \(2, 4\)"):
        model.generate(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="without classes"):
        model.generate(np.zeros((2, 5)), np.zeros(2, int))
    model = DCGAN(CLASSES)
    with pytest.raises(ValueError, match="must be given with num_classes=3"):
        model.fit(real, verbose=0)
    with pytest.raises(ValueError, match="from 0 to 2, got values from 0 to 5"):
        model.fit(real, np.arange(6), verbose=0)
    with pytest.raises(ValueError, match=r"shape \(6,\), got float64"):
        model.fit(real, np.zeros(6), verbose=0)
