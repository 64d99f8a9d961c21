"""Several processes share a cache: downloads, and token files that all write."""

import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time

import pytest

CONTENT = bytes(range(256)) * 2000


@pytest.fixture
def server():
    """Serves CONTENT slowly; counts requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        requests = 0

        def do_GET(self):
            type(self).requests += 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            for start in range(0, len(CONTENT), 100_000):
                self.wfile.write(CONTENT[start : start + 100_000])
                time.sleep(0.1)

        def log_message(self, *args):
            pass

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def run_at_once(count: int, code: str, *arguments: str, **environment: str) -> list:
    """Returns what each process prints."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, *arguments, str(number)],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    outputs = [process.communicate(timeout=800)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return outputs


@pytest.mark.host
def test_one_of_several_processes_downloads(tmp_path, server):
    code = (
        "import hashlib, sys; from zoo.files.downloads import downloaded\n"
        "path = downloaded('file', sys.argv[1], sys.argv[2], '')\n"
        "assert hashlib.sha256(path.read_bytes()).hexdigest() == sys.argv[2]\n"
    )
    url = f"http://127.0.0.1:{server.server_port}/file"
    digest = hashlib.sha256(CONTENT).hexdigest()
    run_at_once(4, code, url, digest, KERAS_HOME=str(tmp_path))
    assert server.RequestHandlerClass.requests == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_processes_train_from_one_cache(tmp_path):
    """Each process writes the tokenizer and the tokens, reads them and trains."""
    code = """
import os, sys
import keras
import numpy as np
import zoo
from zoo.data import RandomCrops, read_tokens, write_tokens
folder = sys.argv[1]
text = zoo.data.load("docs").validation[:20_000]
for _ in range(3):
    zoo.Tokenizer.characters(text).save(folder)
    tokenizer = zoo.Tokenizer.load(folder)
    write_tokens(os.path.join(folder, "tokens.npy"), tokenizer.encode(text))
    tokens = read_tokens(os.path.join(folder, "tokens.npy"))
    assert tokenizer.decode(np.asarray(tokens)) == text
keras.utils.set_random_seed(0)
model = zoo.GPT(zoo.GPTConfig(tokenizer.vocab_size, 8, 1, 1, 8))
model.compile("sgd")
crops = RandomCrops(tokens, 8, 2)
history = model.fit(crops.batches(), steps_per_epoch=2, verbose=0)
print(*history.history["loss"])
"""
    losses = run_at_once(8, code, str(tmp_path))
    assert len(set(losses)) == 1
    assert {file.name for file in tmp_path.iterdir()} == {
        "tokenizer.json",
        "tokens.npy",
    }
