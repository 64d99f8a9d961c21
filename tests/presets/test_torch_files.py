import collections
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch

from zoo.files.torch_files import read_state_dict

pytestmark = pytest.mark.host


def state():
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 5), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2)
    )
    found = module.state_dict()
    base = torch.arange(24.0)
    found["transposed"] = base.reshape(4, 6)[1:, 2:].T  # a strided view
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
    """Creates a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_runs_nothing(zipped, tmp_path):
    touched, file = tmp_path / "touched", tmp_path / "w.pth"
    content = collections.OrderedDict(a=torch.ones(2), b=Harm(touched))
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"names \w+.open, which no weight file needs"):
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
    with pytest.raises(ValueError, match="w.pth is damaged"):
        read_state_dict(file)
    with pytest.raises(FileNotFoundError):
        read_state_dict(tmp_path / "absent.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files(zipped, tmp_path):
    file = tmp_path / "w.pth"
    torch.save(state(), file, _use_new_zipfile_serialization=zipped)
    file.write_bytes(file.read_bytes()[:-600])
    with pytest.raises(ValueError, match="w.pth is damaged: expected weights"):
        read_state_dict(file)


# === Small files, large claims ===


def written(file, data, storage=bytes(16)):
    """Writes a zip in torch.save's layout around a pickle that it would not write."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", data)
        archive.writestr("a/data/0", storage)
    return file


def tensor(shape, strides, count=4):
    """Returns a pickle of one tensor; the storage of `count` floats holds four."""

    def numbers(values):
        longs = (b"\x8a\x10" + v.to_bytes(16, "little") for v in values)
        return b"(" + b"".join(longs) + b"t"

    return (
        b"\x80\x02}(X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n"
        b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
        b"X\x03\x00\x00\x00cpuK" + bytes([count]) + b"tQK\x00"
        b"" + numbers(shape) + numbers(strides) + b"\x89}tRu."
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tensor([2**29], [0]), "reaches beyond"),  # every element is the first one
        (tensor([2**40], [1]), "reaches beyond"),
        (tensor([2**40] * 3, [0] * 3), "reaches beyond"),
        (tensor([1] * 70, [0] * 70), "got 70"),
        (tensor([4], [1], count=200), "must have 200 elements"),
        # Hashing it takes 2**60 steps, or more stack than there is.
        (b"\x80\x02})" + b"q\x00h\x00\x86" * 60 + b"Ns.", "by a tuple"),
        (b"\x80\x02})" + b"\x85" * 300_000 + b"Ns.", "by a tuple"),
        (b"\x80\x02]" + b"(" * 300_000 + b"l" * 300_000 + b".", "KeyError: 108"),
        (b"\x80\x02c" + b"a\n" * 2 + b".", "names a.a, which no weight file needs"),
    ],
    ids=["stride 0", "long", "3 axes", "70 axes", "count", "wide", "deep", "list", "a"],
)
def test_claims_beyond_the_file(data, message, tmp_path):
    file = written(tmp_path / "w.pth", data)
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"w.pth is damaged: .*{message}"):
        read_state_dict(file)
    assert tracemalloc.get_traced_memory()[1] < 3e7
    tracemalloc.stop()


def test_members_that_share_their_bytes(tmp_path):
    """The directory of the zip lists one storage many times."""
    file = written(tmp_path / "w.pth", tensor([4], [1]), bytes(10**5))
    with zipfile.ZipFile(file, "a") as archive:
        first = archive.getinfo("a/data/0")
        for index in range(1, 30):
            other = zipfile.ZipInfo(f"a/data/{index}")
            for name in ("header_offset", "CRC", "compress_size", "file_size"):
                setattr(other, name, getattr(first, name))
            archive.filelist.append(other)
        archive._didModify = True
    with pytest.raises(ValueError, match="its members are larger than the file"):
        read_state_dict(file)


def test_an_encrypted_one(tmp_path):
    file = written(tmp_path / "w.pth", tensor([4], [1]))
    data = bytearray(file.read_bytes())
    place = data.index(b"PK\x01\x02")
    data[place + 8] |= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"w.pth is damaged: .*encrypted"):
        read_state_dict(file)


def test_a_file_that_changes_after_it_was_opened(tmp_path):
    file = tmp_path / "w.pth"
    torch.save({"a": torch.ones(5000)}, file, _use_new_zipfile_serialization=False)
    found = read_state_dict(file)
    assert found.shapes == {"a": (5000,)}
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"w.pth is damaged: .* bytes, got "):
        found["a"]


def test_kinds_of_numbers_and_parameters(tmp_path):
    kinds = ("float64", "int32", "int16", "int8", "uint8", "bool")
    expected = {k: torch.ones(2, 3).to(getattr(torch, k)) for k in kinds}
    expected["parameter"] = torch.nn.Parameter(torch.ones(2))
    torch.save(expected | {"b": torch.full((2,), 1.5).bfloat16()}, tmp_path / "w.pth")
    found = read_state_dict(tmp_path / "w.pth")
    np.testing.assert_array_equal(found["b"].astype("float32"), [1.5, 1.5])
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value.detach().numpy())
