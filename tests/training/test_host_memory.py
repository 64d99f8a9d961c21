import platform
import resource

import keras
import numpy as np
import pytest

from tests.training.toys import Regression, RegressionConfig
from zoo.engine import host_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's limits")
def test_freed_memory_is_used_again():
    host_memory.keep_freed()
    size = 96 << 20  # more than the C library would keep by itself

    def pages_fetched():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(size, "uint8")
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    pages_fetched()
    assert pages_fetched() < size / resource.getpagesize() / 10


def test_compiling_a_model_keeps_freed_memory(monkeypatch):
    calls = []
    monkeypatch.setattr(host_memory, "keep_freed", lambda: calls.append(1))
    Regression(RegressionConfig()).compile(keras.optimizers.SGD(0.1))
    assert calls
