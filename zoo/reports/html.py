"""The frame of a page: one file that needs no network, at any width."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --ink: #1e293b; --soft: #64748b; --line: #e2e8f0;
  --paper: #ffffff; --card: #f8fafc; --mark: #fef3c7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e2e8f0; --soft: #94a3b8;
  --line: #334155; --paper: #0f172a; --card: #1e293b; --mark: #713f12; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: .3rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 1.8rem 0 .6rem; }
p { margin: .3rem 0; }
.soft { color: var(--soft); }
.state { padding: .1rem .6rem; border-radius: 1rem; color: #fff; font-size: .85rem;
  background: #64748b; white-space: nowrap; vertical-align: middle; }
.state.running { background: #2563eb; } .state.finished { background: #059669; }
.state.failed, .state.killed { background: #dc2626; }
progress { width: 100%; height: .6rem; }
.cards, .charts { display: grid; gap: .7rem; }
.cards { grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); }
.charts { grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
.cards div, figure { background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; padding: .5rem .7rem; margin: 0; min-width: 0; }
.cards span { display: block; color: var(--soft); font-size: .8rem;
  overflow-wrap: anywhere; }
.cards b { font-size: 1.05rem; overflow-wrap: anywhere; }
figcaption { font-weight: 600; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; display: block; }
svg text { font-size: 11px; fill: var(--soft); }
svg .grid { stroke: var(--line); } svg polyline { fill: none; stroke-width: 1.8; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem .9rem; font-size: .82rem; }
.legend span { overflow-wrap: anywhere; }
.legend i { display: inline-block; width: .7rem; height: .7rem; border-radius: 2px;
  margin-right: .3rem; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere;
  margin: .5rem 0; max-height: 26rem; overflow-y: auto; }
img { max-width: 100%; height: auto; border-radius: .3rem; background: #fff; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
td:first-child, th:first-child { color: var(--soft); font-weight: 400; }
tr.differs td { background: var(--mark); }
details summary { cursor: pointer; color: var(--soft); margin: .4rem 0; }
"""


def page(title: str, body: str, *, head: str = "") -> str:
    """A whole page.

    Args:
        title: the page's title, as text.
        body: HTML.
        head: HTML for the page's head, which comes first.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"{head}\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def cards(values: Mapping[str, str]) -> str:
    """Boxes with a name and a value each."""
    boxes = (
        f"<div><span>{escape(name)}</span><b>{escape(value)}</b></div>"
        for name, value in values.items()
    )
    return f'<div class="cards">{"".join(boxes)}</div>'


def table(rows: Mapping[str, Any]) -> str:
    """A table of names and values."""
    lines = (
        f"<tr><td>{escape(name)}</td><td>{escape(shown(value))}</td></tr>"
        for name, value in rows.items()
    )
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def grid(
    head: Iterable[str],
    rows: Iterable[tuple[Iterable[Any], bool]],
) -> str:
    """A table with a head; rows with a mark are highlighted."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(
        f"<tr{' class=differs' if marked else ''}>"
        + "".join(f"<td>{escape(shown(value))}</td>" for value in values)
        + "</tr>"
        for values, marked in rows
    )
    return f'<div class="scroll"><table><tr>{top}</tr>{lines}</table></div>'


def shown(value: Any) -> str:
    """A value as text; floating-point numbers with at most six digits."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    return str(value)
