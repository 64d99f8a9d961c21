import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
import torch
from keras import ops
from keras.optimizers import SGD, Adam

import zoo
from tests.models import plain_torch_cyclegan as plain
from tests.training.conftest import restarting
from tests.training.toys import step, values
from zoo.formats.authors.cyclegan import load_cyclegan
from zoo.models.gan import cyclegan
from zoo.models.gan.cyclegan import PRESETS, CycleGAN, CycleGANConfig
from zoo.presets.registry import count_parameters

SIDE, B = 16, 2
CONFIG = CycleGANConfig(
    (SIDE, SIDE), (3, 3), width=4, residual_blocks=1, discriminator_layers=2, history=3
)
# What differs between the domains, without a history.
PLAIN = replace(CONFIG, channels=(3, 1), identity_weight=0.0, history=0)


def batch(config=CONFIG, rows=B, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(
        rng.uniform(size=(rows, *config.image_size, channels)).astype("float32")
        for channels in config.channels
    )


def rates(generators=0.05, discriminators=0.05, **options):
    return {
        "generators": SGD(generators, **options),
        "discriminators": SGD(discriminators),
    }


def numpy(x):
    return np.array(ops.convert_to_numpy(x))


def tensors(*images):
    """Images as torch has them: channels first, in [-1, 1]."""
    return [torch.tensor(2 * x - 1).permute(0, 3, 1, 2) for x in images]


def pair(config, folder):
    """The networks in torch, and a CycleGAN with their weights."""
    torch.manual_seed(0)
    networks = plain.networks(config)
    write(networks, folder)
    return networks, loaded(config, folder)


def loaded(config, folder):
    told = (
        "channels",
        "width",
        "residual_blocks",
        "discriminator_layers",
        "upsampling",
    )
    fields = {k: v for k, v in vars(config).items() if k not in told}
    model = load_cyclegan(folder, **fields)
    assert model.config == config
    return model


def write(networks, folder):
    folder.mkdir(exist_ok=True)
    for name, network in networks.items():
        torch.save(network.state_dict(), folder / f"latest_net_{name}.pth")


@pytest.fixture(scope="module")
def restart(tmp_path_factory):
    """Returns one compiled model, reset to its initial state."""
    keras.utils.set_random_seed(0)
    _, model = pair(CONFIG, tmp_path_factory.mktemp("theirs"))
    model.compile(rates(use_ema=True))
    return restarting(model)


@pytest.fixture
def model(restart):
    return restart()


# === Parity with plain torch ===


def test_translations_are_plain_torchs(tmp_path):
    networks, model = pair(PLAIN, tmp_path)
    a, b = batch(PLAIN)
    for images, direction, name in ((a, "a_to_b", "G_A"), (b, "b_to_a", "G_B")):
        with torch.no_grad():
            expected = networks[name](*tensors(images)).permute(0, 2, 3, 1).numpy()
        found = model.translate(images, direction)
        np.testing.assert_allclose(found, (expected + 1) / 2, rtol=0, atol=1e-4)


def test_scores_are_plain_torchs(tmp_path):
    config = replace(PLAIN, image_size=(24, 32), discriminator_layers=3)
    networks, model = pair(config, tmp_path)
    a, _ = batch(config)
    with torch.no_grad():
        expected = networks["D_B"](*tensors(a)).permute(0, 2, 3, 1).numpy()
    found = numpy(model.discriminator_a(2 * a - 1))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(CONFIG, id="history"),
        pytest.param(PLAIN, id="plain", marks=pytest.mark.slow),
    ],
)
def test_a_step_is_plain_torchs(config, tmp_path):
    networks, model = pair(config, tmp_path / "before")
    a, b = batch(config)
    fixed, shown = {}, {}
    if config.history:
        # The first image meets an earlier one, the second is shown.
        earlier = batch(config, config.history, seed=1)
        for name, images in zip("ab", earlier, strict=True):
            model.histories[name].images.assign(2 * images - 1)
            model.histories[name].filled.assign(np.ones(config.history))
            fixed[f"shown_{name}"] = np.int32([2, -1])
            fixed[f"place_{name}"] = np.int32([2, -1])
            (old,) = tensors(images)
            shown[f"show_{name}"] = lambda x, old=old: torch.stack([old[2], x[1]])
    # At a rate of 1, weights move by their gradients.
    model.compile(rates(1.0, 1.0))
    logs = step(model, {"a": a, "b": b, **fixed})
    descent = plain.optimizers(networks, lambda p: torch.optim.SGD(p, 1.0))
    expected = plain.step(networks, descent, *tensors(a, b), config, **shown)
    if not config.identity_weight:
        del expected["generators/identity"]
    for name, value in expected.items():
        assert float(logs[name]) == pytest.approx(value.item(), abs=1e-4), name

    write(networks, tmp_path / "after")
    theirs = loaded(config, tmp_path / "after")
    theirs = {v.path: numpy(v) for v in theirs.trainable_variables}
    for variable in model.trainable_variables:
        np.testing.assert_allclose(
            numpy(variable),
            theirs[variable.path],
            rtol=0,
            atol=1e-4,
            err_msg=variable.path,
        )


