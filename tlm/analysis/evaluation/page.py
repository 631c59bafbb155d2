"""The evaluation as one web page: tables and drawings in a single file, in light and dark, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup, escape

from tlm.analysis.evaluation.drawing import bar_drawing, ratio_drawing
from tlm.analysis.evaluation.tables import RATIOS, Content, Table, all_tables
from tlm.report.page import table
from tlm.report.page.render import render


def page(content: Content) -> str:
    """Return `evaluate.html`; every text of the content is escaped."""
    headline, *others = (_shown(found) for found in all_tables(content))
    return render(
        "evaluation.html",
        title=f"Evaluation of {content['config']['name']}",
        command=content["provenance"]["command"] or "h2learn evaluate",
        source=content["published_source"],
        headline=headline,
        drawings=list(_ratios(content)),
        tables=others,
        ablations=[drawing for network in content["networks"] for drawing in _ablations(network)],
    )


def _ratios(content: Content) -> Iterator[tuple[str, Markup]]:
    for name, words in RATIOS.items():
        drawing = ratio_drawing([(network["name"], network[name]) for network in content["networks"]])
        yield f"Times {words}: ours, and published (band)", Markup(drawing)


def _ablations(network: Content) -> Iterator[tuple[str, Markup]]:
    """Bars of time and energy against the full machine."""
    variants = [variant for variant in network["ablations"] if variant["error"] is None]
    for key, words in (("times_time", "time"), ("times_energy", "energy")) if variants else ():
        drawing = bar_drawing([(variant["name"], variant[key]) for variant in variants])
        yield f"{network['name']}: {words} of each machine, of the full machine's", Markup(drawing)


def _shown(found: Table) -> table.Table:
    return table.Table(found.title, found.headings, found.rows, tuple(map(_emphasised, found.notes)))


def _emphasised(note: str) -> Markup:
    """Escape a note; what stands between two pairs of asterisks is strong."""
    parts = [escape(part) for part in note.split("**")]
    return Markup("").join(
        Markup("<strong>{}</strong>").format(part) if number % 2 else part for number, part in enumerate(parts)
    )
