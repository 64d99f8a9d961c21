"""Checkpoints by hf:// address, from a local hub server."""

import threading

import numpy as np
import pytest

import zoo
from tests.presets.hub_server import Handler, serving
from zoo.presets.weights import arrays_of
from zoo.store import hub

pytestmark = pytest.mark.host

CONFIG = zoo.GPTConfig(17, 12, 1, 2, 8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt")
    model = zoo.GPT(CONFIG)
    zoo.presets.export_gpt2(model, folder)
    Handler.files = {p.name: p.read_bytes() for p in folder.iterdir()}
    Handler.files |= {"run.py": b"raise SystemExit", "pytorch_model.bin": b"pickle"}
    return model


@pytest.fixture
def server(model, tmp_path, monkeypatch):
    with serving(monkeypatch, tmp_path / "home") as server:
        yield server


def same(a, b):
    a, b = arrays_of(a), arrays_of(b)
    return all(np.array_equal(a[name], b[name]) for name in b)


def test_an_address_is_fetched_once(server, model, tmp_path):
    found = zoo.GPT.from_preset("hf://own/gpt")
    assert found.config == CONFIG and same(found, model)
    assert "model.safetensors" in Handler.served
    # Files that could be executed or unpickled are not even fetched.
    assert not {"run.py", "pytorch_model.bin"} & set(Handler.served)
    assert (tmp_path / "home" / "hub").is_dir()
    Handler.served.clear()
    assert same(zoo.from_preset("hf://own/gpt"), model)
    assert not Handler.served


def test_without_a_network(server, model, monkeypatch):
    with pytest.raises(OSError, match="ZOO_OFFLINE is set"):
        monkeypatch.setenv("ZOO_OFFLINE", "1")
        zoo.GPT.from_preset("hf://own/gpt")
    monkeypatch.setenv("ZOO_OFFLINE", "0")
    zoo.GPT.from_preset("hf://own/gpt")
    server.shutdown()
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert same(zoo.GPT.from_preset("hf://own/gpt"), model)


def test_a_cut_download_goes_on(server, model):
    Handler.cut.append("model.safetensors")
    try:
        found = zoo.GPT.from_preset("hf://own/gpt")
    except OSError:
        found = zoo.GPT.from_preset("hf://own/gpt")
    assert same(found, model) and not Handler.cut


OTHERS = {
    "other bytes": lambda content: bytes(len(content)),
    "a flipped bit": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "more": lambda content: content + bytes(1000),
    "less": lambda content: content[:-1000],
    "nothing": lambda content: b"",
}


@pytest.mark.parametrize("change", OTHERS)
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_server_that_sends_something_else(change, name, server, model):
    """Wrong bytes, of the announced size or another, are an error; a retry is right.

    If there are too few bytes, the library requests the rest at once.
    """
    other = OTHERS[change](Handler.files[name])
    Handler.instead = {name: other}
    try:
        found = zoo.GPT.from_preset("hf://own/gpt")
    except (OSError, ValueError) as error:
        assert name in str(error) or "own/gpt" in str(error)
        found = zoo.GPT.from_preset("hf://own/gpt")
    assert not Handler.instead
    assert same(found, model)


def test_two_at_once(server, model):
    folders: list = []
    threads = [
        threading.Thread(target=lambda: folders.append(hub.fetch("own/gpt")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 2 and folders[0] == folders[1]
    assert same(zoo.GPT.from_preset(folders[0]), model)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf://nobody/nothing", "The hub has no checkpoint 'nobody/nothing'"),
        ("hf://gpt2", "must be hf://owner/name"),
        ("hf://own/../x", "must be hf://owner/name"),
        ("hf://own/g pt", "is not an address"),
    ],
)
def test_bad_addresses(server, name, message):
    with pytest.raises(ValueError, match=message):
        zoo.GPT.from_preset(name)


def test_known_names_have_an_address():
    assert hub.address("gpt2.webtext") == "openai-community/gpt2"
    assert hub.address("gpt2") is None
