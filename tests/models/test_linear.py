"""LinearLM: parity with torch and NumPy, caching, neighbours, saving."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.numpy_weights import numpy_weights, with_numpy_weights
from zoo import GPT, LinearLM, LinearLMConfig, Tokenizer
from zoo.engine.current import engine
from zoo.models.language.linear import mean_of_visible
from zoo.presets import count_parameters

CONFIG = LinearLMConfig(vocab_size=17, context_length=12, width=6)
RNG = np.random.default_rng(0)
WINDOWS = RNG.integers(17, size=(4, 13), dtype="int32")
INPUTS = WINDOWS[:, :-1]

# Of `torch_losses`, in float64; `test_reference_losses` recomputes them.
RATE, MOMENTUM = 0.5, 0.9
LOSSES = [
    2.83145996957648,
    2.824735736504492,
    2.821865428760319,
    2.840999603735669,
    2.8339092360631084,
    2.8414151789254087,
    2.8361469102400747,
    2.832143484356673,
    2.8335858723270895,
    2.840140837620115,
]


@pytest.fixture(scope="module")
def model():
    return with_numpy_weights(LinearLM(CONFIG))


def batches():
    """Ten batches of sequences that count in steps, modulo the vocabulary."""
    rng = np.random.default_rng(2)
    start, step = rng.integers(1, 17, size=(2, 10, 4, 1))
    return ((start + step * np.arange(13)) % 17).astype("int32")


def by_hand(ids) -> np.ndarray:
    """Logits (V,) after these tokens, in float64."""
    arrays = numpy_weights(LinearLM(CONFIG))
    mean = arrays["token_embedding/embeddings"][list(ids)].astype("float64").mean(0)
    return mean @ arrays["head/kernel"] + arrays["head/bias"]


def test_logits_are_of_the_mean_so_far(model):
    found = model.predict(INPUTS, verbose=0)
    assert found.shape == (4, 12, 17) and found.dtype == "float32"
    expected = [[by_hand(row[: t + 1]) for t in range(12)] for row in INPUTS]
    assert np.abs(found - expected).max() < 1e-5
    mask = np.ones(INPUTS.shape, bool)
    mask[:, 0], mask[1, 5] = False, False
    found = ops.convert_to_numpy(model({"token_ids": INPUTS, "padding_mask": mask}))
    assert np.abs(found[1, 8] - by_hand(INPUTS[1, [1, 2, 3, 4, 6, 7, 8]])).max() < 1e-5
    assert np.isfinite(found).all()


def test_means_without_anything_are_zero():
    x = np.ones((1, 2, 3), "float32")
    visible = np.asarray([[[False, False], [True, True]]])
    found = ops.convert_to_numpy(mean_of_visible(ops.convert_to_tensor(x), visible))
    assert found.tolist() == [[[0, 0, 0], [1, 1, 1]]]


def test_parameters():
    assert count_parameters(CONFIG) == 17 * 6 + 6 * 17 + 17


# === Training ===


def torch_losses(arrays) -> list[float]:
    import torch
    from torch.nn.functional import cross_entropy

    arrays = {k: torch.tensor(a, dtype=torch.float64) for k, a in arrays.items()}
    table, kernel, bias = (
        arrays[name].requires_grad_()
        for name in ("token_embedding/embeddings", "head/kernel", "head/bias")
    )
    optimizer = torch.optim.SGD([table, kernel, bias], RATE, momentum=MOMENTUM)
    losses = []
    for batch in torch.tensor(batches(), dtype=torch.long):
        sums = table[batch[:, :-1]].cumsum(1)
        means = sums / torch.arange(1, 13, dtype=torch.float64)[:, None]
        logits = means @ kernel + bias
        loss = cross_entropy(logits.reshape(-1, 17), batch[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_reference_losses():
    pytest.importorskip("torch")
    found = torch_losses(numpy_weights(LinearLM(CONFIG)))
    assert found == pytest.approx(LOSSES, rel=1e-9)


def test_ten_losses_are_those_of_every_backend():
    model = with_numpy_weights(LinearLM(CONFIG))
    model.compile(keras.optimizers.SGD(RATE, momentum=MOMENTUM))
    found = [model.fit(batch, verbose=0).history["loss"][0] for batch in batches()]
    assert found == pytest.approx(LOSSES, rel=1e-5)


def test_ids_outside_the_vocabulary():
    model = LinearLM(CONFIG)
    model.compile("sgd")
    with pytest.raises(ValueError, match="Token ids must be from 0 to 16"):
        model.fit(WINDOWS + 1, verbose=0)


# === Generation ===


def test_the_cache_changes_nothing(model):
    prompts = [[5], [1, 7, 2, 2, 11]]
    found = model.generate(prompts, 6, temperature=0)
    for prompt, row in zip(prompts, found, strict=True):
        for at in range(len(prompt), len(row)):
            assert row[at] == by_hand(row[:at]).argmax()
    assert model.generate(prompts[0], 6, temperature=0) == found[0]
    # Beside what is drawn from the sharper scores of beams.
    assert len(model.generate(prompts[1], 6, num_beams=2)) == 11


def test_scores(model):
    text = WINDOWS[0]
    found = model.score(text)
    for at, score in enumerate(found, start=1):
        logits = by_hand(text[:at])
        expected = logits[text[at]] - np.log(np.exp(logits).sum())
        assert score == pytest.approx(expected, abs=1e-5)


# === Embeddings ===


def test_nearest(model):
    table = engine().numpy(model.token_embedding.embeddings).astype("float64")
    found = model.nearest(3, k=4)
    cosines = table @ table[3]
    cosines /= np.linalg.norm(table, axis=1) * np.linalg.norm(table[3])
    order = [i for i in np.argsort(-cosines) if i != 3][:4]
    assert [token for token, _ in found] == order
    assert [cosine for _, cosine in found] == pytest.approx(cosines[order].tolist())
    letters = "abcdefghijklmnopq"
    named = LinearLM(CONFIG)
    named.set_weights(model.get_weights())
    named.tokenizer = Tokenizer.characters(letters)
    assert [text for text, _ in named.nearest("d", 4)] == [letters[i] for i in order]
    assert len(model.nearest(3, k=99)) == 16
    for bad, message in (("dd", "got 'dd'"), (17, "ids must be from 0 to 16")):
        with pytest.raises(ValueError, match=message):
            named.nearest(bad)
    with pytest.raises(ValueError, match="k must be a whole number from 1, got 0"):
        named.nearest(3, k=0)


# === Saving ===


def test_saved_and_loaded(model, tmp_path):
    model.save_to_preset(tmp_path)
    loaded = LinearLM.from_preset(tmp_path)
    assert loaded.config == model.config
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(a, b)
    with pytest.raises(ValueError, match="is a LinearLM, not a GPT"):
        GPT.from_preset(tmp_path)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again, LinearLM) and again.config == CONFIG


@pytest.mark.parametrize("name", ["vocab_size", "context_length", "width"])
def test_bad_configurations(name):
    with pytest.raises(ValueError, match=f"{name} must be a whole number from 1"):
        dataclasses.replace(CONFIG, **{name: 0})
