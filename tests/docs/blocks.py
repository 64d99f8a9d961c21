"""The code blocks of the documentation's pages, and what is to be done with each.

A comment on the line before a block says how it differs from the others:

    <!-- slow: why -->     only the slow tests run it
    <!-- smoke: why -->    the slow tests run its recipes with `--smoke`
    <!-- quick -->         the default tests run its commands too, with `--smoke`
    <!-- not run: why -->  nobody runs it; what is Python must still compile, and the
                           commands that we know must still parse
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}|:{3,})(?P<info>[^`\n]*)$")
MARKER = re.compile(r"<!-- (slow|smoke|quick|not run)(?:: (\S.*))? -->")
COMMANDS = ("", "bash", "console", "sh", "shell")
# What is shown, not run.
SHOWN = ("diff", "dockerfile", "html", "ini", "json", "make", "text", "toml", "yaml")


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        line: the number of its first line in the page, from 0.
        kind: "python" or "commands".
        text: what is within the fences.
        marker: "slow", "smoke", "quick", "not run" or "".
    """

    line: int
    kind: str
    text: str
    marker: str = ""


def pages() -> list[Path]:
    """README and the documentation's pages, except lectures, which the build runs."""
    found = [
        page
        for page in (ROOT / "docs").rglob("*.md")
        if not {"_build", "lectures"} & {*page.relative_to(ROOT / "docs").parts}
    ]
    return [ROOT / "README.md", *sorted(found)]


def blocks(text: str) -> list[Block]:
    """The blocks of a page that are run or checked.

    Raises:
        ValueError: a block of an unknown kind, or a marker without a reason.
    """
    found = []
    lines = text.split("\n")
    number, before = 0, ""
    while number < len(lines):
        opened = FENCE.match(lines[number])
        if not opened:
            before = lines[number].strip() or before
            number += 1
            continue
        first, fence = number + 1, opened["fence"]
        info = opened["info"].strip()
        if fence[0] == ":":  # what is within a colon fence is a page of its own
            number, before = first, ""
            continue
        number = first
        while number < len(lines) and lines[number].strip() != fence:
            number += 1
        if number == len(lines):
            raise ValueError(f"line {first}: the block has no end")
        indent = len(opened["indent"])
        body = "\n".join(line[indent:] for line in lines[first:number]) + "\n"
        marker = _marker(before, first)
        if info == "python":
            found.append(Block(first, "python", body, marker))
        elif info in COMMANDS:
            found.append(Block(first, "commands", body, marker))
        elif not info.startswith("{") and info not in SHOWN:
            raise ValueError(f"line {first}: no test knows blocks of kind {info!r}")
        number, before = number + 1, ""
    return found


def _marker(before: str, line: int) -> str:
    found = MARKER.fullmatch(before)
    if not found:
        if before.startswith("<!--") and before.endswith("-->"):
            raise ValueError(f"line {line}: unknown marker {before!r}")
        return ""
    if found[1] != "quick" and not found[2]:
        raise ValueError(f"line {line}: the marker {before!r} needs a reason")
    return found[1]


@dataclass(frozen=True)
class Command:
    """A command without its variables and redirections.

    Attributes:
        variables: the variables set before it.
        words: the program and its arguments.
        plain: whether there is no pipe, redirection or second command in its line.
        line: the line as it is written.
    """

    variables: dict[str, str]
    words: tuple[str, ...]
    plain: bool
    line: str


def commands(text: str) -> list[Command]:
    """The commands of a block, one per line or joined by operators of the shell."""
    found = []
    for line in text.replace("\\\n", " ").split("\n"):
        line = re.sub(r"^\$ ", "", line.strip())
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        parts: list[list[str]] = [[]]
        skip = False
        operators = 0
        for word in lexer:
            if skip:
                skip = False
            elif set(word) <= set("|&;"):
                parts.append([])
                operators += 1
            elif set(word) <= set("<>"):
                skip = True
                operators += 1
            else:
                parts[-1].append(word)
        for words in filter(None, parts):
            variables = {}
            while words and re.match(r"\w+=", words[0]):
                name, _, value = words.pop(0).partition("=")
                variables[name] = value
            if words:
                found.append(Command(variables, tuple(words), not operators, line))
    return found
