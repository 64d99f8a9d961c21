import numpy as np
import pytest

from zoo.evaluation.images.codes import code_usage

pytestmark = pytest.mark.host


def test_perplexity_is_the_number_of_equally_frequent_codes():
    found = code_usage(np.array([5, 0, 5, 5, 5]))
    assert found["codes_used"] == 4
    assert found["code_perplexity"] == pytest.approx(4)
    uneven = code_usage(np.array([97, 1, 1, 1]))
    assert uneven["codes_used"] == 4 and 1 < uneven["code_perplexity"] < 1.3
