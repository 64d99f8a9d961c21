import numpy as np
import pytest

from zoo.data.images.requests import ClassRequests

pytestmark = pytest.mark.host


def test_texts_name_the_class():
    requests = ClassRequests(["0", "1", "8", "cat"], "text")
    assert requests.words == ["zero", "one", "eight", "cat"]
    asked = requests(np.ones(40, int), np.random.default_rng(0))
    assert set(asked) == {"one", "a one", "the digit one", "draw a one"}
    texts = requests.texts()
    assert len(texts) == 16 and set(asked) < set(texts)
    assert "draw an eight" in texts and "a cat" in texts


def test_numbers_stay_as_they_are():
    labels = np.array([3, 1])
    requests = ClassRequests("0123", "label")
    assert requests(labels, np.random.default_rng(0)) is labels
