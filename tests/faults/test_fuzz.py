"""Mutated files are read, or refused with a clear error; see `tests.faults.fuzz`.

A few per reader by default, many as a slow test, millions by the command.
"""

import pytest

from tests.faults import seeds
from tests.faults.fuzz import campaign, run, total
from tests.faults.readers import READERS

pytestmark = pytest.mark.host

FEW, MANY = 40, 3000
MEGABYTES = 150  # beyond what the intact file took
NAMES = list(READERS)


@pytest.fixture(scope="module")
def seed_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults") / "seeds"
    seeds.make(folder)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_few_of_each_reader(name, seed_folder):
    count = run(name, seed_folder, FEW, seconds=20)
    assert not count.others, count.others
    assert count.read + count.refused == count.tries > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_of_all_readers(seed_folder):
    found = campaign(NAMES, seed_folder, MANY * len(NAMES), seconds=1800, processes=2)
    summed = total(found)
    assert not summed.others, summed.others
    assert summed.tries > 1000 * len(NAMES)
    assert summed.peak < MEGABYTES and summed.slowest < 5
