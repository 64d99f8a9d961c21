"""The settings of a run, and how those of another differ."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.training.runs.flags import flat

# Paths, the name of the variant, the evaluation interval, logs and old checkpoints: the
# trained model depends on none of them.
FREE = {
    *("variant", "data_dir", "text_dir", "out", "resume", "resume_with", "eval_every"),
    *("log", "samples", "keep_checkpoints"),
}


def settings_of(config: Any) -> dict[str, Any]:
    """A configuration's flags as JSON values, including those of nested ones."""
    return json.loads(json.dumps(flat(config), default=str))


def differences(config: Any, saved: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings that differ, by name: the saved value and the current one.

    Args:
        config: a dataclass.
        saved: the settings of another run from `settings_of`, possibly of an earlier
            version; missing settings have the default.
    """
    now = settings_of(config)
    default = settings_of(type(config)())
    fields = [name for name in now if name not in FREE]
    pairs = {name: (saved.get(name, default[name]), now[name]) for name in fields}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def setting_name(name: str) -> str:
    """The field's name of a flag."""
    return name.lstrip("-").replace("-", "_")


def check_same(
    config: Any,
    saved: Mapping[str, Any],
    had: Mapping[str, str],
    data: Mapping[str, str],
    path: Path,
) -> list[str]:
    """Raises if a run would resume with other settings or data than it had.

    Args:
        config: a dataclass, whose `resume_with` names what may differ.
        saved: the settings that the run had.
        had: hashes of the data that it read, by name.
        data: hashes of the data read now, by name; empty before they are known.
        path: the file that `saved` is from.

    Returns:
        Descriptions of the allowed differences.

    Raises:
        ValueError: something else differs.
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
            f"{path} is from a run with other settings: "
            f"{'; '.join(words[name] for name in refused)}. Resume it with the same "
            "settings, or allow the change: "
            f"--resume-with {' '.join(refused)}"
        )
    return list(words.values())
