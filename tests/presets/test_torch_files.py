import collections
import pickle

import numpy as np
import pytest
import torch

from zoo.presets.torch_files import read_state_dict

pytestmark = pytest.mark.host


def state():
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 5), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2)
    )
    found = module.state_dict()
    base = torch.arange(24.0)
    found["transposed"] = base.reshape(4, 6)[1:, 2:].T  # a view, with strides
    found["half"] = torch.tensor([1.5, -2.0]).half()
    found["scalar"] = torch.tensor(3)
    found["empty"] = torch.zeros(0, 3)
    return found


@pytest.mark.parametrize("zipped", [True, False])
def test_reads_what_torch_writes(zipped, tmp_path):
    expected = state()
    torch.save(expected, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    found = read_state_dict(tmp_path / "w.pth")
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), err_msg=name)
        assert found[name].dtype == tensor.numpy().dtype


class Harm:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_runs_nothing(zipped, tmp_path):
    touched, file = tmp_path / "touched", tmp_path / "w.pth"
    content = collections.OrderedDict(a=torch.ones(2), b=Harm(touched))
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"names \w+.open, which is no part"):
        read_state_dict(file)
    file.write_bytes(pickle.dumps(Harm(touched)))
    with pytest.raises(ValueError, match="names"):
        read_state_dict(file)
    assert not touched.exists()


def test_refuses_what_is_not_weights(tmp_path):
    file = tmp_path / "w.pth"
    for content, message in (
        ([torch.ones(2)], "holds a list"),
        ({"a": 3}, "'a' is a int, not an array"),
    ):
        torch.save(content, file)
        with pytest.raises(ValueError, match=message):
            read_state_dict(file)
    file.write_bytes(b"weights")
    with pytest.raises(ValueError, match="no file of weights"):
        read_state_dict(file)
    with pytest.raises(FileNotFoundError):
        read_state_dict(tmp_path / "absent.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files(zipped, tmp_path):
    file = tmp_path / "w.pth"
    torch.save(state(), file, _use_new_zipfile_serialization=zipped)
    file.write_bytes(file.read_bytes()[:-600])
    with pytest.raises(ValueError, match="no file of weights that can be read"):
        read_state_dict(file)
