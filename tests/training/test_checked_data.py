"""Whatever brings the data, what a model can't take is an error in words."""

import keras
import numpy as np
import pytest

import zoo
from zoo.models.image_classifier import ImageClassifier, ImageClassifierConfig

RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 20, (8, 9)).astype("int32")
IMAGES = RNG.random((8, 8, 8, 3)).astype("float32")
LABELS = (np.arange(8) % 3).astype("int32")


class Batches(keras.utils.PyDataset):
    """Rows of four, the first four first."""

    def __init__(self, arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays[0]) // 4

    def __getitem__(self, index):
        return tuple(x[4 * index : 4 * index + 4] for x in self.arrays)


def loader(*arrays):
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(array) for array in arrays]
    dataset = torch.utils.data.TensorDataset(*tensors)
    return torch.utils.data.DataLoader(dataset, batch_size=4)


def tensorflow_dataset(*arrays):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(arrays).batch(4)


def grain_dataset(*arrays):
    grain = pytest.importorskip("grain")
    rows = grain.MapDataset.range(len(arrays[0]))
    return rows.map(lambda row: tuple(x[row] for x in arrays)).batch(4)


def generator(*arrays):
    batches = Batches(arrays)
    return (batches[index] for index in range(len(batches)))


def lists(*arrays):
    return (list(batch) for batch in generator(*arrays))


# Each gives what `fit` takes as x and y.
KINDS = {
    "arrays": lambda *arrays: arrays,
    "tensors": lambda *arrays: tuple(map(keras.ops.convert_to_tensor, arrays)),
    "PyDataset": lambda *arrays: (Batches(arrays),),
    "generator": lambda *arrays: (generator(*arrays),),
    "lists": lambda *arrays: (lists(*arrays),),
    "DataLoader": lambda *arrays: (loader(*arrays),),
    "tf.data": lambda *arrays: (tensorflow_dataset(*arrays),),
    "Grain": lambda *arrays: (grain_dataset(*arrays),),
}
# Without the tuning that Keras's own adapters ask TensorFlow for.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Your input ran out of data", "ignore:.*shuffle=True"
)


@pytest.fixture(scope="module")
def gpt():
    model = zoo.GPT(zoo.GPTConfig(20, 8, 1, 2, 8))
    model.compile(keras.optimizers.SGD(1e-3))
    return model


@pytest.fixture(scope="module")
def classifier():
    model = ImageClassifier(ImageClassifierConfig((8, 8, 3), 3, (4,), 4))
    model.compile(keras.optimizers.SGD(1e-3))
    return model


def changed(array, row, value):
    array = array.copy()
    array[row].flat[1] = value
    return array


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", [1, 6], ids=["first batch", "second batch"])
@pytest.mark.parametrize("bad", [20, -1])
def test_ids_that_do_not_exist(gpt, kind, row, bad):
    ids = changed(IDS, row, bad)
    with pytest.raises(ValueError, match="Token ids must be from 0 to 19 .*tokenizer"):
        gpt.fit(*KINDS[kind](ids), batch_size=4, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match="Token ids must be from 0 to 19"):
        gpt.evaluate(*KINDS[kind](ids), batch_size=4, verbose=0)
    if kind == "lists":
        return  # Keras's predict takes none
    with pytest.raises(ValueError, match="Token ids must be from 0 to 19"):
        gpt.predict(*KINDS[kind](ids[:, :8]), batch_size=4, verbose=0)


@pytest.mark.parametrize("kind", KINDS)
def test_good_data_train(gpt, classifier, kind):
    history = gpt.fit(*KINDS[kind](IDS), batch_size=4, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    history = classifier.fit(*KINDS[kind](IMAGES, LABELS), batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, LABELS + 1, r"Labels must be from 0 to 2 \(num_classes=3\)"),
        (IMAGES, LABELS - 1, "Labels must be from 0 to 2"),
        (IMAGES, LABELS + 0.5, "Labels must be .*(whole numbers|fraction)"),
        (255 * IMAGES, LABELS, "Values of images must be from 0 to 1.*by 255"),
        (np.moveaxis(IMAGES, 3, 1), LABELS, "Channels come last: np.moveaxis"),
    ],
    ids=["high", "negative", "fraction", "bytes", "channels first"],
)
def test_pictures_and_labels(classifier, kind, images, labels, message):
    labels = labels.astype("float32" if labels.dtype.kind == "f" else "int32")
    with pytest.raises(ValueError, match=message):
        classifier.fit(
            *KINDS[kind](images, labels), batch_size=4, shuffle=False, verbose=0
        )
    with pytest.raises(ValueError, match=message):
        classifier.evaluate(*KINDS[kind](images, labels), batch_size=4, verbose=0)


def test_a_step_looks_at_batches_by_itself(gpt):
    """The loss is no number; the weights still are."""
    gpt.plan.watch.start()
    gpt.train_on_batch(IDS)
    assert np.isnan(gpt.train_on_batch(changed(IDS, 2, -1)))
    with pytest.raises(ValueError, match="values from -1 to .*, first in batch 2"):
        gpt.plan.watch.check()
    assert all(np.isfinite(x).all() for x in gpt.get_weights())


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_arrays_without_rows(gpt, method):
    with pytest.raises(ValueError, match="must have at least one row"):
        getattr(gpt, method)(IDS[:0, :8], verbose=0)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_data_without_batches(gpt, method):
    data = tensorflow_dataset(IDS).take(0)
    with pytest.raises(ValueError, match="must give at least one batch"):
        getattr(gpt, method)(data, verbose=0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int64", "int16"])
def test_kinds_of_whole_numbers(gpt, dtype):
    expected = gpt.evaluate(IDS, verbose=0)
    ids = IDS.astype(dtype)
    assert gpt.evaluate(ids, verbose=0) == pytest.approx(expected, rel=1e-6)
    assert gpt.evaluate(ids[:, :-1], ids[:, 1:], verbose=0) == pytest.approx(
        expected, rel=1e-6
    )
    predicted = gpt.predict(ids[:, :8], verbose=0)
    np.testing.assert_allclose(predicted, gpt.predict(IDS[:, :8], verbose=0), atol=1e-6)


def test_ids_beyond_32_bits(gpt):
    with pytest.raises(ValueError, match="Token ids must be from 0 to 19"):
        gpt.fit(Batches([IDS.astype("int64") + 2**32]), verbose=0)


def test_validation_data_are_checked(gpt):
    for data in ((IDS + 15,), tensorflow_dataset(IDS + 15)):
        with pytest.raises(ValueError, match="Token ids must be from 0 to 19"):
            gpt.fit(IDS, validation_data=data, verbose=0)
