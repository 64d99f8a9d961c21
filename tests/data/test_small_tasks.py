import pytest

from zoo.data import LabelledText, load
from zoo.data.small_tasks import classified_texts, function_task, word_order

pytestmark = pytest.mark.host


def test_sentences_get_classes_and_labelled_texts_keep_theirs():
    sentences = load("animal_sentences")
    assert classified_texts(sentences, word_order).class_names == ("last", "first")
    data = function_task(load("docs"))
    assert classified_texts(data, word_order, pairs=False) is data


def test_pairs_and_values_are_refused():
    data = function_task(load("docs")).first(1)
    assert (len(data.train), len(data.validation), len(data.test)) == (1, 1, 0)
    object.__setattr__(data, "train", (LabelledText("a", 0, "b"),))
    assert classified_texts(data, word_order) is data
    with pytest.raises(ValueError, match="classes of single texts, got 'docs'"):
        classified_texts(data, word_order, pairs=False)
    object.__setattr__(data, "class_names", ())
    with pytest.raises(ValueError, match="classes of texts, got 'docs'. Use 'sst2'"):
        classified_texts(data, word_order)
