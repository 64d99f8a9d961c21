"""`index.html` of a run: its curves, newest samples, settings and figures."""

import base64
import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from zoo.files.atomic import replacing
from zoo.reports.curves import chart, number
from zoo.reports.html import cards, grid, page, table
from zoo.reports.run_folder import PAGE, RunFolder, is_number

# Seconds after which a browser reloads the page of an active run.
RELOAD = 30
SAMPLES = re.compile(r"<!--samples-->(.*?)<!--/samples-->", re.S)
Sample = str | bytes
"""A sample: a text, or a picture as the bytes of a PNG file."""


def write_page(
    folder: Path,
    state: Mapping[str, Any],
    samples: Mapping[str, Sample] | None = None,
) -> None:
    """Writes a run's page from the files in its folder, atomically.

    Args:
        folder: the run's folder, with `config.json`.
        state: what the page says about the run and `zoo runs` reads from it.
        samples: the newest samples by name; None keeps those of the page.
    """
    target = folder / PAGE
    if samples is None:
        found = SAMPLES.search(target.read_text("utf-8")) if target.exists() else None
        shown = found[1] if found else ""
    else:
        shown = "".join(_sample(name, value) for name, value in samples.items())
    run = RunFolder.read(folder)
    run = RunFolder(folder, run.settings, run.rows, run.summary, dict(state))
    text = _page(run, shown)
    with replacing(target) as file:
        file.write(text.encode())


def _page(run: RunFolder, samples: str) -> str:
    state = run.state
    title = " ".join(filter(None, [run.recipe or "run", run.settings.get("variant")]))
    said = str(state.get("state", ""))
    parts = [
        f'<h1>{escape(title)} <span class="state {escape(said)}">{escape(said)}</span>'
        "</h1>",
        f'<p class="soft">{escape(str(state.get("out", run.folder)))} · '
        f"updated {escape(str(state.get('updated', '')))}</p>",
    ]
    if state.get("error"):
        parts.append(f"<pre>{escape(str(state['error']))}</pre>")
    if run.updates:
        parts.append(
            f'<progress value="{run.update}" max="{run.updates}"></progress>'
            f"<p>update {run.update:,} of {run.updates:,}</p>"
        )
    parts.append(cards(_figures(run)))
    if charts := _charts(run):
        parts.append(f'<h2>Curves</h2><div class="charts">{charts}</div>')
    elif run.rows:
        names = [*dict.fromkeys(name for row in run.rows for name in row)]
        rows = [([row.get(name) for name in names], False) for row in run.rows]
        parts.append(f"<h2>Figures</h2>{grid(names, rows)}")
    parts.append(
        f"<h2>Newest samples</h2><!--samples-->{samples}<!--/samples-->"
        if samples
        else "<!--samples--><!--/samples-->"
    )
    parts += [_links(run.folder)]
    if run.summary:
        parts.append(f"<h2>Summary</h2>{table(run.summary)}")
    parts.append(f"<h2>Settings</h2>{table(run.own_settings())}")
    parts.append(f"<h2>Environment</h2>{table(state.get('environment', {}))}")
    words = json.dumps(state).replace("<", "\\u003c")
    head = f'<script type="application/json" id="run">{words}</script>'
    if said == "running":
        head += f'\n<meta http-equiv="refresh" content="{RELOAD}">'
    return page(f"{title}: {said}", "\n".join(parts), head=head)


def _figures(run: RunFolder) -> dict[str, str]:
    """The newest metrics and the best value of the monitored one."""
    figures: dict[str, str] = {}
    if found := run.best():
        name = run.monitor[0]
        figures[f"best {name} (update {found[1]:,})"] = number(found[0])
    last = run.rows[-1] if run.rows else {}
    for name in last:
        if name != "update" and is_number(last, name):
            figures[name] = number(float(last[name]))
    if run.seconds is not None:
        figures["training"] = duration(run.seconds)
    return figures


def duration(seconds: float) -> str:
    """A time such as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _charts(run: RunFolder) -> str:
    """One chart per metric, training and validation together, the monitored first."""
    updates = [row.get("update") for row in run.rows]
    if any(not is_number(row, "update") for row in run.rows) or updates != sorted(
        set(updates)  # type: ignore[type-var]
    ):
        return ""  # a run of parts, whose rows are no course of training
    names = dict.fromkeys(name for row in run.rows for name in row if name != "update")
    bases = dict.fromkeys(name.removeprefix("val_") for name in names)
    first = run.monitor[0].removeprefix("val_")

    def rank(name: str) -> tuple[bool, bool]:
        return name != first, name == "learning_rate" or name.endswith("_per_second")

    return "".join(
        chart(
            base,
            {
                words: [
                    (row["update"], float(row[name]))
                    for row in run.rows
                    if is_number(row, name)
                ]
                for words, name in (("training", base), ("validation", f"val_{base}"))
                if name in names
            },
        )
        for base in sorted(bases, key=rank)
    )


def _sample(name: str, value: Sample) -> str:
    if isinstance(value, str):
        return f"<p class=soft>{escape(name)}</p><pre>{escape(value)}</pre>"
    data = base64.b64encode(value).decode()
    return (
        f"<figure><figcaption>{escape(name)}</figcaption>"
        f'<img alt="{escape(name)}" src="data:image/png;base64,{data}"></figure>'
    )


def _links(folder: Path) -> str:
    """Links to the pages of a run's parts and to its pictures."""
    parts = sorted(path.parent.name for path in folder.glob(f"*/{PAGE}"))
    pictures = sorted(path.name for path in folder.glob("*.png"))
    found = ""
    if parts:
        links = "".join(
            f'<li><a href="{escape(name)}/{PAGE}">{escape(name)}</a></li>'
            for name in parts
        )
        found += f"<h2>Parts</h2><ul>{links}</ul>"
    if pictures:
        images = "".join(
            f"<figure><figcaption>{escape(name)}</figcaption>"
            f'<img loading="lazy" alt="{escape(name)}" src="{escape(name)}"></figure>'
            for name in pictures
        )
        found += f'<h2>Pictures</h2><div class="charts">{images}</div>'
    return found
