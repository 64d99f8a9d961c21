"""ELECTRA against `transformers`, with the same sampled tokens."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

import zoo
from tests.models.bert_texts import EAGER, LENGTH, SIZES, VOCAB, masked_texts, run, step
from tests.training.toys import with_weights
from zoo.engine.current import engine
from zoo.formats.huggingface.bert import convert
from zoo.models.bert.electra import drawn, placed
from zoo.presets import export_bert
from zoo.presets.weights import assign, named_weights

CONFIG = zoo.ElectraConfig(**SIZES, dropout=0.0, embedding_width=12)
TOLERANCE = 1e-4


def changed(**fields) -> zoo.ElectraConfig:
    return dataclasses.replace(CONFIG, **fields)


def made(config=CONFIG, **kwargs):
    return with_weights(zoo.Electra(config, **kwargs), stddev=0.3)


def batch(seed=0):
    texts = masked_texts(seed=seed)
    del texts["next_sentence"]
    noise = np.random.default_rng(seed + 2).random((4, 3))
    return texts | {"noise": noise.astype("float32")}


# === Configurations ===


def test_the_generator_is_smaller_and_shares_the_embeddings():
    generator = CONFIG.generator
    assert type(generator) is zoo.BertConfig
    assert (generator.width, generator.num_heads) == (6, 1)
    assert (generator.feed_forward_width, generator.embedding_width) == (10, 12)
    assert changed(embedding_width=0).generator.embedding_width == 24
    assert changed(embedding_width=6).generator.embedding_width == 0
    model = zoo.Electra(CONFIG)
    ours, theirs = model.bert, model.generator.encoder
    assert ours.token_embedding is theirs.token_embedding
    assert ours.positions is theirs.positions
    assert ours.embedding_norm is theirs.embedding_norm
    names = {name.split("/")[0] for name in named_weights(model)}
    assert names == {"bert", "replaced", "generator"}
    assert not any("embedding" in n for n in named_weights(model) if "generator" in n)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"generator_divisor": 0}, "generator_divisor must be a whole number from 1"),
        ({"generator_divisor": 5}, "generator_divisor must divide width=24, got 5"),
        ({"feed_forward_width": 42}, "must divide feed_forward_width=42"),
    ],
)
def test_bad_configurations_say_what_is_wrong(fields, message):
    with pytest.raises(ValueError, match=message):
        changed(**fields)


# === Drawing ===


def test_draws_are_of_the_distribution():
    logits = np.array([[0.0, 1.0, -40.0, 2.0, 0.5]], "float32")
    shares = np.exp(logits[0]) / np.exp(logits[0]).sum()
    noise = (np.arange(10_000, dtype="float32") + 0.5)[None] / 10_000
    logits = ops.convert_to_tensor(np.repeat(logits[:, None], noise.shape[1], axis=1))
    found = engine().numpy(drawn(logits, ops.convert_to_tensor(noise)))
    counts = np.bincount(found[0], minlength=5)
    assert np.abs(counts - 10_000 * shares).max() < 1.5
    ends = drawn(logits[:, :2], ops.convert_to_tensor([[0.0, 1.0]]))
    assert engine().numpy(ends).tolist() == [[0, 4]]


def test_tokens_are_put_where_places_count():
    texts = {
        "token_ids": np.array([[5, 6, 7, 8]]),
        "mask_positions": np.array([[2, 1, 0]]),
        "mask_weights": np.array([[1.0, 1.0, 0.0]]),
    }
    found = engine().numpy(placed(np.array([[0, 1, 2]]), texts))
    assert found.tolist() == [[5, 1, 0, 8]]


# === Beside transformers ===


def their_networks():
    """A discriminator and a generator with the same embeddings."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    fields = {
        "vocab_size": VOCAB,
        "embedding_size": 12,
        "num_hidden_layers": 1,
        "max_position_embeddings": 14,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    shapes = {
        "ElectraForPreTraining": (24, 3, 40),
        "ElectraForMaskedLM": (6, 1, 10),
    }
    networks = []
    torch.manual_seed(0)
    for name, (width, heads, hidden) in shapes.items():
        sizes = {"hidden_size": width, "num_attention_heads": heads}
        config = transformers.ElectraConfig(**fields, **sizes, intermediate_size=hidden)
        networks.append(getattr(transformers, name)(config).eval())
    discriminator, generator = networks
    generator.electra.embeddings = discriminator.electra.embeddings
    table = discriminator.electra.embeddings.word_embeddings.weight
    generator.generator_lm_head.weight = table
    # Else what is drawn as token 0 gives its vector no gradient.
    discriminator.electra.embeddings.word_embeddings.padding_idx = None
    with torch.no_grad():
        for parameter in (*discriminator.parameters(), *generator.parameters()):
            scale = parameter.detach().mean() > 0.9  # of a norm
            parameter.normal_(std=0.2).add_(float(scale))
    return discriminator, generator


