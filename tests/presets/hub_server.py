"""A server that stands for the Hugging Face hub, in this process."""

import base64
import contextlib
import hashlib
import http.server
import json
import threading
import time

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the parts of the hub's API that downloads and uploads use.

    It has one repository. Uploads need the token "write".
    """

    repository = "own/gpt"
    private = False
    files: dict[str, bytes] = {}
    commits: list[str] = []
    cut: list[str] = []
    served: list[str] = []
    slow: list[str] = []
    # Replaces the body of the next file.
    instead: dict[str, bytes] = {}

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        api = f"/api/models/{self.repository}"
        page = f"http://{self.headers['Host']}/{self.repository}"
        if self.headers.get("Authorization") != "Bearer write":
            self.say({"error": "no access"}, 403)
        elif self.path == "/api/repos/create":
            said = json.loads(body)
            assert f"{said['organization']}/{said['name']}" == self.repository
            if self.files:
                self.say({"error": "exists", "url": page}, 409)
            else:
                type(self).private = said.get("visibility") == "private"
                self.say({"url": page})
        elif self.path == "/api/validate-yaml":
            assert json.loads(body)["content"].startswith("---\n")
            self.say({"warnings": [], "errors": []})
        elif self.path.startswith(f"{api}/preupload/"):
            names = [each["path"] for each in json.loads(body)["files"]]
            modes = {"uploadMode": "regular", "shouldIgnore": False}
            self.say({"files": [{"path": name} | modes for name in names]})
        elif self.path.startswith(f"{api}/commit/"):
            self.commit([json.loads(line) for line in body.splitlines()])
            url = f"{page}/commit/{COMMIT}"
            self.say({"commitUrl": url, "commitOid": COMMIT, "success": True})
        else:
            self.say({"error": self.path}, 404)

    def commit(self, operations):
        for each in operations:
            value = each["value"]
            if each["key"] == "header":
                self.commits.append(value["summary"])
            elif each["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            else:
                assert each["key"] == "deletedFile"
                del self.files[value["path"]]

    def say(self, value, status=200):
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def answer(self, body):
        path = self.path.partition("?")[0]
        if path.startswith(f"/api/models/{self.repository}/revision/"):
            siblings = [{"rfilename": name} for name in self.files]
            content = json.dumps(
                {"id": self.repository, "sha": COMMIT, "siblings": siblings}
            )
            self.send(content.encode(), {"Content-Type": "application/json"}, body)
        elif path.startswith(f"/api/models/{self.repository}/tree/"):
            tree = [
                {"type": "file", "path": n, "size": len(c), "oid": etag(c)}
                for n, c in self.files.items()
            ]
            content = json.dumps(tree)
            self.send(content.encode(), {"Content-Type": "application/json"}, body)
        elif path == f"/api/models/{self.repository}":
            content = json.dumps({"id": self.repository, "private": self.private})
            self.send(content.encode(), {"Content-Type": "application/json"}, body)
        elif path.startswith(f"/{self.repository}/resolve/"):
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


@contextlib.contextmanager
def serving(monkeypatch, home):
    """Runs the server, which `huggingface_hub` takes for the hub."""
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
    monkeypatch.setenv("ZOO_HOME", str(home))
    monkeypatch.setenv("ZOO_OFFLINE", "0")
    Handler.served.clear()
    yield server
    server.shutdown()
    server.server_close()
