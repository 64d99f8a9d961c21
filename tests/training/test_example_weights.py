"""A weight of n counts as n examples; weights without a meaning are refused."""

import keras
import numpy as np
import pytest
from keras.optimizers import SGD

import zoo
from tests.training.toys import with_weights
from zoo.models.image_classifier import ImageClassifier, ImageClassifierConfig

RNG = np.random.default_rng(0)
ROWS = 4
WEIGHTS = np.array([3, 0, 1, 2], "float32")
IDS = RNG.integers(1, 11, (ROWS, 6), dtype="int32")
TARGETS = RNG.integers(1, 11, (ROWS, 6), dtype="int32")
MASK = np.arange(6) < np.array([[6], [3], [4], [5]])
CLASSES = np.array([0, 1, 2, 1], "int32")
TEXTS = {"token_ids": IDS, "padding_mask": MASK}
IMAGES = RNG.random((ROWS, 8, 8, 1)).astype("float32")
NOISE = RNG.normal(size=(ROWS, 1, 2)).astype("float32")
BERT = {"vocab_size": 11, "context_length": 6, "num_layers": 1, "num_heads": 2}


def bert(cls, config, **fields):
    return cls(config(**BERT, width=8, dropout=0.0, **fields))


# By name: a model, inputs and targets.
WEIGHED = {
    "gpt": lambda: (zoo.GPT(zoo.GPTConfig(11, 6, 1, 2, 8)), IDS, TARGETS),
    "gpt, windows": lambda: (zoo.GPT(zoo.GPTConfig(11, 6, 1, 2, 8)), IDS, None),
    "recurrent": lambda: (
        zoo.RecurrentLM(zoo.RecurrentLMConfig(11, 6, 1, 4)),
        IDS,
        TARGETS,
    ),
    "transformer": lambda: (
        zoo.Transformer(
            zoo.TransformerConfig(11, 6, 1, 2, 8, dropout=0.0, label_smoothing=0.1)
        ),
        IDS,
        TARGETS,
    ),
    "elmo": lambda: (zoo.ELMo(zoo.ELMoConfig(11, 6, 4, dropout=0.0)), TEXTS, None),
    "bert classes": lambda: (
        bert(zoo.BertClassifier, zoo.BertClassifierConfig, num_classes=3),
        TEXTS,
        CLASSES,
    ),
    "bert numbers": lambda: (
        bert(zoo.BertClassifier, zoo.BertClassifierConfig, num_classes=1),
        TEXTS,
        CLASSES / 2,
    ),
    "bert tags": lambda: (
        bert(zoo.BertTagger, zoo.BertTaggerConfig, num_classes=11),
        TEXTS,
        TARGETS,
    ),
    "bert spans": lambda: (
        bert(zoo.BertSpanQA, zoo.BertConfig),
        TEXTS,
        np.array([[0, 2]] * ROWS, "int32"),
    ),
    "classifier": lambda: (
        ImageClassifier(ImageClassifierConfig((8, 8, 1), 3, (4,), 4, dropout=0.0)),
        IMAGES,
        CLASSES,
    ),
    "autoencoder": lambda: (
        zoo.Autoencoder(zoo.AutoencoderConfig((8, 8, 1), 2, hidden=(8,))),
        IMAGES,
        None,
    ),
    "vae": lambda: (
        zoo.VAE(zoo.VAEConfig((8, 8, 1), 2, hidden=(8,))),
        {"images": IMAGES, "noise": NOISE},
        None,
    ),
    "vae, iwae": lambda: (
        zoo.VAE(zoo.VAEConfig((8, 8, 1), 2, hidden=(8,), objective="iwae")),
        {"images": IMAGES, "noise": NOISE},
        None,
    ),
}


def repeated(data):
    """Each row as often as it counts."""
    return keras.tree.map_structure(
        lambda x: None if x is None else np.repeat(x, WEIGHTS.astype(int), axis=0),
        data,
    )


def losses(model, x, y, weights=None):
    logs = model.evaluate(
        x, y, batch_size=8, sample_weight=weights, verbose=0, return_dict=True
    )
    return {k: v for k, v in logs.items() if k not in ("accuracy", "perplexity")}