def as_ours(theirs: dict, config=CONFIG):
    """Both networks' weights, or gradients, under our names."""
    discriminator, generator = (
        # Copies, for JAX would take them as they lie in torch's memory.
        {name: value(p).numpy().copy() for name, p in network.named_parameters()}
        for network, value in theirs.items()
    )
    ours = convert(discriminator, config, "Electra")
    for name, array in convert(generator, config.generator, "BertPretrainer").items():
        if name.startswith("bert/"):
            inner = name.removeprefix("bert/")
            if inner.startswith(("block", "projection")):
                ours[f"generator/encoder/{inner}"] = array
        else:
            ours[f"generator/{name}"] = array
    return ours


def their_losses(discriminator, generator, data):
    """Both losses, with tokens looked up in cumulative sums."""
    import torch

    entropy = torch.nn.functional.cross_entropy
    tensors = {name: torch.from_numpy(x) for name, x in data.items()}
    inputs = {
        "attention_mask": tensors["padding_mask"].long(),
        "token_type_ids": tensors["segment_ids"].long(),
    }
    ids, places = tensors["token_ids"].long(), tensors["mask_positions"].long()
    logits = generator(input_ids=ids, **inputs).logits
    rows, columns = np.nonzero(data["mask_weights"])
    at = places[rows, columns]
    logits, truth = logits[rows, at], tensors["mask_ids"].long()[rows, columns]
    sums = logits.detach().double().softmax(-1).cumsum(-1)
    noise = tensors["noise"].double()[rows, columns]
    found = torch.searchsorted(sums, noise[:, None])[:, 0]
    original, corrupted = ids.clone(), ids.clone()
    original[rows, at], corrupted[rows, at] = truth, found
    replaced = (original != corrupted).long()
    rtd = discriminator(input_ids=corrupted, labels=replaced, **inputs).loss
    share = replaced[tensors["padding_mask"]].float().mean()
    return entropy(logits, truth), rtd, share


def test_losses_and_gradients():
    discriminator, generator = their_networks()
    model = zoo.Electra(CONFIG)
    values = dict.fromkeys((discriminator, generator), lambda p: p.detach())
    arrays = as_ours(values)
    assign(model, arrays, "theirs")
    data = batch()
    mlm, rtd, share = their_losses(discriminator, generator, data)
    assert 0 < share < 0.3
    (mlm + 50 * rtd).backward()
    expected = as_ours(dict.fromkeys(values, lambda p: p.grad))
    model.compile(keras.optimizers.SGD(1.0), accumulate=2, **EAGER)
    logs = step(model, data)
    assert logs["mlm_loss"] == pytest.approx(mlm.item(), abs=1e-5)
    assert logs["rtd_loss"] == pytest.approx(rtd.item(), abs=1e-5)
    assert logs["loss"] == pytest.approx((mlm + 50 * rtd).item(), abs=TOLERANCE)
    assert logs["replaced"] == pytest.approx(share.item(), abs=1e-6)
    named = named_weights(model)
    assert set(named) == set(expected)
    for name, weight in named.items():
        gradient = arrays[name] - engine().numpy(weight)
        assert np.abs(gradient - expected[name]).max() < TOLERANCE, name
        assert np.abs(gradient).max() > 1e-6, name


def test_ten_steps():
    """Every backend follows plain SGD in torch."""
    torch = pytest.importorskip("torch")
    networks = their_networks()
    model = zoo.Electra(CONFIG)
    assign(model, as_ours(dict.fromkeys(networks, lambda p: p.detach())), "theirs")
    unique = {id(p): p for network in networks for p in network.parameters()}
    descent = torch.optim.SGD(unique.values(), 1e-3)
    model.compile(keras.optimizers.SGD(1e-3))
    for seed in range(10):
        data = batch(seed)
        mlm, rtd, _ = their_losses(*networks, data)
        descent.zero_grad()
        (mlm + 50 * rtd).backward()
        descent.step()
        logs = step(model, data)
        for name, loss in (("mlm_loss", mlm), ("rtd_loss", rtd)):
            assert logs[name] == pytest.approx(loss.item(), abs=1e-5), seed


# === Training ===


def test_micro_batches_and_remat_change_nothing():
    """Masked positions are weighted unevenly, and lengths differ."""
    data, ends, logs = batch(), [], []
    data["mask_weights"][2] = 0  # a text in which nothing counts
    for parts, remat in ((1, False), (4, True)):
        model = made(changed(remat=remat))
        model.compile(keras.optimizers.SGD(0.02), accumulate=parts, **EAGER)
        logs.append(step(model, data))
        ends.append(model.get_weights())
    assert logs[0] == pytest.approx(logs[1], rel=1e-6)
    for one, four in zip(*ends, strict=True):
        assert np.abs(one - four).max() < 1e-6


