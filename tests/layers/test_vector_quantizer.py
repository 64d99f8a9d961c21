"""Against the formulas of van den Oord et al. 2017, in plain NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from zoo.layers.convolution.residual import ResidualBlock
from zoo.layers.latent.vector_quantizer import VectorQuantizer
from zoo.training import Model, Phase, input_gradient

K, D, B, SIDE = 5, 3, 4, 2
PLACES = SIDE * SIDE
DECAY = 0.9


def made(num_codes=K, **options):
    layer = VectorQuantizer(num_codes, D, decay=DECAY, **options)
    layer.build()
    return layer


def numpy(x):
    return ops.convert_to_numpy(x)


def vectors(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, SIDE, SIDE, D)).astype("float32")


def spread(layer, seed=1):
    """Gives it a codebook of far-apart codes that all count as in use."""
    book = np.random.default_rng(seed).normal(size=(layer.num_codes, D))
    layer.sums.assign(book / layer.num_codes)
    layer.usage.assign(np.full(layer.num_codes, 1 / layer.num_codes))
    return book.astype("float32")


def distances(z, book):
    return ((z.reshape(-1, 1, D) - book[None]) ** 2).sum(-1)


def test_the_nearest_code_is_taken():
    layer, z = made(), vectors()
    book = spread(layer)
    np.testing.assert_allclose(numpy(layer.codebook), book, atol=1e-5)
    expected = distances(z, book).argmin(-1).reshape(B, SIDE, SIDE)
    assert len(np.unique(expected)) > 2
    found = layer(z)
    np.testing.assert_array_equal(numpy(found.codes), expected)
    np.testing.assert_array_equal(numpy(layer.nearest(z)), expected)
    np.testing.assert_allclose(numpy(found.vectors), book[expected], atol=1e-5)
    np.testing.assert_allclose(numpy(layer.lookup(expected)), book[expected], atol=1e-5)
    mean = distances(z, book).min(-1).mean() / D
    assert float(found.commitment) == pytest.approx(mean, rel=1e-5)
    assert float(found.codebook) == pytest.approx(mean, rel=1e-5)


def test_moving_averages_follow_the_appendix():
    """N and m in numbers of vectors, equations 6 to 8, with Laplace smoothing."""
    layer = made(restart_below=0.0)
    book = spread(layer)
    total = B * PLACES
    counts, sums = np.full(K, total / K), book * total / K
    for step in range(3):
        z = vectors(step)
        chosen = distances(z, book).argmin(-1)
        one_hot = np.eye(K)[chosen]
        counts = DECAY * counts + (1 - DECAY) * one_hot.sum(0)
        sums = DECAY * sums + (1 - DECAY) * one_hot.T @ z.reshape(-1, D)
        smoothed = (counts + 1e-9) / (counts.sum() + K * 1e-9) * counts.sum()
        book = (sums / smoothed[:, None]).astype("float32")
        before = numpy(layer.codebook)
        found = layer(z, training=True)
        np.testing.assert_array_equal(numpy(found.codes).ravel(), chosen)
        assert np.abs(numpy(layer.codebook) - before).max() > 1e-3
        np.testing.assert_allclose(numpy(layer.codebook), book, atol=1e-5)


def test_evaluation_learns_nothing():
    layer = made()
    before = [numpy(w) for w in layer.weights]
    layer(vectors())
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(numpy(weight), value)


def test_gradients_pass_straight_through():
    layer, z = made(), vectors()
    spread(layer)
    weights = vectors(7)
    found = input_gradient(
        lambda z: layer(z).vectors * ops.convert_to_tensor(weights),
        ops.convert_to_tensor(z),
    )
    np.testing.assert_allclose(numpy(ops.stop_gradient(found)), weights, atol=1e-6)


class Toy(Model):
    """Vectors that are quantised; one update of SGD shows a loss's gradients."""

    def __init__(self, quantizer, term):
        super().__init__()
        self.quantizer, self.term = quantizer, term
        self.z = self.add_weight(shape=(B, SIDE, SIDE, D), initializer="zeros")

    def phases(self):
        return (Phase("toy", self.toy_loss, [self]),)

    def toy_loss(self, batch):
        found = self.quantizer(ops.convert_to_tensor(self.z), training=True)
        return {"loss": getattr(found, self.term)}


def gradients(layer, z, term):
    """Of one of the quantiser's losses, for the vectors and the codebook."""
    model, book = Toy(layer, term), numpy(layer.codebook)
    model.z.assign(z)
    model.compile(keras.optimizers.SGD(1.0))
    model.train_on_batch(np.zeros((B, 1), "float32"))
    return z - numpy(model.z), book - numpy(layer.codebook)


def test_the_commitment_moves_the_inputs_alone():
    layer, z = made(learning="gradient", restart_below=0.0), vectors()
    book = numpy(layer.codebook)
    nearest = book[distances(z, book).argmin(-1)].reshape(z.shape)
    to_z, to_book = gradients(layer, z, "commitment")
    np.testing.assert_allclose(to_z, 2 * (z - nearest) / z.size, atol=1e-6)
    assert not to_book.any()


