"""Every family names invalid values; a slow test tries every form of data."""

import pytest

from tests.faults.inputs import FAMILIES, KINDS, tried


@pytest.mark.parametrize("name", FAMILIES)
def test_arrays_and_generators(name):
    count, wrong = tried(name, ["arrays", "generator"], late=False)
    assert count and not wrong, wrong


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*shuffle=True", "ignore:Your input ran out")
@pytest.mark.parametrize("late", [False, True], ids=["first batch", "second batch"])
@pytest.mark.parametrize("name", FAMILIES)
def test_all_ways_to_bring_data(name, late):
    count, wrong = tried(name, list(KINDS), late)
    assert count and not wrong, wrong
