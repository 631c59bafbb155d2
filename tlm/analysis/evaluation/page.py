"""The evaluation as one web page: tables and drawings in a single file, in light and dark, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from tlm.analysis.evaluation.drawing import bar_drawing, ratio_drawing
from tlm.analysis.evaluation.tables import RATIOS, Content, Table, all_tables

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #ffffff; --soft: #667; --line: #d4d4dc;
  --ours: #0072b2; --band: #e69f0055; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8ec; --paper: #16171a; --soft: #a2a4ae; --line: #3a3c44; --ours: #56b4e9; --band: #e69f0066; }
}
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
li, .soft { color: var(--soft); } code { font-size: .9em; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .soft { fill: var(--soft); } svg .axis { stroke: var(--line); }
svg .ours { stroke: var(--ours); fill: var(--ours); }
svg .bar { fill: var(--ours); opacity: .75; } svg .one { stroke: var(--ink); stroke-dasharray: 3 3; }
svg .band { fill: var(--band); }
"""


def page(content: Content) -> str:
    """Return `evaluate.html`; every text of the content is escaped."""
    return "\n".join(_lines(content)) + "\n"


def _lines(content: Content) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>Evaluation of {escape(content['config']['name'])}</title>"
    yield f"<style>{STYLE}</style>\n</head>\n<body>"
    yield f"<h1>Evaluation of {escape(content['config']['name'])}</h1>"
    yield f"<p>Made by <code>{escape(content['provenance']['command'] or 'h2learn evaluate')}</code>."
    yield f"Published: {escape(content['published_source'])}.</p>"
    first, *others = all_tables(content)
    yield from _table(first)
    for name, words in RATIOS.items():
        yield f"<h2>Times {escape(words)}: ours, and published (band)</h2>"
        yield ratio_drawing([(network["name"], network[name]) for network in content["networks"]])
    for table in others:
        yield from _table(table)
    for network in content["networks"]:
        yield from _ablations(network)
    yield "</body>\n</html>"


def _ablations(network: Content) -> Iterator[str]:
    """Bars of time and energy against the full machine."""
    variants = [variant for variant in network["ablations"] if variant["error"] is None]
    for key, words in (("times_time", "time"), ("times_energy", "energy")) if variants else ():
        yield f"<h2>{escape(network['name'])}: {words} of each machine, of the full machine's</h2>"
        yield bar_drawing([(variant["name"], variant[key]) for variant in variants])


def _table(table: Table) -> Iterator[str]:
    yield f"<h2>{escape(table.title)}</h2>"
    yield '<div class="scroll"><table>'
    yield f"<thead>{_row(table.headings, 'th')}</thead>\n<tbody>"
    yield from (_row(row, "td") for row in table.rows)
    yield "</tbody></table></div>"
    if table.notes:
        yield f"<ul>{''.join(f'<li>{_emphasised(note)}</li>' for note in table.notes)}</ul>"


def _row(cells: Sequence[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def _emphasised(note: str) -> str:
    """Escape a note; what stands between two pairs of asterisks is strong."""
    parts = [escape(part) for part in note.split("**")]
    return "".join(f"<strong>{part}</strong>" if number % 2 else part for number, part in enumerate(parts))
