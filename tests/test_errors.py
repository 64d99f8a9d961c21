"""Errors are sentences, and end as such."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.host

ROOT = Path(__file__).resolve().parents[1]
# Commands and code to copy, and Python's own words.
BARE = (
    "out.png",
    "--encoder FOLDER",
    "zoo convert FOLDER TARGET",
    "'the digit three'",
    "has no attribute ",
    "torchrun's processes",
)
# Expressions at the end of a message that hold whole sentences or commands.
ENDINGS = {
    "' '.join(map(repr, wrong))",
    "' '.join(refused)",
    "INSTEAD",
    "SKIP",
    "SMALLER",
    "advice",
    "cause(error)",
    "checkout.parent",
    "error",
    "expected",
    "hint",
    "instead",
    "kind.MORE_DEVICES",
    "known",
    "model.weightless",
    "self.folder",
    "taken",
    "way_out",
}


def messages() -> Iterator[tuple[str, ast.expr]]:
    """The literal messages of all errors, by place."""
    for folder in ("zoo", "recipes"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                    for message in node.exc.args[:1]:
                        place = f"{file.relative_to(ROOT)}:{node.lineno}"
                        yield place, message


def ends_well(message: ast.expr) -> bool:
    if isinstance(message, ast.JoinedStr) and message.values:
        last = message.values[-1]
        if isinstance(last, ast.FormattedValue):
            held = ast.unparse(last.value)
            before = message.values[-2] if len(message.values) > 1 else None
            words = str(before.value) if isinstance(before, ast.Constant) else ""
            bare = held in ENDINGS or held.startswith("installed_by(")
            return bare or words.endswith(BARE)
        message = last
    if not (isinstance(message, ast.Constant) and isinstance(message.value, str)):
        return True  # made elsewhere
    text = message.value.rstrip()
    return text.endswith((".", "?", ":", *BARE))


def test_errors_end_with_a_full_stop():
    found = list(messages())
    assert len(found) > 500
    assert [place for place, message in found if not ends_well(message)] == []


@pytest.mark.parametrize(
    ("code", "good"),
    [
        ("'x must be 1.'", True),
        ("'x must be 1'", False),
        ("f'x must be 1, got {x}.'", True),
        ("f'x must be 1, got {x}'", False),
        ("f'{path} is not a preset: {error}'", True),
        ("f'module {name!r} has no attribute {x!r}'", True),
        ("text", True),
    ],
)
def test_what_counts_as_an_end(code, good):
    assert ends_well(ast.parse(code, mode="eval").body) == good
