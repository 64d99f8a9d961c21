import keras
import numpy as np
import pytest
from keras import ops
from keras.optimizers import SGD, Adam

from zoo.models.autoencoders.vqvae import PRESETS, VQVAE, VQVAEConfig
from zoo.presets.registry import no_initialisation

TINY = VQVAEConfig(
    image_shape=(8, 4, 1),
    num_codes=6,
    code_dim=3,
    channels=4,
    num_residual_blocks=1,
    downsampling=2,
    restart_below=0.0,
)


def images(count, shape=TINY.image_shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((count, *shape), dtype="float32")


def made(**changes):
    """A model whose codes lie far apart, so rounding can't change the nearest."""
    keras.utils.set_random_seed(0)
    model = VQVAE(VQVAEConfig(**{**vars(TINY), **changes}))
    quantizer = model.quantizer
    book = np.random.default_rng(1).normal(size=(TINY.num_codes, TINY.code_dim))
    if model.config.learning == "gradient":
        quantizer.vectors.assign(book)
    else:
        quantizer.sums.assign(book / TINY.num_codes)
        quantizer.usage.assign(np.full(TINY.num_codes, 1 / TINY.num_codes))
    return model


@pytest.fixture(scope="module")
def model():
    return made()


def state(model):
    return {w.path: np.array(ops.convert_to_numpy(w)) for w in model.weights}


def test_codes_and_images(model):
    x = images(5)
    codes = model.encode(x)
    assert codes.shape == (5, 2, 1) and codes.dtype == "int32"
    assert 0 <= codes.min() <= codes.max() < TINY.num_codes
    decoded = model.decode(codes)
    assert decoded.shape == x.shape and 0 <= decoded.min() <= decoded.max() <= 1
    np.testing.assert_allclose(model.reconstruct(x), decoded, atol=1e-6)
    np.testing.assert_array_equal(model.encode(x[:1]), codes[:1])
    whole = np.clip(ops.convert_to_numpy(model(ops.convert_to_tensor(x))), 0, 1)
    np.testing.assert_allclose(whole, decoded, atol=1e-5)


def test_the_loss_has_the_papers_terms(model):
    x = images(6)
    model.compile("adam")
    logs = model.evaluate(x, batch_size=3, verbose=0, return_dict=True)
    z = ops.convert_to_numpy(model.encoder(ops.convert_to_tensor(x)))
    book = ops.convert_to_numpy(model.quantizer.codebook)
    e = book[model.encode(x)]
    decoded = ops.convert_to_numpy(model.decoder(ops.convert_to_tensor(e)))
    reconstruction, commitment = np.square(x - decoded).mean(), np.square(z - e).mean()
    assert logs["reconstruction"] == pytest.approx(reconstruction, rel=1e-5)
    assert logs["commitment"] == pytest.approx(commitment, rel=1e-5)
    loss = reconstruction / TINY.variance + TINY.commitment * commitment
    assert logs["loss"] == pytest.approx(loss, rel=1e-5)
    assert logs["perplexity"] == pytest.approx(TINY.num_codes, rel=1e-5)


@pytest.mark.slow
def test_training_improves_and_spreads_the_codes():
    keras.utils.set_random_seed(0)
    changes = {"channels": 8, "downsampling": 1, "restart_below": 0.1, "decay": 0.9}
    model = VQVAE(VQVAEConfig(**{**vars(TINY), **changes}))
    model.compile(Adam(1e-2))
    # Halves of four brightnesses.
    halves = np.random.default_rng(0).permutation(np.repeat(np.arange(4), 16)) / 3
    x = np.ones((32, 2, 16), "float32") * halves.reshape(32, 2, 1)
    x = x.reshape(32, *TINY.image_shape).astype("float32")
    history = model.fit(x, epochs=20, batch_size=16, verbose=0).history
    assert history["reconstruction"][-1] < 0.2 * history["reconstruction"][0]
    assert history["perplexity"][-1] > 3
    assert len(np.unique(model.encode(x))) > 3


@pytest.mark.parametrize("learning", ["moving_average", "gradient"])
def test_micro_batches_equal_one_batch(learning):
    x = images(16).reshape(2, 8, *TINY.image_shape)
    found = {}
    for parts in (1, 2):
        model = made(learning=learning)
        model.compile(SGD(0.05), accumulate=parts)
        logs = [model.train_on_batch(batch, return_dict=True) for batch in x]
        found[parts] = state(model), [float(log["loss"]) for log in logs]
    np.testing.assert_allclose(found[2][1], found[1][1], rtol=1e-6)
    start = state(made(learning=learning))
    for path, value in found[1][0].items():
        np.testing.assert_allclose(found[2][0][path], value, atol=1e-6, err_msg=path)
        # up_1's bias and the like: everything learns, and so do the averages.
        assert np.abs(value - start[path]).max() > 1e-7, path


def test_micro_batches_restart_the_same_codes():
    x = images(8)
    restarts = np.full((8, TINY.num_codes), -1, "int32")
    for code, (example, place) in enumerate([(0, 1), (3, 0), (6, 1), (7, 1), (2, 0)]):
        restarts[example, code] = place
    restarts[5, 5] = 0
    found = {}
    for parts in (1, 2):
        model = made(restart_below=0.1)
        model.quantizer.usage.assign([0, 0, 0, 1 / 6, 0, 0])
        model.compile(SGD(0.1), accumulate=parts)
        model.train_on_batch({"images": x, "restarts": restarts})
        found[parts] = ops.convert_to_numpy(model.quantizer.codebook)
    np.testing.assert_allclose(found[2], found[1], atol=1e-5)


def test_saved_and_loaded(model, tmp_path):
    x = images(3)
    model.save_to_preset(tmp_path / "preset")
    again = VQVAE.from_preset(tmp_path / "preset")
    assert again.config == model.config
    np.testing.assert_array_equal(again.encode(x), model.encode(x))
    np.testing.assert_allclose(again.reconstruct(x), model.reconstruct(x), atol=1e-6)
    model.compile("adam")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.reconstruct(x), model.reconstruct(x), atol=1e-6)


