"""Loggers of other projects, read back from what they wrote."""

import base64
import io
import json
import struct
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.training.test_callbacks import fit
from tests.training.test_run import Config, train
from zoo.training import LogTo
from zoo.training.trackers.samples import encoded

IMAGES = np.linspace(0, 1, 5 * 4 * 4 * 1, dtype="float32").reshape(5, 4, 4, 1)


def samples():
    return {"text": "a <b> & c\nd", "images": IMAGES}


def events(folder):
    """Scalars, pictures and texts by name: lists of (update, value)."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = {}
    for file in sorted(folder.glob("tensorboard/events.*")):
        data, place = file.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            event = event_pb2.Event.FromString(data[place + 12 : place + 12 + length])
            place += 12 + length + 4
            for value in event.summary.value:
                kind = value.WhichOneof("value")
                found.setdefault(value.tag, []).append(
                    (event.step, getattr(value, kind))
                )
    return found


def test_tensorboard_gets_scalars_texts_and_pictures(regression, tmp_path):
    pytest.importorskip("tensorboardX")
    log = LogTo("tensorboard", folder=tmp_path, settings={"a": 1}, samples=samples)
    history = fit(regression, epochs=2, callbacks=[log])
    found = events(tmp_path)
    steps, losses = zip(*found["loss"], strict=True)
    assert steps == (2, 4)
    np.testing.assert_allclose(losses, history["loss"], rtol=1e-6)
    step, picture = found["images"][-1]
    image = Image.open(io.BytesIO(picture.encoded_image_string))
    assert step == 4 and image.size == (picture.width, picture.height)
    # Three by three places, of which five are taken.
    scale = image.width // 14
    pixels = np.asarray(image)[::scale, ::scale, 0]
    np.testing.assert_array_equal(
        pixels[:4, 5:9], np.round(IMAGES[1, :, :, 0] * 255).astype("uint8")
    )
    (name,) = [name for name in found if name.startswith("text")]
    words = found[name][0][1].string_val[0].decode()
    assert words == "    a <b> & c\n    d"


def test_tensorboard_itself_reads_it(regression, tmp_path):
    pytest.importorskip("tensorboardX")
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    fit(regression, callbacks=[LogTo("tensorboard", folder=tmp_path, samples=samples)])
    found = reader.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert "loss" in found.Tags()["scalars"] and found.Tags()["images"] == ["images"]


def test_a_run_logs_its_evaluations_also_when_resumed(tmp_path):
    pytest.importorskip("tensorboardX")
    config = Config(out=tmp_path, log=("tensorboard",))
    train(config, stop=lambda run: len(run.rows) == 2, samples=samples)
    train(replace(config, resume=True), samples=samples)
    found = events(tmp_path)
    for name in ("loss", "val_x", "learning_rate", "images"):
        assert [step for step, _ in found[name]] == [2, 4, 6, 8], name


class Standing(types.ModuleType):
    """Stands for wandb or trackio: records what it is given."""

    def __init__(self, name):
        super().__init__(name)
        self.started, self.logged, self.finished = [], [], 0

    def init(self, **options):
        self.started.append(options)
        return self

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished += 1

    def Html(self, text, inject):  # noqa: N802
        assert not inject
        return text

    def Image(self, image):  # noqa: N802
        return image.mode, image.size


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_experiments_get_everything_and_a_name_that_stays(name, tmp_path, monkeypatch):
    module = Standing(name)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    config = Config(out=tmp_path / "my run", log=(name,))
    train(config, stop=lambda run: len(run.rows) == 1, samples=samples)
    train(replace(config, resume=True), samples=samples)
    first, second = module.started
    assert first == second and first["name"].startswith("my-run-")
    assert first["config"]["learning_rate"] == 0.01 and first["resume"] == "allow"
    if name == "wandb":  # nobody is logged in
        assert first["mode"] == "offline" and first["id"] == first["name"]
    logged = {}
    for step, values in module.logged:
        for key, value in values.items():
            logged.setdefault(key, []).append((step, value))
    assert [step for step, _ in logged["loss"]] == [2, 4, 6, 8]
    assert logged["text"][0] == (2, "<pre>a &lt;b&gt; &amp; c\nd</pre>")
    assert logged["images"][0][1][0] == "RGB"
    assert module.finished == 2


@pytest.mark.slow
def test_wandb_works_offline_without_a_login(regression, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    fit(regression, callbacks=[LogTo("wandb", folder=tmp_path, samples=samples)])
    (run,) = tmp_path.glob("wandb/offline-run-*")
    assert [*run.glob("*.wandb")] and [*run.glob("files/media/images/*.png")]


def test_missing_packages_and_unknown_names_are_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(
        ValueError, match=r"Logging to tensorboard needs.*\[tensorboard"
    ):
        train(Config(out=tmp_path / "run", log=("tensorboard",)))
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="log must be among tensorboard, wandb.*'tb'"):
        LogTo("tb")
    with pytest.raises(ValueError, match="at least one logger"):
        LogTo()


def test_samples_become_texts_and_pictures(tmp_path):
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    found = encoded({"text": "x", "file": tmp_path / "a.png", "one": IMAGES[0]})
    assert found["text"] == "x"
    assert found["file"] == (tmp_path / "a.png").read_bytes()
    assert found["one"].startswith(b"\x89PNG")
    for wrong in (IMAGES[..., 0, 0], np.zeros((2, 4, 4, 2)), np.zeros((0, 4, 4, 1))):
        with pytest.raises(ValueError, match="the sample 'x' must be a text"):
            encoded({"x": wrong})


def test_the_page_of_a_run_has_the_samples(tmp_path):
    train(Config(out=tmp_path), samples=samples)
    page = (tmp_path / "index.html").read_text()
    assert "<pre>a &lt;b&gt; &amp; c\nd</pre>" in page
    data = page.split("data:image/png;base64,")[1].split('"')[0]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size[0] > 100
    config = Config(out=tmp_path / "none", samples=False)
    train(config, samples=lambda: json.loads("["))
