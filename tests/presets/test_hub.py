"""Checkpoints by hf:// address, from a local hub server."""

import hashlib
import http.server
import json
import threading
import time

import numpy as np
import pytest

import zoo
from zoo.presets.weights import arrays_of
from zoo.store import hub

pytestmark = pytest.mark.host

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = zoo.GPTConfig(17, 12, 1, 2, 8)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the parts of the hub's API that a download uses."""

    files: dict[str, bytes] = {}
    cut: list[str] = []
    served: list[str] = []
    slow: list[str] = []
    # Replaces the body of the next file.
    instead: dict[str, bytes] = {}

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/own/gpt/revision/"):
            siblings = [{"rfilename": name} for name in self.files]
            content = json.dumps({"id": "own/gpt", "sha": COMMIT, "siblings": siblings})
            self.send(content.encode(), {"Content-Type": "application/json"}, body)
        elif path.startswith("/api/models/own/gpt/tree/"):
            tree = [
                {"type": "file", "path": n, "size": len(c), "oid": etag(c)}
                for n, c in self.files.items()
            ]
            content = json.dumps(tree)
            self.send(content.encode(), {"Content-Type": "application/json"}, body)
        elif path.startswith("/own/gpt/resolve/"):
            name = path.split("/", 5)[5]
            content = self.files[name]
            sent = self.instead.pop(name, content) if body else content
            if body:
                self.served.append(name)
            headers = {"ETag": f'"{etag(content)}"', "X-Repo-Commit": COMMIT}
            self.send(sent, headers, body, name)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def send(self, content, headers, body, name=""):
        start = 0
        if wanted := self.headers.get("Range"):
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if start else 200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", span)
        self.end_headers()
        if body and name in self.cut:
            self.cut.remove(name)
            self.wfile.write(content[start : len(content) // 2])
            self.close_connection = True
        elif body and name in self.slow:
            # Half of the body, then nothing until the client disconnects.
            self.wfile.write(content[start : len(content) // 2])
            self.wfile.flush()
            self.slow.remove(name)
            time.sleep(5)
            self.close_connection = True
        elif body:
            self.wfile.write(content[start:])

    def log_message(self, *args):
        pass


def etag(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


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
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    for module in ("constants", "_snapshot_download", "file_download", "hf_api"):
        name = f"huggingface_hub.{module}.ENDPOINT"
        monkeypatch.setattr(name, endpoint, raising=False)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", endpoint, raising=False)
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ZOO_OFFLINE", "0")
    Handler.served.clear()
    yield server
    server.shutdown()
    server.server_close()


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
