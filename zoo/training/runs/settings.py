"""What a run was started with, and how another one differs from it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.training.runs.flags import flat

# Where files lie, what a choice of defaults is called, and when to look: what is
# learned depends on none of them.
FREE = {"variant", "data_dir", "text_dir", "out", "resume", "resume_with", "eval_every"}


def settings_of(config: Any) -> dict[str, Any]:
    """A configuration's flags as JSON has them, those of nested ones among them."""
    return json.loads(json.dumps(flat(config), default=str))


def differences(config: Any, saved: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings that differ, by name: what was saved, and what is now.

    Args:
        config: A dataclass.
        saved: What `settings_of` gave of another one, maybe in an earlier version,
            whose missing settings count as the defaults.
    """
    now = settings_of(config)
    default = settings_of(type(config)())
    fields = [name for name in now if name not in FREE]
    pairs = {name: (saved.get(name, default[name]), now[name]) for name in fields}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def setting_name(name: str) -> str:
    """A field's name, of a flag."""
    return name.lstrip("-").replace("-", "_")


def check_same(
    config: Any,
    saved: Mapping[str, Any],
    had: Mapping[str, str],
    data: Mapping[str, str],
    path: Path,
) -> list[str]:
    """Refuses to resume a run with other settings or data than it had.

    Args:
        config: A dataclass, whose `resume_with` names what may differ.
        saved: The settings that the run had.
        had: Hashes of what it read, by name.
        data: Of what is read now; none before that is known.
        path: Where `saved` is from.

    Returns:
        What differs and may, in words.

    Raises:
        ValueError: Something else differs.
    """
    found = differences(config, saved)
    if other := [name for name in data if had.get(name) != data[name]]:
        found["data"] = ("", f"another {' and '.join(other)} (by SHA-256)")
    allowed = {setting_name(name) for name in config.resume_with}
    words = {
        name: f"{name} is {now}" if name == "data" else f"{name} was {was}, is {now}"
        for name, (was, now) in found.items()
    }
    if refused := [name for name in found if name not in allowed]:
        raise ValueError(
            f"{path} is of a run with other settings: "
            f"{'; '.join(words[name] for name in refused)}. Resume it with its own, or "
            f"say that they change on purpose: --resume-with {' '.join(refused)}"
        )
    return list(words.values())
