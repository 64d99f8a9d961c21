"""The page of a run, and that of several: whole, escaped, and true."""

import json
import os
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from zoo.reports.comparison import comparison_page, differing
from zoo.reports.curves import chart, number
from zoo.reports.run_folder import RunFolder, found_runs
from zoo.reports.run_page import write_page

pytestmark = pytest.mark.host

BAD = "<script>alert('x')</script> & \"quoted\""
STATE = {
    "recipe": "toy",
    "state": "running",
    "updates": 40,
    "monitor": "val_loss",
    "mode": "min",
    "seconds": 75.0,
    "environment": {"backend": "none 1.0"},
}
ROWS = [
    {"update": 10, "loss": 3.0, "val_loss": 3.5, "learning_rate": 0.1},
    {"update": 20, "loss": 2.0, "val_loss": 2.5, "learning_rate": 0.05},
    {"update": 30, "loss": 1.0, "val_loss": float("nan"), "learning_rate": 0.01},
]


def made(folder, state=STATE, rows=ROWS, summary=None, **settings):
    """A run's folder, as recipes write it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"variant": "demo", "seed": 0, **settings, "backend": "jax", "data": {}}
    (folder / "config.json").write_text(json.dumps(config))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(lines)
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary))
    if state is not None:
        write_page(folder, state, {"text": BAD, "picture": b"\x89PNG"})
    return folder


class Checked(HTMLParser):
    """Refuses anything that a page would fetch, and scripts that run."""

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        found = dict(attrs)
        for name in ("src", "href"):
            assert not re.match(r"[a-z]+:", found.get(name) or "data:")[0] != "data:"
        if tag == "script":
            assert found["type"] == "application/json"
        if tag not in ("meta", "img", "line", "circle", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()


def checked(text):
    parser = Checked()
    parser.feed(text)
    return parser.tags


def test_a_runs_page_shows_all_of_it_and_fetches_nothing(tmp_path):
    folder = made(tmp_path, note=BAD)
    page = (folder / "index.html").read_text()
    tags = checked(page)
    assert tags.count("svg") == 2 and "script" in tags
    assert BAD not in page and "&lt;script&gt;" in page
    for words in ("toy demo", "running", "update 30 of 40", "1:15", "none 1.0"):
        assert words in page
    assert "best val_loss (update 20)" in page and 'http-equiv="refresh"' in page
    # The samples stay where none are given.
    write_page(folder, {**STATE, "state": "finished"})
    again = (folder / "index.html").read_text()
    assert "&lt;script&gt;" in again and "data:image/png" in again
    assert 'http-equiv="refresh"' not in again
    assert RunFolder.read(folder).status == "finished"


def test_what_a_page_says_comes_back_whatever_it_holds(tmp_path):
    state = {**STATE, "error": "</script>" + BAD}
    assert RunFolder.read(made(tmp_path, state)).state == state


def test_charts_are_whole_pictures():
    text = chart("a<b", {"one": [(0, 1.0), (10, float("nan")), (20, 3.0)], "no": []})
    svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", text)[0])
    (line,) = svg.findall("polyline")
    points = [tuple(map(float, p.split(","))) for p in line.get("points").split()]
    assert len(points) == 2 and points[0][1] > points[1][1]
    assert "a&lt;b" in text and "<b>3</b>" in text
    for flat in ([(5, 2.0)], [(1, 0.0), (2, 0.0)], [(1, 1e300), (2, -1e300)]):
        ElementTree.fromstring(re.search(r"<svg.*</svg>", chart("x", {"y": flat}))[0])
    assert chart("x", {"y": [(1, float("inf"))]}) == ""
    many = [(i, float(i)) for i in range(10_001)]
    line = re.search(r'points="(.*?)"', chart("x", {"y": many}))[1].split()
    assert len(line) < 500


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (3.0, "3"), (0.001234567, "0.001235"), (123456.7, "1.23e5")],
)
def test_numbers_are_short(value, words):
    assert number(value) == words


def test_runs_are_found_wherever_they_lie(tmp_path):
    made(tmp_path / "a" / "part")
    made(tmp_path / "b", state=None, summary={"steps": 30, "seconds": 5.0})
    made(tmp_path / "b" / "preset")  # is no run
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "config.json").write_text("{}")
    found = [*found_runs([tmp_path, tmp_path / "b"])]
    assert found == [tmp_path / "a" / "part", tmp_path / "b"]
    old = RunFolder.read(tmp_path / "b")
    assert (old.status, old.updates, old.seconds) == ("finished", 30, 5.0)
    assert old.best() == (2.5, 20)
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        [*found_runs([tmp_path / "nowhere"])]


@pytest.mark.skipif(os.name != "posix", reason="asks the system about a process")
def test_a_run_whose_process_is_gone_was_killed(tmp_path):
    import platform

    here = {**STATE, "host": platform.node(), "pid": os.getpid()}
    assert RunFolder.read(made(tmp_path / "a", here)).status == "running"
    gone = {**here, "pid": 2**22 + 1}
    assert RunFolder.read(made(tmp_path / "b", gone)).status == "killed"
    elsewhere = {**gone, "host": "another machine"}
    assert RunFolder.read(made(tmp_path / "c", elsewhere)).status == "running"


def test_runs_are_compared_by_curves_and_differing_settings(tmp_path):
    runs = [
        RunFolder.read(made(tmp_path / name, seed=seed, out=name))
        for name, seed in (("a", 0), ("b", 1))
    ]
    assert differing(runs) == {"seed": [0, 1]}
    page = comparison_page(runs)
    checked(page)
    assert page.count("<polyline") == 2 * 3
    assert page.count("<tr class=differs>") == 1
    assert "<tr class=differs><td>seed</td><td>0</td><td>1</td>" in page