def test_the_codebook_learns_by_gradient():
    layer, z = made(learning="gradient", restart_below=0.0), vectors()
    book = numpy(layer.codebook)
    chosen = np.eye(K)[distances(z, book).argmin(-1)]
    pulls = chosen.sum(0)[:, None] * book - chosen.T @ z.reshape(-1, D)
    to_z, to_book = gradients(layer, z, "codebook")
    np.testing.assert_allclose(to_book, 2 * pulls / z.size, atol=1e-6)
    assert not to_z.any()
    np.testing.assert_allclose(
        numpy(layer.usage), (1 - DECAY) * chosen.mean(0), atol=1e-6
    )


def test_all_codes_begin_on_vectors_of_the_first_batch():
    layer, z = made(), vectors()
    restarts = numpy(layer.draw_restarts(B, PLACES, keras.random.SeedGenerator(0)))
    assert restarts.shape == (B, K)
    assert ((restarts >= 0).sum(axis=0) == 1).all()
    assert restarts.min() == -1 and restarts.max() < PLACES
    layer(z, restarts, training=True)
    example = restarts.argmax(axis=0)
    expected = z.reshape(B, PLACES, D)[example, restarts.max(axis=0)]
    np.testing.assert_allclose(numpy(layer.codebook), expected, atol=1e-4)


def test_only_dead_codes_restart():
    layer, z = made(), vectors()
    spread(layer)
    usage = np.full(K, 1 / K)
    usage[[1, 3]] = 0.05 / K
    layer.usage.assign(usage)
    restarts = np.full((B, K), -1, "int32")
    restarts[2, 1], restarts[0, 3], restarts[1, 0] = 3, 0, 1
    kept = made(restart_below=0.0)
    spread(kept)
    kept(z, training=True)
    layer(z, restarts, training=True)
    expected = numpy(kept.codebook)
    expected[1] = z.reshape(B, PLACES, D)[2, 3]
    expected[3] = z.reshape(B, PLACES, D)[0, 0]
    np.testing.assert_allclose(numpy(layer.codebook), expected, atol=1e-4)
    # They count as in use for now, and are not placed anew at once.
    share = (numpy(layer.nearest(z)) == 1).mean()
    layer(z, restarts, training=True)
    usage = DECAY * 0.2 / K + (1 - DECAY) * share
    assert numpy(layer.usage)[1] == pytest.approx(usage, rel=1e-5)


def test_every_vector_is_as_likely_to_be_taken():
    seed = keras.random.SeedGenerator(3)
    layer = made(2000)
    restarts = numpy(layer.draw_restarts(B, PLACES, seed))
    taken = restarts.argmax(axis=0) * PLACES + restarts.max(axis=0)
    counts = np.bincount(taken, minlength=B * PLACES)
    # 125 each on average; five standard deviations.
    assert np.abs(counts - 125).max() < 55


def test_perplexity_counts_the_codes_in_use():
    layer = made()
    assert float(layer.perplexity()) == pytest.approx(1)
    layer.usage.assign([0.5, 0, 0.25, 0.25, 0])
    entropy = -np.sum([p * np.log(p) for p in (0.5, 0.25, 0.25)])
    assert float(layer.perplexity()) == pytest.approx(np.exp(entropy), rel=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_averages_stay_in_float32(policy):
    layer = made(dtype=policy, restart_below=0.0)
    spread(layer)
    found = layer(vectors(), training=True)
    assert {w.dtype for w in layer.weights} == {"float32"}
    assert keras.backend.standardize_dtype(found.vectors.dtype) == policy[6:]
    assert keras.backend.standardize_dtype(found.commitment.dtype) == "float32"
    assert keras.backend.standardize_dtype(layer.codebook.dtype) == "float32"


@pytest.mark.parametrize(
    "options, words",
    [
        ({"num_codes": 0}, "num_codes must be a whole number from 1, got 0"),
        ({"learning": "magic"}, "'magic'"),
        ({"decay": 1.0}, r"decay must be in \[0, 1\), got 1.0"),
        ({"restart_below": -1.0}, "restart_below must be"),
        ({"learning": "gradient"}, "Set it to 0"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(ValueError, match=words):
        VectorQuantizer(**{"num_codes": K, "dim": D, **options})


def test_restarts_must_be_drawn():
    with pytest.raises(ValueError, match="draw_restarts"):
        made()(vectors(), training=True)


def test_a_residual_block_adds_two_convolutions():
    block = ResidualBlock(2)
    block.build((None, 4, 4, 2))
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 2)).astype("float32")
    block.contract.kernel.assign(np.zeros((1, 1, 2, 2)))
    np.testing.assert_allclose(numpy(block(x)), x)
    # With the identity in the middle of both: x + relu(relu(x)).
    middle = np.zeros((3, 3, 2, 2))
    middle[1, 1] = np.eye(2)
    block.expand.kernel.assign(middle)
    block.contract.kernel.assign(np.eye(2)[None, None])
    np.testing.assert_allclose(numpy(block(x)), x + np.maximum(x, 0), atol=1e-6)
    with pytest.raises(ValueError, match="2 channels"):
        ResidualBlock(2).build((None, 4, 4, 3))
