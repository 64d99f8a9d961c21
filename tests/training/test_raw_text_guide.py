"""The guide's blocks run as they stand."""

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs/guides/raw-text-and-tables.md"


@pytest.mark.host
def test_the_guide(tmp_path, monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.S)
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block, GUIDE.name, "exec"), names)
    assert names["name"] in ("no", "yes") and 0 < names["probability"] < 1
    assert names["data"].class_names == ("bad", "good")
    reviews, bert = names["reviews"], names["bert"]
    bert.class_names = ("bad", "good")
    bert.fit(reviews["review"], reviews["stars"], verbose=0)
    assert (names["again"].encoder is names["encoder"]) and (
        tmp_path / "my_vae"
    ).is_dir()
