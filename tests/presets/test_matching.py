import pytest

import zoo
from zoo.presets import count_parameters
from zoo.presets.matching import matching_width

GRU = zoo.RecurrentLMConfig(40, 16, 1, 8, cell="gru")


def test_the_narrowest_that_is_large_enough():
    found = matching_width(GRU, 30_000)
    assert found.width % 8 == 0 and count_parameters(found) >= 30_000
    narrower = zoo.RecurrentLMConfig(40, 16, 1, found.width - 8, cell="gru")
    assert count_parameters(narrower) < 30_000
    assert matching_width(GRU, 1).width == 8


def test_out_of_reach():
    with pytest.raises(ValueError, match="No width up to 16384 .* Ask for fewer"):
        matching_width(GRU, 10**15)
