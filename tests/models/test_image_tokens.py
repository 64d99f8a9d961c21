import json

import keras
import numpy as np
import pytest
from keras import ops

from zoo import GPT, GPTConfig, Tokenizer
from zoo.models.autoencoders.vqvae import VQVAE, VQVAEConfig
from zoo.models.image_tokens import ImageTokens, LabelPrefix, TextPrefix, token_sizes

PROMPTS = ["a one", "two", "a"]
CODES = np.array([[[0, 5], [3, 1]], [[2, 2], [4, 0]]], "int32")
NUM_CODES = 6


@pytest.fixture(scope="module")
def vqvae():
    keras.utils.set_random_seed(0)
    model = VQVAE(
        VQVAEConfig(
            image_shape=(4, 4, 1),
            num_codes=NUM_CODES,
            code_dim=3,
            channels=4,
            num_residual_blocks=0,
            downsampling=1,
        )
    )
    model.quantizer.sums.assign(np.random.default_rng(0).normal(size=(NUM_CODES, 3)))
    return model


def tokens_model(vqvae, prefix):
    config = GPTConfig(*token_sizes(vqvae, prefix), 1, 2, 8, tie_embeddings=False)
    return ImageTokens(vqvae, GPT(config), prefix)


@pytest.fixture(scope="module")
def by_class(vqvae):
    return tokens_model(vqvae, LabelPrefix(3))


@pytest.fixture(scope="module")
def by_text(vqvae):
    return tokens_model(vqvae, TextPrefix.of(PROMPTS))


def test_sequences_of_classes(by_class):
    inputs, targets, weights = by_class.sequences(CODES, [2, 0])
    np.testing.assert_array_equal(inputs, [[2, 3, 8, 6], [0, 5, 5, 7]])
    np.testing.assert_array_equal(targets, [[3, 8, 6, 4], [5, 5, 7, 3]])
    np.testing.assert_array_equal(weights, np.ones((2, 4)))
    assert inputs.dtype == targets.dtype == "int32" and weights.dtype == "float32"


def test_sequences_of_texts(by_text):
    """Characters " aenotw" are 0 to 6, padding is 7, codes begin at 8."""
    inputs, targets, weights = by_text.sequences(CODES, ["two", "a one"])
    expected = [
        [7, 7, 5, 6, 4, 8, 13, 11, 9],
        [1, 0, 4, 3, 2, 10, 10, 12, 8],
    ]
    np.testing.assert_array_equal(inputs, np.array(expected)[:, :-1])
    np.testing.assert_array_equal(targets, np.array(expected)[:, 1:])
    np.testing.assert_array_equal(weights, [[0, 0, 0, 0, 1, 1, 1, 1]] * 2)


def test_the_loss_is_of_codes_alone(by_text):
    """The model is certain of each code and of no letter."""
    inputs, targets, weights = by_text.sequences(CODES, ["two", "a one"])
    by_text.gpt.compile("adam")
    nats = -np.concatenate(
        [
            by_text.gpt.score(row, prompt=first)
            for first, row in zip(
                inputs[:, :5].tolist(), targets[:, 4:].tolist(), strict=True
            )
        ]
    )
    logs = by_text.gpt.evaluate(
        inputs, targets, sample_weight=weights, verbose=0, return_dict=True
    )
    assert logs["loss"] == pytest.approx(nats.mean(), rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"temperature": 0.0}, {"top_k": 2}])
def test_only_codes_are_drawn(by_class, monkeypatch, options):
    """Even though the model prefers class tokens."""
    kernel = by_class.gpt.head.kernel
    before = ops.convert_to_numpy(kernel)
    norm = by_class.gpt.final_norm
    found = []
    generate = by_class.gpt.generate
    monkeypatch.setattr(
        by_class.gpt,
        "generate",
        lambda *args, **kw: found.append(generate(*args, **kw)) or found[-1],
    )
    try:
        norm.beta.assign(np.ones(8))
        kernel.assign(np.repeat([[3.0] * 3 + [0.0] * NUM_CODES], 8, axis=0) + before)
        plain = generate(np.zeros((50, 1), "int32"), 4, seed=0)[:, 1:]
        assert (plain < 3).mean() > 0.9
        images = by_class.sample(
            prompts=[0, 1, 2, 2, 1], seed=0, batch_size=2, **options
        )
    finally:
        kernel.assign(before)
        norm.beta.assign(np.zeros(8))
    assert images.shape == (5, 4, 4, 1)
    tokens = np.concatenate(found)
    assert tokens.shape == (6, 5)  # full batches: the last one's filling is cut off
    assert 3 <= tokens[:, 1:].min() <= tokens[:, 1:].max() < 3 + NUM_CODES
    codes = (tokens[:5, 1:] - 3).reshape(5, 2, 2)
    np.testing.assert_allclose(images, by_class.vqvae.decode(codes), atol=1e-6)