# === The step ===


def test_generators_run_as_often_as_in_the_authors_code(model):
    runs = []
    for translator in (model.a_to_b, model.b_to_a):

        def counted(*args, call=translator.call, name=translator.name, **kwargs):
            runs.append(name)
            return call(*args, **kwargs)

        translator.call = counted
    step(model, batch())
    for translator in (model.a_to_b, model.b_to_a):
        del translator.call
    # Each for its translation, for the cycle, and for the identity.
    assert sorted(runs) == ["a_to_b"] * 3 + ["b_to_a"] * 3


def test_a_phase_moves_its_own_networks_alone(model):
    for still, moving in (("generators", "disc"), ("discriminators", "_to_")):
        for name, member in model.optimizer.members.items():
            member.learning_rate = 0.0 if name == still else 0.1
        before = values(model)
        step(model, batch())
        for variable in model.trainable_variables:
            # Biases before an instance norm have no effect.
            if variable.path.endswith("kernel"):
                moved = (numpy(variable) != before[variable.path]).any()
                assert moved == (moving in variable.path), variable.path


@pytest.mark.slow
def test_micro_batches_equal_one_batch(model, tmp_path):
    data = dict(zip("ab", batch(rows=4), strict=True))
    # Two places are taken, by images of different micro-batches.
    data["place_a"] = data["place_b"] = np.int32([0, 2, -1, -1])
    data["shown_a"] = data["shown_b"] = np.int32([-1, 2, -1, 1])
    _, micro = pair(CONFIG, tmp_path)
    micro.compile(rates(0.01, 0.01), accumulate=2)
    for member in model.optimizer.members.values():
        member.learning_rate = 0.01
    found = []
    for each in (model, micro):
        for name, images in zip("ab", batch(CONFIG, CONFIG.history, 1), strict=True):
            each.histories[name].images.assign(2 * images - 1)
        logs = step(each, data)
        found.append((logs, {v.path: numpy(v) for v in each.variables}))
    (logs, state), (micro_logs, micro_state) = found
    for name, value in logs.items():
        assert float(micro_logs[name]) == pytest.approx(float(value), rel=1e-5), name
    for path, value in state.items():
        if "seed" not in path:
            # XLA sums otherwise in convolutions of batches of other sizes, and instance
            # norm magnifies that: translations alone differ by 3e-6.
            np.testing.assert_allclose(
                micro_state[path], value, rtol=0, atol=1e-5, err_msg=path
            )


def test_evaluation_leaves_the_histories_alone(model):
    before = values(model)
    logs = model.evaluate(*batch(), verbose=0, return_dict=True)
    assert set(logs) >= {"generators/cycle_a", "discriminators/fake_b"}
    for variable in model.variables:
        if "history_" in variable.path:
            np.testing.assert_array_equal(numpy(variable), before[variable.path])


