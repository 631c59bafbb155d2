"""What `h2learn study scaling` prints: a table for each scaling, what was left out, and the full simulations."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

_TITLES = {
    "strong": "strong scaling, batch {batch_images:,} in all",
    "weak": "weak scaling, batch {chip_images:,} a chip",
}


def print_scaling(content: dict[str, Any], console: Console) -> None:
    """Print the content of `scaling.json`."""
    rows = content["rows"]
    for scaling in dict.fromkeys(row["scaling"] for row in rows):
        console.print(_table([row for row in rows if row["scaling"] == scaling], scaling))
    for row in rows:
        if row["full_ps"] is not None:
            where = f"{row['scaling']}, {row['topology']}, {row['chips']} chips"
            told, full = row["step_ps"] / 1e6, row["full_ps"] / 1e6
            console.print(f"simulated in full: {where}: {full:,.2f} us (told: {told:,.2f}, {told / full - 1:+.1%})")
    for note in content["notes"]:
        console.print(note)


def _table(rows: list[dict[str, Any]], scaling: str) -> Table:
    table = Table(title=_TITLES[scaling].format(**rows[0]), title_justify="left")
    topologies = list(dict.fromkeys(row["topology"] for row in rows))
    table.add_column("chips", justify="right", no_wrap=True)
    table.add_column("batch" if scaling == "weak" else "a chip", justify="right", no_wrap=True)
    for topology in topologies:
        for name in (f"{topology} us", "speedup", "efficiency", "exposed"):
            table.add_column(name, justify="right", no_wrap=True)
    for chips in dict.fromkeys(row["chips"] for row in rows):
        mine = {row["topology"]: row for row in rows if row["chips"] == chips}
        images = mine[topologies[0]]["batch_images" if scaling == "weak" else "chip_images"]
        cells = [f"{chips:,}", f"{images:,}"]
        for topology in topologies:
            row = mine[topology]
            cells += [f"{row['step_ps'] / 1e6:,.1f}", f"{row['speedup']:,.2f}", f"{row['efficiency']:.1%}"]
            cells.append(f"{row['exposed_ps'] / row['step_ps']:.1%}")
        table.add_row(*cells)
    return table