def test_draws_as_many_as_asked(by_class, by_text):
    images = by_class.sample(3, seed=1)
    assert images.shape == (3, 4, 4, 1)
    np.testing.assert_array_equal(by_class.sample(3, seed=1), images)
    given = by_class.sample(prompts=[0, 1, 2], seed=1)
    np.testing.assert_array_equal(by_class.sample(3, prompts=[0, 1, 2], seed=1), given)
    with pytest.warns(DeprecationWarning, match="prompts="):
        np.testing.assert_array_equal(by_class.sample([0, 1, 2], seed=1), given)
    with pytest.raises(ValueError, match="the number of prompts, 3, got 2"):
        by_class.sample(2, prompts=[0, 1, 2])
    with pytest.raises(ValueError, match="count must be a whole number from 1"):
        by_class.sample(0)
    for model, count in ((by_class, None), (by_text, 2)):
        with pytest.raises(ValueError, match="needs prompts"):
            model.sample(count)


def test_a_seed_repeats_the_images(by_text):
    images = by_text.sample(prompts=PROMPTS, seed=1)
    assert images.shape == (3, 4, 4, 1)
    assert 0 <= images.min() <= images.max() <= 1
    np.testing.assert_array_equal(by_text.sample(prompts=PROMPTS, seed=1), images)
    assert np.abs(by_text.sample(prompts=PROMPTS, seed=2) - images).max() > 0


@pytest.mark.parametrize("kind", ["by_class", "by_text"])
def test_saved_and_loaded(kind, request, tmp_path):
    model = request.getfixturevalue(kind)
    prompts = PROMPTS if kind == "by_text" else [0, 1, 2]
    model.save_to_preset(tmp_path / "preset")
    model.save_to_preset(tmp_path / "preset")  # over itself
    assert [path.name for path in tmp_path.iterdir()] == ["preset"]
    again = ImageTokens.from_preset(tmp_path / "preset")
    for found, expected in zip(
        again.sequences(CODES, prompts[:2]),
        model.sequences(CODES, prompts[:2]),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(
        again.sample(prompts=prompts, temperature=0),
        model.sample(prompts=prompts, temperature=0),
        atol=1e-6,
    )


def test_a_save_that_fails_leaves_the_old_preset(by_class, tmp_path, monkeypatch):
    by_class.save_to_preset(tmp_path / "preset")
    files = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def fail(folder):
        raise OSError("no space left")

    monkeypatch.setattr(by_class.gpt, "save_to_preset", fail)
    with pytest.raises(OSError, match="no space"):
        by_class.save_to_preset(tmp_path / "preset")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == files


def test_bad_presets(by_class, tmp_path):
    with pytest.raises(FileNotFoundError, match="config.json"):
        ImageTokens.from_preset(tmp_path)
    (tmp_path / "letter.txt").touch()
    with pytest.raises(ValueError, match="something else"):
        by_class.save_to_preset(tmp_path)
    assert (tmp_path / "letter.txt").exists()
    (tmp_path / "config.json").write_text(json.dumps([]))
    with pytest.raises(ValueError, match="damaged"):
        ImageTokens.from_preset(tmp_path)
    by_class.gpt.save_to_preset(tmp_path / "gpt")
    with pytest.raises(ValueError, match="something else"):
        by_class.save_to_preset(tmp_path / "gpt")
    with pytest.raises(ValueError, match="is a GPT, not a ImageTokens"):
        ImageTokens.from_preset(tmp_path / "gpt")


def test_bad_input(vqvae, by_class, by_text):
    with pytest.raises(ValueError, match="from 0 to 2, got values from 1 to 3"):
        by_class.sample(prompts=[1, 3])
    with pytest.raises(ValueError, match="list of class numbers"):
        by_class.sample(prompts=["two"])
    with pytest.raises(ValueError, match="at least one prompt"):
        by_class.sample(prompts=np.zeros(0, "int32"))
    with pytest.raises(ValueError, match="list of strings"):
        by_text.sample(prompts="two")
    with pytest.raises(ValueError, match="list of strings"):
        by_text.sample(prompts=[2])
    with pytest.raises(ValueError, match="from 1 to 5 tokens, got 7"):
        by_text.sample(prompts=["two two"])
    with pytest.raises(ValueError, match="'x'"):
        by_text.sample(prompts=["x"])
    with pytest.raises(ValueError, match="2 images and 1 prompts"):
        by_class.sequences(CODES, [1])
    with pytest.raises(ValueError, match="values from 0 to 6"):
        by_class.sequences(CODES + 1, [1, 1])
    with pytest.raises(ValueError, match="num_classes"):
        LabelPrefix(0)
    with pytest.raises(ValueError, match="length must be"):
        TextPrefix(Tokenizer.characters("ab"), 0)
    with pytest.raises(ValueError, match=r"\(9, 5\), got \(13, 9\)"):
        ImageTokens(vqvae, GPT(GPTConfig(13, 9, 1, 1, 4)), LabelPrefix(3))