@pytest.mark.parametrize("name", WEIGHED)
def test_a_weight_of_n_is_n_examples(name):
    model, x, y = WEIGHED[name]()
    with_weights(model, stddev=0.3)
    model.compile(SGD(0.0))
    expected = losses(model, *repeated((x, y)))
    assert losses(model, x, y, WEIGHTS) == pytest.approx(expected, rel=1e-5)
    assert losses(model, x, y) != pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["gpt", "bert classes", "vae", "bert tags"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_update_is_that_of_n_examples(name, accumulate):
    one, two = (WEIGHED[name]() for _ in range(2))
    for (model, _, _), parts in ((one, accumulate), (two, 1)):
        with_weights(model, stddev=0.3)
        model.compile(SGD(0.1), accumulate=parts)
    model, x, y = one
    model.fit(x, y, batch_size=4, sample_weight=WEIGHTS, shuffle=False, verbose=0)
    other, x, y = two
    other.fit(*repeated((x, y)), batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(model.trainable_variables, other.trainable_variables, strict=True):
        found, wanted = map(keras.ops.convert_to_numpy, (a, b))
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_weights_of_tokens_and_of_texts():
    model, x, y = WEIGHED["gpt"]()
    with_weights(model, stddev=0.3)
    model.compile(SGD(0.0))
    spread = np.repeat(WEIGHTS[:, None], 6, axis=1)
    expected = losses(model, x, y, WEIGHTS)
    assert losses(model, x, y, spread) == pytest.approx(expected, rel=1e-6)
    first = np.zeros_like(spread)
    first[:, 0] = 1
    assert losses(model, x, y, first) != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", ["classifier", "bert classes"])
def test_class_weights_count_in_the_loss_and_not_in_the_accuracy(name):
    model, x, y = WEIGHED[name]()
    with_weights(model, stddev=0.3)
    model.compile(SGD(0.0))
    of_classes = {0: 1.0, 1: 9.0, 2: 0.5}
    weights = np.array([of_classes[c] for c in y.tolist()], "float32")
    options = {"batch_size": 4, "shuffle": False, "verbose": 0}
    found = model.fit(x, y, class_weight=of_classes, **options).history
    same = model.fit(x, y, sample_weight=weights, **options).history
    plain = model.fit(x, y, **options).history
    assert found["loss"] == pytest.approx(same["loss"], rel=1e-6)
    assert found["accuracy"] == plain["accuracy"]
    assert found["loss"] != pytest.approx(plain["loss"], rel=1e-3)


REFUSED = {
    "vqvae": (
        lambda: zoo.VQVAE(zoo.VQVAEConfig((8, 8, 1), channels=4, num_codes=4)),
        (IMAGES,),
        "its codebook",
    ),
    "dcgan": (
        lambda: zoo.DCGAN(zoo.DCGANConfig(image_shape=(8, 8, 1), width=4)),
        (IMAGES,),
        "compare real and generated data",
    ),
    "cyclegan": (
        lambda: zoo.CycleGAN(
            zoo.CycleGANConfig(image_size=(24, 24), channels=(1, 1), width=4)
        ),
        (IMAGES, IMAGES),
        "no pairs to weigh",
    ),
    "bert": (
        lambda: bert(zoo.BertPretrainer, zoo.BertConfig),
        (TEXTS,),
        "scale mask_weights",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", ["sample_weight", "class_weight"])
def test_weights_without_a_meaning_are_refused(name, kind):
    make, data, why = REFUSED[name]
    given = {"sample_weight": WEIGHTS, "class_weight": {0: 2.0}}[kind]
    with pytest.raises(
        ValueError, match=f"takes no sample_weight or class_weight.*{why}"
    ):
        make().fit(*data, **{kind: given}, verbose=0)


def test_weights_in_a_batch_are_refused_too():
    make, data, why = REFUSED["cyclegan"]
    model = make()
    model.compile({"generators": "adam", "discriminators": "adam"})
    with pytest.raises(ValueError, match=why):
        model.fit(iter([(*data, WEIGHTS)]), verbose=0)


@pytest.mark.parametrize("name", ["gpt", "transformer", "bert tags", "vae"])
def test_class_weights_need_classes(name):
    model, x, y = WEIGHED[name]()
    model.compile("sgd")
    with pytest.raises(ValueError, match="class_weight weighs classes"):
        model.fit(x, y, class_weight={1: 2.0}, verbose=0)


def test_class_weights_of_classes_that_do_not_exist_are_refused():
    model, x, y = WEIGHED["classifier"]()
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"classes \[3\], .* from 0 to 2"):
        model.fit(x, y, class_weight={0: 1.0, 3: 2.0}, verbose=0)
    with pytest.raises(ValueError, match=r"classes \[3\], .* from 0 to 2"):
        model.train_on_batch(x, y, class_weight={0: 1.0, 3: 2.0})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones((4, 1), "float32"), r"of shape \(4,\), got shape \(4, 1\)"),
        (np.array([1, np.nan, 1, 1], "float32"), "all finite"),
        (np.array([1, -1, 1, 1], "float32"), "from 0 up"),
    ],
)
def test_weights_that_are_none(weights, message):
    model, x, y = WEIGHED["classifier"]()
    model.compile("sgd")
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, sample_weight=weights, verbose=0)
