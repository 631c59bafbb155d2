"""The evaluation as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tlm.analysis.evaluation.tables import Content, Table, all_tables


def markdown(content: Content, plots: Sequence[str]) -> str:
    """Return `evaluate.md`; `plots` are names of pictures in the same folder."""
    return "\n".join(_lines(content, plots)) + "\n"


def _lines(content: Content, plots: Sequence[str]) -> Iterator[str]:
    yield "# Evaluation"
    yield ""
    yield f"Made by `{content['provenance']['command'] or 'h2learn evaluate'}`."
    yield f"Published: {content['published_source']}."
    yield "docs/evaluation.md says how each number comes about."
    for table in all_tables(content):
        yield from ["", f"## {table.title}", ""]
        yield from table_lines(table)
    if plots:
        yield ""
        yield from (f"![{name.removesuffix('.png').replace('_', ' ')}]({name})" for name in plots)


def table_lines(table: Table) -> Iterator[str]:
    """Yield the lines of one table and its notes."""
    yield _line(table.headings)
    yield _line(("---", *["---:"] * (len(table.headings) - 1)))
    yield from (_line(row) for row in table.rows)
    if table.notes:
        yield ""
        yield from (f"* {_escaped(note)}" for note in table.notes)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    """A bar would end a cell."""
    return text.replace("|", "\\|")
