"""`fit` with texts is `fit` with what they are encoded to, bit for bit."""

import keras
import numpy as np
import pytest

import zoo
from zoo.data import (
    LabelledText,
    Masking,
    TokenPairs,
    labelled_sequences,
    spelled_sequences,
    train_joint_bpe,
    windows_with_weights,
)
from zoo.data.pretraining.masking import most_masked
from zoo.models.image_classifier import ImageClassifier, ImageClassifierConfig
from zoo.training.raw.texts import segments_of
from zoo.training.seeds import set_seed

TEXTS = ["the cat sat on the mat", "a dog", "hello there, you all", "what is up"]
SECOND = ["it slept", "it ran off", "who are you?", "not much is"]
WORDPIECE = zoo.Tokenizer.train_wordpiece(TEXTS + SECOND, 80)
PAIRS = zoo.Tokenizer.train_bpe(TEXTS, 270)
BERT = (80, 24, 1, 2, 8)
# Keras's, at the end of every generator.
pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data")
EAGERLY = keras.config.backend() == "tensorflow"
LABELS, NAMES = [0, 1, 1, 0], ("no", "yes")


def trained(model, tokenizer=None):
    model.tokenizer = tokenizer
    # TensorFlow would trace each shape for seconds.
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=EAGERLY)
    model.first = [w.copy() for w in model.get_weights()]
    return model


@pytest.fixture(scope="module")
def gpt():
    return trained(zoo.GPT(zoo.GPTConfig(270, 8, 1, 2, 8)), PAIRS)


@pytest.fixture(scope="module")
def classifier():
    model = zoo.BertClassifier(
        zoo.BertClassifierConfig(*BERT, num_classes=2, class_names=NAMES, dropout=0.0)
    )
    return trained(model, WORDPIECE)


@pytest.fixture(scope="module")
def pretrainer():
    return trained(
        zoo.BertPretrainer(zoo.BertConfig(*BERT, pooler=False, dropout=0.0)), WORDPIECE
    )


def losses(model, *args, **kwargs):
    model.set_weights(model.first)
    set_seed(3)
    kwargs = {"batch_size": 2, "shuffle": False, "verbose": 0} | kwargs
    return model.fit(*args, **kwargs).history


def by_hand(length=8):
    rows = [np.append(PAIRS.encode(t), PAIRS.end_of_text_id) for t in TEXTS]
    parts = [windows_with_weights(row, length) for row in rows]
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def test_language_model(gpt):
    x, y, weights = by_hand()
    assert len(x) > len(TEXTS)  # longer texts continue in further rows
    expected = losses(gpt, x, y, sample_weight=weights, validation_data=(x, y, weights))
    assert losses(gpt, TEXTS, validation_data=TEXTS) == expected
    assert losses(gpt, np.array(TEXTS, object), validation_data=(TEXTS,)) == expected
    score = gpt.evaluate(x, y, sample_weight=weights, batch_size=2, verbose=0)
    assert gpt.evaluate(np.array(TEXTS), batch_size=2, verbose=0) == score
    doubled = np.repeat([2.0, 0.0, 1.0, 1.0], [len(by) for by in rows_of_each()])
    given = losses(gpt, TEXTS, sample_weight=np.array([2.0, 0.0, 1.0, 1.0]))
    weighted = losses(gpt, x, y, sample_weight=weights * doubled[:, None])
    assert given["loss"] == weighted["loss"]


def rows_of_each():
    rows = [np.append(PAIRS.encode(t), PAIRS.end_of_text_id) for t in TEXTS]
    return [windows_with_weights(row, 8)[0] for row in rows]