def test_noise_is_drawn_anew():
    model, data = zoo.Electra(CONFIG), batch() | {"next_sentence": np.zeros(4, "int32")}
    model.check(data)
    given = data.pop("noise")
    one, other = (engine().numpy(model.prepare(data)["noise"]) for _ in range(2))
    assert one.shape == given.shape
    assert (one != other).all() and (one >= 0).all() and (one <= 1).all()
    assert np.array_equal(model.prepare(batch())["noise"], given)


@pytest.mark.slow
def test_mixed_precision():
    model = made(dtype="mixed_bfloat16")
    model.compile(keras.optimizers.SGD(1e-3), **EAGER)
    losses = [step(model, batch())["loss"] for _ in range(4)]
    assert losses[-1] < losses[0]
    assert {w.dtype for w in model.weights} == {"float32"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": np.ones((4, 2))}, r"positions' shape \(4, 3\), got \(4, 2\)"),
        ({"noise": np.full((4, 3), 1.5)}, "noise must be from 0 to 1, got .* 1.5"),
        ({"mask_ids": np.full((4, 3), VOCAB)}, "mask_ids must be from 0 to 36"),
        ({"mask_weights": None}, "Electra is trained with dicts of token_ids, mask"),
    ],
)
def test_batches_that_do_not_fit(changes, message):
    data = {k: x for k, x in (batch() | changes).items() if x is not None}
    with pytest.raises(ValueError, match=message):
        zoo.Electra(CONFIG).check(data)


# === Saving ===


def test_saved_whole(tmp_path):
    model = made(changed(dropout=0.1))
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), **EAGER)
    model.save(tmp_path / "electra.keras")
    loaded = keras.models.load_model(tmp_path / "electra.keras")
    assert loaded.config == model.config
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(a, b)
    assert loaded.generator.encoder.positions is loaded.bert.positions


def test_the_discriminator_is_what_other_tasks_start_from(tmp_path, caplog):
    model = made()
    model.save_to_preset(tmp_path)
    again = zoo.Electra.from_preset(tmp_path)
    inputs = {k: batch()[k] for k in ("token_ids", "segment_ids", "padding_mask")}
    assert np.array_equal(run(again, inputs), run(model, inputs))
    assert run(model, inputs).shape == (4, LENGTH)
    assert not caplog.messages
    encoder = zoo.BertBackbone.from_preset(tmp_path, pooler=False)
    found = run(encoder, inputs)["sequence_output"]
    assert np.array_equal(found, run(model.bert, inputs))
    classifier = zoo.BertClassifier.from_preset(tmp_path, num_classes=3)
    assert "classifier/kernel" in caplog.text
    for name, weight in named_weights(classifier.bert).items():
        ours = named_weights(model.bert)[name]
        assert np.array_equal(*map(engine().numpy, (weight, ours))), name


def test_the_discriminator_is_written(tmp_path):
    """Written as transformers' ElectraForPreTraining with its head, and read back."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = made()
    export_bert(model, tmp_path)
    cls = transformers.ElectraForPreTraining
    theirs, report = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    data = batch()
    inputs = {k: data[k] for k in ("token_ids", "segment_ids", "padding_mask")}
    names = ("input_ids", "token_type_ids", "attention_mask")
    logits = theirs.eval()(
        **{
            name: torch.from_numpy(x).long()
            for name, x in zip(names, inputs.values(), strict=True)
        }
    ).logits
    far = np.abs(run(model, inputs) - logits.detach().numpy())
    assert far[data["padding_mask"]].max() < TOLERANCE
    again = zoo.Electra.from_preset(tmp_path, dropout=0.0)
    assert np.array_equal(run(again, inputs), run(model, inputs))
    assert again.new_weights and all("generator/" in x for x in again.new_weights)


def test_reads_a_released_discriminator(tmp_path, caplog):
    discriminator, _ = their_networks()
    discriminator.save_pretrained(tmp_path)
    caplog.clear()
    model = zoo.Electra.from_preset(tmp_path, dropout=0.0)
    assert "no weights for generator/" in caplog.text
    assert "replaced/" not in caplog.text
    import torch

    data = batch()
    theirs = discriminator(
        input_ids=torch.from_numpy(data["token_ids"]).long(),
        attention_mask=torch.from_numpy(data["padding_mask"]).long(),
        token_type_ids=torch.from_numpy(data["segment_ids"]).long(),
    ).logits
    inputs = {k: data[k] for k in ("token_ids", "segment_ids", "padding_mask")}
    far = np.abs(run(model, inputs) - theirs.detach().numpy())
    assert far[data["padding_mask"]].max() < TOLERANCE