@pytest.mark.slow
def test_learns_to_invert():
    # B is A in negative: the networks must find that from unpaired images.
    rng = np.random.default_rng(0)
    shades = rng.uniform(0, 0.3, (64, 1, 1, 1)) + rng.uniform(0, 0.05, (64, 16, 16, 1))
    a = shades.astype("float32")
    b = 1 - a[rng.permutation(64)]
    keras.utils.set_random_seed(0)
    model = CycleGAN(replace(CONFIG, channels=(1, 1), identity_weight=0.0))
    model.compile(
        {"generators": Adam(2e-3, 0.5), "discriminators": Adam(1e-3, 0.5)},
    )
    before = model.evaluate(a, b, verbose=0, return_dict=True)
    model.fit(a, b, batch_size=8, epochs=4, verbose=0)
    after = model.evaluate(a, b, verbose=0, return_dict=True)
    for name in ("cycle_a", "cycle_b"):
        assert after[f"generators/{name}"] < before[f"generators/{name}"] / 2
    assert model.translate(a, "a_to_b").mean() > 0.7
    assert model.translate(b, "b_to_a").mean() < 0.3


# === Translation ===


@pytest.mark.parametrize("size", [(16, 16), (23, 30)])
def test_translates_any_size(model, size):
    images = np.random.default_rng(0).uniform(size=(2, *size, 3)).astype("float32")
    found = model.translate(images, "b_to_a")
    assert found.shape == images.shape
    assert 0 <= found.min() <= found.max() <= 1
    # What is filled up does not move what is there: as computed on a larger mirror.
    height, width = (-(-side // 4) * 4 for side in size)
    padding = ((0, 0), (0, height - size[0]), (0, width - size[1]), (0, 0))
    whole = model.translate(np.pad(images, padding, mode="reflect"), "b_to_a")
    np.testing.assert_allclose(found, whole[:, : size[0], : size[1]], rtol=0, atol=1e-5)


def test_translates_pictures_of_several_sizes(model):
    rng = np.random.default_rng(0)
    pictures = [rng.uniform(size=(side, 20, 3)).astype("float32") for side in (16, 20)]
    found = model.translate(pictures, "a_to_b")
    for picture, translated in zip(pictures, found, strict=True):
        alone = model.translate(picture[None], "a_to_b")[0]
        np.testing.assert_allclose(translated, alone, rtol=0, atol=1e-5)


def test_translates_in_tiles(model):
    images = np.random.default_rng(0).uniform(size=(1, 40, 56, 3)).astype("float32")
    found = model.translate(images, "a_to_b", tile=24, overlap=8)
    # A corner that one tile alone covers is that tile's.
    corner = model.translate(images[:, :24, :24], "a_to_b")
    np.testing.assert_allclose(
        found[:, :15, :15], corner[:, :15, :15], rtol=0, atol=1e-5
    )
    whole = model.translate(images, "a_to_b", tile=56)
    untiled = model.translate(images, "a_to_b")
    np.testing.assert_allclose(whole, untiled, rtol=0, atol=1e-6)


def test_one_direction_alone(model, tmp_path):
    model.b_to_a.save_to_preset(tmp_path)
    alone = zoo.CycleGANGenerator.from_preset(tmp_path)
    _, b = batch()
    np.testing.assert_allclose(
        alone.translate(b), model.translate(b, "b_to_a"), rtol=0, atol=1e-6
    )
    assert (tmp_path / "model.safetensors").stat().st_size < 250_000
    with pytest.raises(TypeError, match="part of a CycleGAN"):
        alone.compile("adam")


@pytest.mark.parametrize("home", [zoo, cyclegan])
@pytest.mark.parametrize("name", ["Translator", "TranslatorConfig"])
def test_the_old_names_warn(home, name):
    new = name.replace("Translator", "CycleGANGenerator")
    with pytest.warns(DeprecationWarning, match=f"now zoo.{new}") as caught:
        found = getattr(home, name)
    assert found is getattr(zoo, new)
    assert caught[0].filename == __file__
    with pytest.raises(AttributeError, match="Trnslator"):
        home.Trnslator  # noqa: B018


def test_files_with_the_old_name_load(model, tmp_path):
    class Mine(zoo.CycleGANGenerator):
        pass

    alone, (a, _) = model.a_to_b, batch()
    own = Mine(alone.config)
    alone.save_to_preset(tmp_path / "preset")
    own.save_to_preset(tmp_path / "own")
    for folder in ("preset", "own"):
        file = tmp_path / folder / "config.json"
        text = file.read_text()
        assert '"CycleGANGenerator"' in text
        file.write_text(text.replace('"CycleGANGenerator"', '"Translator"'))
    alone.save(tmp_path / "new.keras")
    with (
        zipfile.ZipFile(tmp_path / "new.keras") as new,
        zipfile.ZipFile(tmp_path / "old.keras", "w") as old,
    ):
        for name in new.namelist():
            data = new.read(name)
            if name == "config.json":
                assert b'"zoo>CycleGANGenerator"' in data
                data = data.replace(b"CycleGANGenerator", b"Translator")
            old.writestr(name, data)
    for loaded in (
        zoo.from_preset(tmp_path / "preset"),
        zoo.CycleGANGenerator.from_preset(tmp_path / "preset"),
        keras.saving.load_model(tmp_path / "old.keras"),
        keras.saving.load_model(tmp_path / "new.keras"),
    ):
        assert type(loaded) is zoo.CycleGANGenerator
        np.testing.assert_array_equal(loaded.translate(a), alone.translate(a))
    loaded = Mine.from_preset(tmp_path / "own")
    np.testing.assert_array_equal(loaded.translate(a), own.translate(a))


# === Files ===


@pytest.mark.parametrize("form", ["keras", "preset"])
def test_saved_and_loaded(model, form, tmp_path):
    step(model, batch())
    if form == "keras":
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    else:
        model.save_to_preset(tmp_path)
        loaded = CycleGAN.from_preset(tmp_path)
    a, _ = batch()
    np.testing.assert_allclose(
        loaded.translate(a, "a_to_b"), model.translate(a, "a_to_b"), rtol=0, atol=1e-6
    )
    for name in "ab":
        found, expected = loaded.histories[name], model.histories[name]
        np.testing.assert_array_equal(numpy(found.images), numpy(expected.images))
        assert numpy(found.filled).sum() == B


def test_published_sizes():
    # "11.378 M" and "2.765 M", as the authors' code prints them.
    assert count_parameters(PRESETS["cyclegan_256"].translator()) == 11_378_179
    whole = CycleGANConfig((256, 256), history=0)
    assert count_parameters(whole) == 2 * (11_378_179 + 2_764_737)
    assert count_parameters(replace(whole, residual_blocks=6)) == 2 * (
        7_837_699 + 2_764_737
    )


@pytest.mark.slow
def test_mixed_precision_stays_near_float32(model):
    start = {v.path: numpy(v) for v in model.variables}
    expected = step(model, batch())
    mixed = CycleGAN(CONFIG, dtype="mixed_float16")
    for variable in mixed.variables:
        variable.assign(start[variable.path])
    mixed.compile(rates())
    for scale in mixed.optimizer.loss_scales.values():
        scale.scale.assign(1.0)
    for name, value in step(mixed, batch()).items():
        near = pytest.approx(float(expected[name]), rel=0.02, abs=0.005)
        assert float(value) == near, name
    assert numpy(mixed.histories["a"].filled).sum() == B


def test_resize_convolutions():
    model = CycleGAN(replace(CONFIG, upsampling="resize"))
    found = model.translate(batch()[0], "a_to_b")
    assert found.shape == (B, SIDE, SIDE, 3)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"image_size": (30, 32)}, "multiples of 4"),
        ({"image_size": (20, 20), "discriminator_layers": 3}, "from 24"),
        ({"channels": (3,)}, "two numbers"),
        ({"channels": (3, 1)}, "identity_weight=0"),
        ({"residual_blocks": 0}, "residual_blocks"),
        ({"cycle_weight": -1.0}, "cycle_weight"),
        ({"upsampling": "nearest"}, "upsampling"),
        ({"history": -1}, "history"),
    ],
)
def test_bad_configurations(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **changes)


def test_bad_data(model):
    a, b = batch()
    for data, message in (
        ((a,), "images of A, images of B"),
        ((a, b[:, :12]), r"shape \(N, 16, 16, 3\)"),
        ((a * 255, b), "Divide"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(*data, verbose=0)
    with pytest.raises(ValueError, match="got 'A'"):
        model.translate(a, "A")
    with pytest.raises(ValueError, match="at least 16"):
        model.translate(a[:, :12], "a_to_b")
    with pytest.raises(ValueError, match="got 18"):
        model.translate(a, "a_to_b", tile=18)
    with pytest.raises(ValueError, match="overlap must be .* got 16"):
        wide = np.zeros((1, 16, 20, 3))
        model.translate(wide, "a_to_b", tile=16, overlap=16)