def test_texts_in_batches(gpt):
    expected = losses(gpt, TEXTS)["loss"]
    assert losses(gpt, (text for text in TEXTS))["loss"] == expected
    halves = [(TEXTS[:2],), (np.array(TEXTS[2:], object),)]
    assert losses(gpt, (half for half in halves))["loss"] == expected

    class Halves(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return halves[index]

    history = losses(gpt, Halves(), validation_data=Halves(), epochs=2)
    assert history["loss"][0] == expected[0]
    assert np.isfinite(history["val_loss"]).all() and len(history["loss"]) == 2


def test_tensorflow_dataset(gpt, classifier):
    tf = pytest.importorskip("tensorflow")
    texts = tf.data.Dataset.from_tensor_slices(TEXTS)
    expected = losses(gpt, TEXTS)["loss"]
    for data in (texts, texts.batch(2)):  # one by one, or in batches
        history = losses(gpt, data, epochs=2, validation_data=data)
        assert history["loss"][0] == expected[0]
    labelled = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(2)
    x = encoded(length=24)
    expected = losses(classifier, x, np.array(LABELS), epochs=2)
    assert losses(classifier, labelled, epochs=2) == expected
    weights = {0: 2.0, 1: 1.0}
    given = losses(classifier, labelled, class_weight=weights)
    assert given == losses(classifier, x, np.array(LABELS), class_weight=weights)
    found = classifier.predict(labelled, verbose=0)
    np.testing.assert_allclose(found, classifier.predict(x, verbose=0), atol=1e-5)


def test_data_loader(gpt):
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader(TEXTS, batch_size=2)
    assert losses(gpt, loader)["loss"] == losses(gpt, TEXTS)["loss"]


def test_grain(gpt, classifier):
    grain = pytest.importorskip("grain")
    expected = losses(gpt, TEXTS)["loss"]
    texts = grain.MapDataset.source(TEXTS)
    for data in (texts.batch(2), texts.batch(2).to_iter_dataset()):
        assert losses(gpt, data)["loss"] == expected
    assert losses(gpt, texts, epochs=2)["loss"][0] == expected[0]  # one by one
    x, labels = encoded(length=24), np.array(LABELS)
    labelled = grain.MapDataset.source(list(zip(TEXTS, LABELS, strict=True)))
    expected = losses(classifier, x, labels)
    assert losses(classifier, labelled.batch(2)) == expected
    named = [(text, NAMES[label]) for text, label in zip(TEXTS, LABELS, strict=True)]
    assert losses(classifier, grain.MapDataset.source(named).batch(2)) == expected


def encoded(second=(None,) * 4, length=None):
    examples = [
        LabelledText(text, None, pair) for text, pair in zip(TEXTS, second, strict=True)
    ]
    whole = labelled_sequences(examples, WORDPIECE, 24)
    return whole.pack(np.arange(4), length or whole.lengths.max())


def test_classifier(classifier):
    labels = np.array(LABELS, "int32")
    expected = losses(classifier, encoded(), labels)
    assert losses(classifier, TEXTS, LABELS) == expected
    names = [NAMES[label] for label in LABELS]
    assert losses(classifier, tuple(TEXTS), names) == expected
    expected = losses(classifier, encoded(SECOND), labels)
    assert losses(classifier, (TEXTS, SECOND), labels) == expected
    assert losses(classifier, list(zip(TEXTS, SECOND, strict=True)), labels) == expected
    found = classifier.predict(TEXTS, verbose=0)
    assert (found == classifier.predict(encoded(), verbose=0)).all()
    np.testing.assert_allclose(
        classifier.predict_on_batch(TEXTS), classifier.predict_on_batch(encoded())
    )


def test_names_and_probabilities(classifier):
    shares = classifier.predict_probabilities(encoded())
    assert (classifier.predict_probabilities(TEXTS) == shares).all()
    found = classifier.classify(TEXTS)
    assert found == [[(NAMES[r.argmax()], r.max().item())] for r in shares]
    both = classifier.classify(TEXTS, top=2)
    assert all({name for name, _ in row} == set(NAMES) for row in both)
    with pytest.raises(ValueError, match="top must be a whole number from 1 to"):
        classifier.classify(TEXTS, top=3)


def test_names_of_pictures():
    model = trained(
        ImageClassifier(ImageClassifierConfig((8, 8, 1), 2, hidden=(4,), dropout=0.0))
    )
    images = np.random.default_rng(0).random((4, 8, 8, 1), "float32")
    names = [NAMES[label] for label in LABELS]
    with pytest.raises(ValueError, match=r"class_names = \('no', 'yes'\)"):
        model.fit(images, names, verbose=0)
    model.class_names = NAMES
    assert losses(model, images, names) == losses(model, images, np.array(LABELS))
    with pytest.raises(ValueError, match="got \\['maybe'\\]"):
        model.fit(images, ["no", "yes", "maybe", "no"], verbose=0)
    assert model.classify(images, top=2)[0][0][0] in NAMES


def test_names_of_pictures_in_batches():
    model = trained(
        ImageClassifier(
            ImageClassifierConfig(
                (8, 8, 1), 2, hidden=(4,), dropout=0.0, class_names=NAMES
            )
        )
    )
    images = np.random.default_rng(0).random((4, 8, 8, 1), "float32")
    names, labels = [NAMES[label] for label in LABELS], np.array(LABELS)
    expected = losses(model, images, labels)
    halves = [(images[:2], names[:2]), (images[2:], np.array(names[2:]))]
    assert losses(model, (half for half in halves)) == expected

    class Halves(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return halves[index]

    weights = {"class_weight": {0: 2.0, 1: 1.0}}
    given = losses(model, Halves(), validation_data=Halves(), **weights)
    validated = {"validation_data": (images, labels)}
    expected_too = losses(model, images, labels, **validated, **weights)
    assert list(given) == list(expected_too)
    for name, values in given.items():
        assert values == pytest.approx(expected_too[name]), name
    np.testing.assert_allclose(
        model.predict(Halves(), verbose=0), model.predict(images, verbose=0), atol=1e-6
    )
    with pytest.raises(ValueError, match="got \\['maybe'\\]"):
        model.fit((half for half in [(images[:2], ["no", "maybe"])]), verbose=0)
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((images, names)).batch(2)
    assert losses(model, data, epochs=2)["loss"][0] == expected["loss"][0]
    assert model.evaluate(data, verbose=0) == pytest.approx(
        model.evaluate(images, labels, batch_size=2, verbose=0)
    )
    torch = pytest.importorskip("torch")
    rows = list(zip(images, names, strict=True))
    loader = torch.utils.data.DataLoader(rows, batch_size=2)
    assert losses(model, loader) == expected


def test_masks_are_drawn_for_each_batch(pretrainer):
    masking = Masking(WORDPIECE, most_masked(0.15, encoded()["token_ids"].shape[1]))
    x = encoded()

    def batches(seed):
        rng = np.random.default_rng(seed)
        for rows in (slice(0, 2), slice(2, 4)):
            part = {name: value[rows] for name, value in x.items()}
            yield ({**part, **masking(part["token_ids"], rng)},)

    set_seed(3)
    expected = losses(pretrainer, batches((np.random.randint(2**31), 0)))
    assert losses(pretrainer, TEXTS) == expected
    score = pretrainer.evaluate(TEXTS, batch_size=2, verbose=0)
    assert pretrainer.evaluate(TEXTS, batch_size=2, verbose=0) == score
    assert pretrainer.evaluate(batches(0), verbose=0) == score
    history = losses(pretrainer, TEXTS, epochs=2, validation_data=TEXTS)
    assert np.isfinite(history["val_loss"]).all()


def test_pairs_for_the_sentence_loss():
    model = trained(zoo.BertPretrainer(zoo.BertConfig(*BERT, dropout=0.0)), WORDPIECE)
    with pytest.raises(ValueError, match="needs pairs of texts"):
        model.fit(TEXTS, verbose=0)
    score = model.evaluate((TEXTS, SECOND), LABELS, verbose=0, return_dict=True)
    assert np.isfinite(score["nsp_loss"])


def test_translator():
    pairs = list(zip(TEXTS, SECOND, strict=True))
    tokenizer = train_joint_bpe(pairs, 280)
    config = zoo.TransformerConfig(280, 12, 1, 2, 8, 8, dropout=0.0)
    model = trained(zoo.Transformer(config), tokenizer)
    short = [text[:4] for text in TEXTS], [text[:5] for text in SECOND]
    rows = TokenPairs.of(list(zip(*short, strict=True)), tokenizer, 12)
    x, y = rows.batch(np.arange(4), rows.lengths.max())
    expected = losses(model, x, y)
    assert losses(model, *short) == losses(model, short) == expected
    with pytest.warns(UserWarning, match="4 texts have more than 4 tokens"):
        model.sequence_length = 4
        assert np.isfinite(losses(model, TEXTS, SECOND)["loss"]).all()
    with pytest.raises(ValueError, match="as many translations"):
        model.fit(TEXTS, SECOND[:2])
    with pytest.raises(ValueError, match="Use translate"):
        model.predict(TEXTS)


def test_self_attention_classifier():
    config = zoo.SelfAttentionClassifierConfig(80, 24, 2, width=8)
    model = trained(zoo.SelfAttentionClassifier(config), WORDPIECE)
    rows = [WORDPIECE.encode(text) for text in TEXTS]
    ids = np.zeros((4, max(map(len, rows))), "int32")
    for row, place in zip(rows, ids, strict=True):
        place[: len(row)] = row
    assert losses(model, TEXTS, LABELS) == losses(model, ids, np.array(LABELS))


def test_elmo():
    tokenizer = zoo.Tokenizer.train_words(TEXTS, 40)
    config = zoo.ELMoClassifierConfig(40, 1, 8, dropout=0.0, num_classes=2)
    model = trained(zoo.ELMoClassifier(config), tokenizer)
    examples = [LabelledText(text, None) for text in TEXTS]
    whole = labelled_sequences(examples, tokenizer, 24)
    x = whole.pack(np.arange(4), whole.lengths.max())
    x.pop("segment_ids")
    expected = losses(model, x, np.array(LABELS))
    assert losses(model, TEXTS, LABELS) == expected
    assert (model.predict_probabilities(TEXTS) == model.predict_probabilities(x)).all()
    with pytest.raises(ValueError, match="Set model.sequence_length"):
        model.fit(text for text in TEXTS)
    elmo = zoo.ELMo(zoo.ELMoConfig(40, 1, 8, dropout=0.0))
    elmo.tokenizer = tokenizer
    with pytest.raises(ValueError, match="without y"):
        elmo.fit(TEXTS, LABELS)


def test_elmo_that_reads_characters():
    tokenizer = zoo.Tokenizer.train_words(TEXTS, 12)  # some words are unknown
    filters = {"character_filters": (2, 2), "character_width": 4, "word_length": 6}
    config = zoo.ELMoConfig(tokenizer.vocab_size, 1, 8, dropout=0.0, **filters)
    model = trained(zoo.ELMo(config), tokenizer)
    examples = [LabelledText(text, None) for text in TEXTS]
    length = labelled_sequences(examples, tokenizer, 24).lengths.max()
    x = spelled_sequences(examples, tokenizer, length, 6).pack(np.arange(4))
    x.pop("segment_ids")
    assert x["character_ids"].shape == (4, length, 6)
    assert losses(model, TEXTS) == losses(model, x)
    found = model.predict(TEXTS, verbose=0)["forward"]
    assert (found == model.predict(x, verbose=0)["forward"]).all()
    model.sequence_length = 4
    with pytest.warns(UserWarning, match="have more than 4 tokens"):
        history = losses(model, (text for text in TEXTS))
    assert np.isfinite(history["loss"]).all()


def test_one_batch(pretrainer):
    pretrainer.set_weights(pretrainer.first)
    assert np.isfinite(pretrainer.test_on_batch(TEXTS)).all()
    assert np.isfinite(pretrainer.train_on_batch(TEXTS)).all()


def test_texts_that_are_cut_are_counted(classifier):
    with pytest.warns(UserWarning, match="2 of the first 4 texts have more than 6 tok"):
        try:
            classifier.sequence_length = 6
            assert classifier.predict(TEXTS, verbose=0).shape == (4, 2)
        finally:
            classifier.sequence_length = None


def test_what_is_refused(gpt, classifier, pretrainer):
    tagger = zoo.BertTagger(zoo.BertTaggerConfig(*BERT))
    tagger.tokenizer = WORDPIECE
    pictures = ImageClassifier(
        ImageClassifierConfig((8, 8, 1), 2, hidden=(4,), dropout=0.0)
    )
    carried = zoo.RecurrentLM(zoo.RecurrentLMConfig(270, 8, 1, 8, carried_rows=2))
    carried.tokenizer = PAIRS
    bare = zoo.GPT(zoo.GPTConfig(270, 8, 1, 2, 8))
    for model in (tagger, pictures, bare, carried):
        model.compile("sgd")
    for fit, message in (
        (lambda: bare.fit(TEXTS), "GPT was given texts, and has no tokenizer"),
        (lambda: bare.evaluate(TEXTS), "has no tokenizer"),
        (lambda: pictures.fit(TEXTS, LABELS), "does not take raw texts"),
        (lambda: tagger.fit(TEXTS, LABELS), "zoo.data.tagged_sequences"),
        (lambda: carried.evaluate(TEXTS), "each row continues the one before"),
        (lambda: gpt.fit(TEXTS, LABELS), "pass texts alone"),
        (lambda: gpt.fit((TEXTS, SECOND)), "got pairs of texts"),
        (lambda: gpt.fit((TEXTS, SECOND[:3])), "got 4 and 3"),
        (lambda: gpt.fit(["", ""]), "two tokens that count"),
        (lambda: gpt.fit(TEXTS, sample_weight=np.ones(3)), "each of 4 texts"),
        (lambda: gpt.fit(["a", None]), "got None as text 1"),
        (lambda: gpt.fit([b"a", b"\xff"]), "Text 1 is not UTF-8"),
        (lambda: gpt.predict(TEXTS), "Use generate"),
        (lambda: classifier.fit(TEXTS), "got inputs alone"),
        (lambda: pretrainer.fit(TEXTS, LABELS), "without y"),
        (lambda: pretrainer.fit(TEXTS, validation_split=0.5), "Pass validation_data"),
        (lambda: pretrainer.fit(TEXTS, sample_weight=np.ones(4)), "takes no sample_w"),
    ):
        with pytest.raises(ValueError, match=message):
            fit()


@pytest.mark.host
def test_what_is_text():
    assert segments_of("one") == (["one"],)
    assert segments_of(np.array(["é", "b"])) == (["é", "b"],)
    assert segments_of([b"\xc3\xa9"]) == (["é"],)
    assert segments_of([["a", "b"], ["c", "d"]]) == (["a", "c"], ["b", "d"])
    assert segments_of((["a", "b"], ["c", "d"])) == (["a", "b"], ["c", "d"])
    assert segments_of(np.array([["a", "b"]])) == (["a"], ["b"])
    for other in (None, [], [1, 2], np.ones(3), {"x": ["a"]}, (["a"], [1]), [["a"]]):
        assert segments_of(other) is None
    with pytest.raises(ValueError, match="must be a pair of texts"):
        segments_of([("a", "b"), ("c",)])


@pytest.mark.host
def test_pandas_columns():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"a": TEXTS, "b": SECOND, "n": [1, 2, 3, 4]})
    assert segments_of(table["a"]) == (TEXTS,)
    assert segments_of(table[["a", "b"]]) == (TEXTS, SECOND)
    assert segments_of(table[["a"]]) == (TEXTS,)
    assert segments_of(table["n"]) is segments_of(table[["n"]]) is None
    with pytest.raises(ValueError, match="as text 1"):
        segments_of(pd.Series(["a", None]))
