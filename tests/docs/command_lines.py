"""Checks commands against the command lines that they are for, without running them."""

import importlib
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import zoo.cli
from zoo.training.runs import config as run_config

ROOT = Path(__file__).parents[2]
# Programs that every shell has; they are run, not checked.
SHELL = ("cat", "cd", "echo", "grep", "head", "ls", "mkdir", "source")


def recipe_of(words: Sequence[str]) -> tuple[str, list[str]] | None:
    """The recipe that a command starts, and its flags; None if it starts none."""
    words = list(words)
    if words[:2] == ["zoo", "train"] and len(words) > 2:
        return words[2], words[3:]
    if words[0] == "torchrun" and "-m" in words:
        words = ["python", *words[words.index("-m") :]]
    if words[:2] == ["python", "-m"]:
        found = re.fullmatch(r"(?:zoo\.)?recipes\.(\w+)", words[2])
        if found:
            return found[1], words[3:]
    return None


def configured(name: str, flags: list[str], monkeypatch) -> tuple:
    """A recipe's module and the configuration that its flags give."""
    module = importlib.import_module(f"recipes.{name}")
    with monkeypatch.context() as patch:
        # Files that the page's earlier commands would have made may be missing.
        patch.setattr(run_config, "check_names", lambda config: None)
        return module, run_config.parse(module.VARIANTS, module.__doc__, flags)


def check(words: Sequence[str], monkeypatch) -> str:
    """Says what is wrong with a command, or "" if nothing is.

    Raises:
        LookupError: nothing is known of such a program.
    """
    program, rest = words[0], list(words[1:])
    if program in SHELL:
        return ""
    if {"--help", "-h"} & {*rest}:
        rest = [word for word in rest if word not in ("--help", "-h")]
    try:
        recipe = recipe_of([program, *rest])
        if recipe:
            configured(*recipe, monkeypatch)
            return ""
        if program == "zoo":
            if rest and rest != ["--version"]:
                if rest != list(words[1:]):  # help: only the subcommand must exist
                    return "" if rest[0] in zoo.cli.COMMANDS else f"no zoo {rest[0]}"
                zoo.cli.parsed(rest)
            return ""
    except (SystemExit, ImportError, ValueError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    if program == "make":
        targets = re.findall(r"^([\w-]+):.*##", (ROOT / "Makefile").read_text(), re.M)
        asked = [word for word in rest if "=" not in word]
        return "" if {*asked} <= {*targets} else f"no target in {asked}"
    if program in ("pip", "uv"):
        return _extras(" ".join(rest))
    if program == "python" and rest[:1] == ["-m"]:
        return _module(rest[1], rest[2:])
    if program == "pytest":
        return _pytest(rest)
    raise LookupError(program)


def _extras(words: str) -> str:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = known["project"]["optional-dependencies"]
    asked = re.findall(r"(?:zoo|\.|\.whl)\[([\w,-]+)\]", words)
    unknown = {name for each in asked for name in each.split(",")} - {*extras}
    return f"no extra {sorted(unknown)}" if unknown else ""


def _module(name: str, flags: list[str]) -> str:
    if name == "pytest":
        return _pytest(flags)
    if name in ("build", "twine", "pip", "http.server", "sphinx"):
        return _extras(" ".join(flags))
    path = ROOT / name.replace(".", "/")
    files = [path.with_suffix(".py"), path / "__main__.py"]
    sources = [file for file in files if file.is_file()]
    if not sources:
        return f"there is no module {name}"
    # A package's main module passes flags on.
    around = [*sources[0].parent.glob("*.py")] if path.is_dir() else sources
    text = "\n".join(file.read_text("utf-8") for file in around)
    unknown = [
        flag
        for flag in flags
        if flag.startswith("--")
        and flag not in text
        and not re.search(rf"\b{flag[2:].replace('-', '_')}\b", text)
    ]
    return f"{name} has no {unknown}" if unknown else ""


def _pytest(words: list[str]) -> str:
    paths = [word for word in words if word.startswith("tests/")]
    missing = [path for path in paths if not (ROOT / path.split("::")[0]).exists()]
    return f"missing: {missing}" if missing else ""
