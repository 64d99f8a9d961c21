"""Several runs side by side: a table, the settings that differ, and their curves."""

from collections.abc import Sequence
from html import escape
from typing import Any

from zoo.reports.curves import chart, number
from zoo.reports.html import grid, page
from zoo.reports.run_folder import RunFolder, is_number
from zoo.reports.run_page import duration

COLUMNS = (
    *("run", "recipe", "variant", "backend", "progress"),
    *("best", "last loss", "time", "state"),
)
# Settings that name places or how a run was started, not what it does.
UNCOMPARED = ("out", "data_dir", "text_dir", "resume", "resume_with", "log", "samples")


def facts(run: RunFolder) -> dict[str, Any]:
    """What a table says about a run, as plain values."""
    best = run.best()
    losses = [
        float(value)
        for name, value in (run.rows[-1] if run.rows else {}).items()
        if name == "loss" or (name.endswith("/loss") and not name.startswith("val_"))
    ]
    return {
        "run": run.name,
        "recipe": run.recipe,
        "variant": str(run.settings.get("variant") or ""),
        "backend": run.backend,
        "state": run.status,
        "update": run.update,
        "updates": run.updates,
        "monitor": run.monitor[0] if best else None,
        "best": best[0] if best else None,
        "best_update": best[1] if best else None,
        "last_loss": losses[0] if losses else None,
        "seconds": run.seconds,
        "updated": run.state.get("updated"),
    }


def line(run: RunFolder) -> list[str]:
    """The cells of `COLUMNS` for a run."""
    said = facts(run)
    progress = f"{said['update']:,}"
    if said["updates"]:
        progress += f"/{said['updates']:,}"
    best = "" if said["best"] is None else f"{said['monitor']} {number(said['best'])}"
    loss, seconds = said["last_loss"], said["seconds"]
    return [
        *(said["run"], said["recipe"], said["variant"], said["backend"]),
        *(progress, best, "" if loss is None else number(loss)),
        "" if seconds is None else duration(seconds),
        said["state"],
    ]


def differing(runs: Sequence[RunFolder]) -> dict[str, list[Any]]:
    """The settings in which runs differ: one value per run, by name.

    A run that lacks a setting has None. The backend counts as a setting.
    """
    all_settings = [{**run.own_settings(), "backend": run.backend} for run in runs]
    names = dict.fromkeys(name for settings in all_settings for name in settings)
    found = {name: [s.get(name) for s in all_settings] for name in names}
    return {
        name: values
        for name, values in found.items()
        if name not in UNCOMPARED and any(value != values[0] for value in values)
    }


def comparison_page(runs: Sequence[RunFolder]) -> str:
    """A page with all runs, their curves in common charts, and their settings."""
    names = [run.name for run in runs]
    parts = [
        "<h1>Runs</h1>",
        grid(COLUMNS, [(line(run), False) for run in runs]),
    ]
    metrics: dict[str, int] = {}
    for run in runs:
        for metric in dict.fromkeys(name for row in run.rows for name in row):
            if metric != "update" and any(is_number(row, metric) for row in run.rows):
                metrics[metric] = metrics.get(metric, 0) + 1
    monitored = {run.monitor[0] for run in runs}
    order = sorted(metrics, key=lambda name: (name not in monitored, -metrics[name]))
    charts = "".join(
        chart(
            metric,
            {
                run.name: [
                    (float(row["update"]), float(row[metric]))
                    for row in run.rows
                    if is_number(row, metric) and is_number(row, "update")
                ]
                for run in runs
            },
        )
        for metric in order
    )
    parts.append(f'<h2>Curves</h2><div class="charts">{charts}</div>')
    differences = differing(runs)
    everything = dict.fromkeys(
        name for run in runs for name in (*run.own_settings(), "backend")
    )
    rows = [
        (
            [
                name,
                *(
                    {**run.own_settings(), "backend": run.backend}.get(name)
                    for run in runs
                ),
            ],
            name in differences,
        )
        for name in sorted(everything, key=lambda name: name not in differences)
    ]
    parts.append(
        f"<h2>Settings</h2><p class=soft>{escape(_words(differences))}</p>"
        + grid(["setting", *names], rows)
    )
    return page(f"{len(runs)} runs", "\n".join(parts))


def _words(differences: dict[str, Any]) -> str:
    if not differences:
        return "The runs differ in no setting."
    return "Highlighted settings differ between the runs."
