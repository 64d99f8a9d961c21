"""Broken and malicious files: one clear error, and nothing else.

More such tests are beside each format: truncated and bit-flipped checkpoints in
`test_manifest`, pickles in `test_torch_files`, HDF5 in `test_keras_hub`, downloads in
`test_hub`.
"""

import contextlib
import dataclasses
import json
import os
import pickle
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

import zoo
from tests.presets import test_hub as hub_server
from zoo.files.torch_files import read_state_dict
from zoo.presets.weights import arrays_of
from zoo.store.manifest import MANIFEST, Manifest, checkpoints

# pytest fixtures, imported so that tests of this file can request them.
model, server = hub_server.model, hub_server.server
pytestmark = pytest.mark.host
CONFIG = zoo.GPTConfig(17, 12, 1, 2, 8)


@pytest.fixture
def folder(tmp_path):
    zoo.GPT(CONFIG).save_to_preset(tmp_path / "gpt")
    return tmp_path / "gpt"


class Harm:
    """Creates a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def header_of(content):
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _longer(header):
    header["final_norm/beta"]["data_offsets"][1] += 4


def _overlapping(header):
    header["final_norm/beta"]["data_offsets"] = header["final_norm/gamma"][
        "data_offsets"
    ]


def _huge(header):
    header["final_norm/beta"]["shape"] = [2**62]


def _negative(header):
    header["final_norm/beta"]["data_offsets"] = [-8, 24]


def _other_kind(header):
    header["final_norm/beta"]["dtype"] = "F99"


@pytest.mark.parametrize("edit", [_longer, _overlapping, _huge, _negative, _other_kind])
def test_headers_that_lie(edit, folder):
    file = folder / "model.safetensors"
    header, data = header_of(file.read_bytes())
    edit(header)
    file.write_bytes(with_header(header, data))
    with pytest.raises(
        ValueError, match="model.safetensors is damaged: expected a safetensors"
    ):
        zoo.from_preset(folder)


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**63) + b"{}",  # a header longer than the file
        struct.pack("<Q", 2**40) + bytes(100),
        struct.pack("<Q", 100_000) + b"[" * 100_000,  # endlessly nested
        b"",
        bytes(1000),
    ],
    ids=["longest", "long", "nested", "empty", "zeros"],
)
def test_headers_that_are_none(content, folder):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(
        ValueError, match="model.safetensors is damaged: expected a safetensors"
    ):
        zoo.from_preset(folder)


def test_any_bit_of_a_header(folder):
    """A flipped bit is an error, or the same array by another name or shape; no crash.

    Only a manifest's hash can detect flips in the numbers themselves.
    """
    file = folder / "model.safetensors"
    content = file.read_bytes()
    length = 8 + struct.unpack("<Q", content[:8])[0]
    refused = 0
    for place in np.random.default_rng(0).integers(8 * length, size=60):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << (place % 8)
        file.write_bytes(damaged)
        try:
            zoo.from_preset(folder)
        except ValueError as error:
            assert str(folder) in str(error)
            refused += 1
    assert refused > 50  # not in the metadata, which is not read


def test_a_pickle_is_not_opened(folder, tmp_path):
    touched = tmp_path / "touched"
    harm = pickle.dumps(Harm(touched))
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        broken = shutil.copytree(folder, tmp_path / name.replace(".", "_"))
        (broken / name).write_bytes(harm)
        with pytest.raises(ValueError, match=str(broken)):
            zoo.from_preset(broken)
    pickle.loads(harm).close()
    assert touched.exists()  # it would have existed


def test_a_configuration_that_asks_for_all_memory(folder):
    """The claim is compared with the file before anything is allocated."""
    file = folder / "config.json"
    saved = json.loads(file.read_text())
    saved["config"] |= {"vocab_size": 10**9, "width": 10**6}  # 4 PB
    file.write_text(json.dumps(saved))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"embeddings is \(17, 8\) in the file and"):
        zoo.from_preset(folder)
    assert tracemalloc.get_traced_memory()[1] < 1e8
    tracemalloc.stop()


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"architecture": "GPT", "config": {"num_layers": "x"}}']
)
def test_configurations_that_are_none(text, folder):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match="config.json is damaged"):
        zoo.from_preset(folder)


def test_another_architecture(folder):
    with pytest.raises(ValueError, match="is a GPT, not a VAE"):
        zoo.VAE.from_preset(folder)
    file = folder / "config.json"
    saved = json.loads(file.read_text()) | {"architecture": "os.system"}
    file.write_text(json.dumps(saved))
    with pytest.raises(ValueError, match="no architecture 'os.system'"):
        zoo.from_preset(folder)


# === Partly ===


def test_what_fits_is_taken(folder, caplog):
    full = arrays_of(zoo.from_preset(folder))
    with pytest.raises(ValueError, match="Missing: block_1/.* Unexpected: none"):
        zoo.GPT.from_preset(folder, num_layers=2)
    longer = arrays_of(zoo.GPT.from_preset(folder, strict=False, num_layers=2))
    assert "has no weights for block_1/attention/output/bias" in caplog.text
    for name, array in full.items():
        np.testing.assert_array_equal(longer[name], array)
    kernel = longer["block_1/attention/query_key_value/kernel"]
    assert 0.005 < kernel.std() < 0.1  # as in a new model
    caplog.clear()
    zoo.GPT.from_preset(folder, strict=False, positions="rotary", width=8)
    assert "were ignored: positions/embeddings." in caplog.text
    with pytest.raises(
        ValueError, match=r"positions/embeddings is \(12, 8\) in the file and \(9, 8\)"
    ):
        zoo.GPT.from_preset(folder, strict=False, context_length=9)


# === Paths ===


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/../../secret"])
def test_manifests_stay_in_their_folder(name, tmp_path):
    folder = shutil.copytree(checkpoints()["classifier.mnist"], tmp_path / "copy")
    (tmp_path / "secret").write_text("secret")
    file = folder / MANIFEST
    file.write_text(file.read_text().replace('"config.json"', json.dumps(name)))
    with pytest.raises(ValueError, match="outside of its folder"):
        Manifest.read(folder)
    with pytest.raises(ValueError, match="outside of its folder"):
        zoo.from_preset(folder)


def test_a_name_that_cannot_be_printed(tmp_path):
    folder = shutil.copytree(checkpoints()["classifier.mnist"], tmp_path / "copy")
    file = folder / MANIFEST
    file.write_text(file.read_text().replace('"config.json"', '"con\\tfig.json"'))
    with pytest.raises(ValueError, match=r"lists 'con\\tfig.json': names must be"):
        Manifest.read(folder)


def test_a_hash_that_is_none(tmp_path):
    folder = shutil.copytree(checkpoints()["classifier.mnist"], tmp_path / "copy")
    file = folder / MANIFEST
    file.write_text(file.read_text().replace('sha256 = "', 'sha256 = "\\t', 1))
    with pytest.raises(ValueError, match=r"sha256 of .* must be 64 hexadecimal digits"):
        Manifest.read(folder)


def test_zip_files_lead_nowhere_and_do_not_swell(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.ones(3)}, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def written(method, renamed):
        with zipfile.ZipFile(tmp_path / "x.pth", "w", method) as archive:
            for name, content in members.items():
                archive.writestr(renamed(name), content)
        return tmp_path / "x.pth"

    same = written(zipfile.ZIP_STORED, lambda name: name)
    np.testing.assert_array_equal(read_state_dict(same)["a"], np.ones(3))
    # Members are read into memory by name; nothing is ever extracted into a folder.
    away = written(zipfile.ZIP_STORED, lambda name: f"../../{name}")
    before = sorted(tmp_path.parent.rglob("*"))
    np.testing.assert_array_equal(read_state_dict(away)["a"], np.ones(3))
    assert sorted(tmp_path.parent.rglob("*")) == before
    with pytest.raises(ValueError, match="is compressed"):
        read_state_dict(written(zipfile.ZIP_DEFLATED, lambda name: name))


# === A full disk, a killed process ===


def run(code, env=(), limit=None, **options):
    """Runs a process whose files may grow to `limit` bytes, as on a full disk."""

    def limited():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **dict(env)},
        preexec_fn=limited,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@contextlib.contextmanager
def full_disk(left):
    """Within it, no file of this process can grow beyond a number of bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "save",
    [zoo.GPT.save_to_preset, zoo.presets.export_gpt2, zoo.presets.export_keras_hub],
)
def test_a_full_disk_leaves_the_old_files(save, tmp_path):
    save(zoo.GPT(CONFIG), tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    larger = zoo.GPT(dataclasses.replace(CONFIG, vocab_size=900))
    with full_disk(4000), pytest.raises(OSError, match="File too large|can't be writt"):
        save(larger, tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert zoo.from_preset(tmp_path).config.vocab_size == CONFIG.vocab_size


FETCH = """
from zoo.presets import hub
print(hub.fetch("own/gpt"))
"""


def environment(server, tmp_path):
    return {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "ZOO_OFFLINE": "0",
        "ZOO_HOME": str(tmp_path / "home"),
    }


def test_a_download_onto_a_full_disk(server, model, tmp_path):
    env = environment(server, tmp_path)
    with run(FETCH, env, limit=2000) as process:
        out, err = process.communicate()
    assert process.returncode and not out and "File too large" in err
    with run(FETCH, env) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert hub_server.same(zoo.GPT.from_preset(out.strip()), model)


def test_a_killed_download_and_two_at_once(server, model, tmp_path, monkeypatch):
    env = environment(server, tmp_path)
    monkeypatch.setattr(
        hub_server.Handler, "slow", ["model.safetensors"], raising=False
    )
    with run(FETCH, env) as process:
        deadline = time.monotonic() + 60
        while hub_server.Handler.slow and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL and not hub_server.Handler.slow
    processes = [run(FETCH, env) for _ in range(2)]
    results = [process.communicate() for process in processes]
    assert [p.returncode for p in processes] == [0, 0], results
    (found,) = {out.strip() for out, _ in results}
    assert hub_server.same(zoo.GPT.from_preset(found), model)