def test_a_loaded_model_trains_on_alike(tmp_path):
    """Optimizer moments and the codes' averages and counts are saved too."""
    model, x = made(), images(8)
    model.compile(Adam(0.01))
    model.train_on_batch(x)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    found = []
    for each in (model, again):
        losses = [each.train_on_batch(x, return_dict=True)["loss"] for _ in range(2)]
        found.append((state(each), losses))
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-6)
    for path, value in found[0][0].items():
        np.testing.assert_allclose(found[1][0][path], value, atol=1e-6, err_msg=path)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_stays_near_float32(dtype):
    x, losses = images(8), {}
    for policy in ("float32", dtype):
        model, apart = VQVAE(TINY, dtype=policy), made()
        for variable, value in zip(model.variables, apart.variables, strict=True):
            variable.assign(value)
        model.compile(Adam(0.01))
        before, counted = state(model), 0
        # In float16 the loss scale first falls to 2^12, each time by a step left out.
        for _ in range(4 if policy == "mixed_float16" else 1):
            losses[policy] = float(model.train_on_batch(x, return_dict=True)["loss"])
            counted += losses[policy] > 0
        assert counted == 1
        for path, value in state(model).items():
            assert np.isfinite(value).all(), path
            assert (value != before[path]).any(), path
    assert losses[dtype] == pytest.approx(losses["float32"], rel=0.03)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_made(name):
    with no_initialisation():
        config = PRESETS[name]
        assert VQVAE(config).encoder.output_shape[1:3] == config.code_shape


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"image_shape": (28, 28)}, "height, width, channels"),
        ({"image_shape": (30, 28, 1)}, "multiples of 4"),
        ({"num_codes": 1}, "num_codes must be a whole number from 2, got 1"),
        ({"channels": 2.5}, "channels must be a whole number from 1, got 2.5"),
        ({"variance": 0.0}, "variance=0.0"),
        ({"learning": "magic"}, "'magic'"),
    ],
)
def test_bad_configurations(changes, words):
    with pytest.raises(ValueError, match=words):
        VQVAEConfig(**changes)


def test_bad_input(model):
    with pytest.raises(ValueError, match=r"\(N, 8, 4, 1\)"):
        model.encode(images(2, (4, 8, 1)))
    with pytest.raises(ValueError, match="Divide 8-bit images by 255"):
        model.encode(images(2) * 255)
    with pytest.raises(ValueError, match="values from 0 to 6"):
        model.decode(np.array([[[0], [6]]]))
    with pytest.raises(ValueError, match=r"shape \(N, \*\(2, 1\)\)"):
        model.decode(np.zeros((1, 2)))
    model.compile("adam")
    with pytest.raises(ValueError, match="from 0 to 1"):
        model.fit(images(2) - 1, verbose=0)
