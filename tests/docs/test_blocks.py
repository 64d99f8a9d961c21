"""Blocks are found, and none is left out in silence."""

import pytest

from .blocks import blocks, commands
from .command_lines import check

pytestmark = pytest.mark.host


def test_blocks_and_markers():
    page = (
        "# Title\n```python\na = 1\n```\n<!-- slow: minutes -->\n\n```bash\nzoo list\n"
        "```\n```text\nshown\n```\n:::{tip}\n```\nmake demo\n```\n:::\n"
    )
    found = [(block.line, block.kind, block.marker) for block in blocks(page)]
    assert found == [(2, "python", ""), (7, "commands", "slow"), (14, "commands", "")]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("```rust\n```\n", "no test knows blocks of kind 'rust'"),
        ("<!-- not run -->\n```python\n```\n", "needs a reason"),
        ("<!-- skip: it fails -->\n```python\n```\n", "unknown marker"),
        ("```python\n", "has no end"),
    ],
)
def test_unknown_blocks_and_markers_are_refused(page, words):
    with pytest.raises(ValueError, match=words):
        blocks(page)


def test_commands():
    found = commands(
        "# a comment\n$ KERAS_BACKEND=jax zoo list  # names\n"
        "zoo info vae.mnist | head -3 > a.txt\nzoo plan gpt2 \\\n    --remat\n"
    )
    assert [(each.variables, each.words, each.plain) for each in found] == [
        ({"KERAS_BACKEND": "jax"}, ("zoo", "list"), True),
        ({}, ("zoo", "info", "vae.mnist"), False),
        ({}, ("head", "-3"), False),
        ({}, ("zoo", "plan", "gpt2", "--remat"), True),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "zoo nothing",
        "zoo sample vae.mnist --no-such-flag 3",
        "zoo train gpt_text --no-such-flag",
        "zoo train nothing",
        "python -m recipes.vae_mnist --variant nothing",
        "torchrun --nproc-per-node=2 -m recipes.gpt_text --nothing",
        "python -m benchmarks.nothing",
        "python -m benchmarks.scaling --nothing-like-it 3",
        "make nothing",
        "pip install -e '.[nothing]'",
        "pytest tests/nothing.py",
    ],
)
def test_wrong_commands_are_noticed(line, monkeypatch):
    (command,) = commands(line)
    assert check(command.words, monkeypatch)


def test_unknown_programs_are_noticed(monkeypatch):
    with pytest.raises(LookupError):
        check(("rm", "-r", "x"), monkeypatch)
