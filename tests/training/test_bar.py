"""The progress of a whole fit, in a terminal, a notebook and a file."""

import io
import re
import sys

import numpy as np
import pytest

from tests.training.test_callbacks import X, Y, fit
from zoo.training import ProgressBar, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that shows what the test sets."""

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def driven(bar, clock, seconds=1.0, evaluation=5.0, epochs=3, steps=4):
    """Calls a bar as `fit` does, each update taking some seconds."""
    bar.set_params({"epochs": epochs, "steps": steps, "verbose": 0})
    bar.on_train_begin()
    for epoch in range(epochs):
        bar.on_epoch_begin(epoch)
        for batch in range(steps):
            clock.now += seconds if batch else 10 * seconds  # the first compiles
            bar.on_train_batch_end(batch, {"loss": 2.0 - epoch})
        clock.now += evaluation
        bar.on_epoch_end(epoch, {"loss": 2.0 - epoch, "val_loss": 3.0})
    bar.on_train_end()


def test_lines_in_a_file_say_how_far_how_fast_and_how_long(clock, capsys):
    driven(ProgressBar(100, "images", seconds_between_lines=3.0), clock)
    lines = capsys.readouterr().out.splitlines()
    ends = [line for line in lines if "val_loss" in line]
    # Eight updates of a second and two evaluations of five are left.
    assert ends[0] == (
        "update 4/12 (33%)  1.0 updates/s  100 images/s  0:18 left  loss 2  val_loss 3"
    )
    assert "8/12 (67%)" in ends[1] and "0:09 left" in ends[1]
    assert ends[2].startswith("update 12/12 (100%)") and " in 0:54 " in ends[2]
    assert len(lines) > len(ends)


def test_a_resumed_run_starts_where_it_was(clock, capsys):
    driven(ProgressBar(total=20, start=8), clock)
    out = capsys.readouterr().out
    assert "12/20 (60%)" in out and "20/20 (100%)" in out and "update 4/" not in out


def test_without_a_known_number_of_steps_it_learns_it(clock, capsys):
    bar = ProgressBar()
    bar.set_params({"epochs": 2, "steps": None, "verbose": 0})
    bar.on_train_begin()
    for epoch in range(2):
        bar.on_epoch_begin(epoch)
        for batch in range(3):
            clock.now += 1.0
            bar.on_train_batch_end(batch, {})
        bar.on_epoch_end(epoch, {"loss": 1.0})
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("update 3  1.0 updates/s") and "left" not in first
    assert last.startswith("update 6/6 (100%)")


@pytest.mark.parametrize("width", [40, 100])
def test_in_a_terminal_one_line_is_redrawn(clock, width, monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    driven(ProgressBar(100, "images"), clock)
    drawn = stream.getvalue()
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", drawn)
    for line in re.split(r"[\r\n]", plain):
        assert len(line) < width or line.startswith("update "), line
    assert "━" in plain and "12/12" in plain
    assert plain.endswith("\n") and plain.count("\n") == 4  # three evaluations, the end
    assert "\x1b[?25l" not in drawn  # the cursor is never hidden


def test_a_fit_that_fails_leaves_a_whole_line(regression, monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    bar = ProgressBar()
    with pytest.raises(FloatingPointError):
        fit(regression, y=np.full_like(Y, np.nan), callbacks=[bar])
    bar.close()
    bar.close()
    assert stream.getvalue().endswith("\n")


def test_in_a_notebook_one_output_is_replaced(clock, monkeypatch):
    shown = []

    class Handle:
        def update(self, data, raw):
            assert raw
            shown[-1] = data["text/plain"]

    def display(data, raw, display_id):
        assert raw and display_id
        shown.append(data["text/plain"])
        return Handle()

    ipython = type(sys)("IPython.display")
    ipython.display = display
    monkeypatch.setitem(sys.modules, "IPython.display", ipython)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    driven(ProgressBar(100, "images"), clock)
    (line,) = shown
    assert line.startswith("━" * 24 + "  12/12") and "val_loss 3" in line


def test_a_plain_fit_shows_its_losses(regression, capsys):
    bar = ProgressBar(8)
    history = fit(regression, epochs=2, validation_data=(X, Y), callbacks=[bar])
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("update 2/4 (50%)") and "examples/s" in last
    assert f"loss {history['loss'][1]:.4g}" in last
    assert f"val_loss {history['val_loss'][1]:.4g}" in last


@pytest.mark.slow
def test_in_a_real_notebook(tmp_path):
    nbclient, nbformat = map(pytest.importorskip, ("nbclient", "nbformat"))
    code = (
        "import keras, numpy as np\nfrom zoo.training import ProgressBar\n"
        "m = keras.Sequential([keras.layers.Dense(1)])\nm.compile('sgd', 'mse')\n"
        "x = np.ones((64, 2))\n"
        "m.fit(x, x[:, :1], epochs=3, verbose=0, callbacks=[ProgressBar()]);"
    )
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(book, timeout=200).execute()
    (output,) = book.cells[0].outputs
    assert output["output_type"] == "display_data"
    assert "6/6" in output["data"]["text/plain"]
