"""One model for all tests here, since what it compiles is kept."""

import pytest

from tests.generation.models import random_gpt


@pytest.fixture(scope="session")
def gpt():
    return random_gpt()
