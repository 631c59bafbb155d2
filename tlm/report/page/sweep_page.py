"""The page of a sweep: `sweep.json` and `sweep.parquet` of its folder as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlm.report.page.numbers import quantity, short, words
from tlm.report.page.render import render
from tlm.report.page.table import NONE, Cell, Fact, Number, Table, amount, count, figure, settings, size

Row = dict[str, Any]
"""A row of `tlm.sweep.store`."""

SCRIPTS = ("canvas.js", "scatter_draw.js", "scatter.js")
SECTIONS = (
    ("scatter", "Trade-offs"),
    ("points", "Points"),
    ("errors", "Errors"),
    ("spec", "Spec"),
    ("provenance", "Provenance"),
)
MOST_POINTS = 5_000
"""Points in a page; one takes about 600 bytes."""
OBJECTIVES = (("time_s", "step time", "s"), ("energy_j", "energy", "J"), ("area_mm2", "area", "mm²"))
_WORKLOAD = ("network", "trace", "timesteps", "batch", "images")
FRONT, GOOD, FAILED = "front", "good", "failed"


def sweep_page(summary: dict[str, Any], rows: Sequence[Row]) -> str:
    """Return the page of `sweep.json`'s content and the rows of `sweep.parquet`."""
    shown = shown_rows(rows)
    left_out = ""
    if len(shown) < len(rows):
        left_out = f"{len(shown):,} of {len(rows):,} points are in this page: the front, and the first of the others."
    return render(
        "sweep.html",
        SCRIPTS,
        title=f"{summary['name']}: sweep of {len(rows):,} points",
        sections=SECTIONS,
        facts=_facts(summary, rows),
        story=_story(summary, rows),
        left_out=left_out,
        data=scatter_data(shown, summary),
        points=point_table(shown, summary),
        errors=_error_table(summary),
        spec=list(settings(summary["spec"])),
        provenance=[(words(key), str(value)) for key, value in summary["provenance"].items()]
        + [("schema", summary["schema"])],
    )


def shown_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that the page holds, in their order: all, or the front and the first of the others."""
    others = max(0, MOST_POINTS - sum(row["on_front"] for row in rows))
    kept = []
    for row in rows:
        if not row["on_front"]:
            others -= 1
            if others < 0:
                continue
        kept.append(row)
    return kept


def scatter_data(rows: Sequence[Row], summary: dict[str, Any]) -> dict[str, Any]:
    """Return what `scatter.js` reads: the good points, column by column."""
    good = [row for row in rows if row["status"] == GOOD]
    axes: list[dict[str, Any]] = [
        {"name": name, "unit": unit, "values": [row[key] for row in good]} for key, name, unit in OBJECTIVES
    ]
    for axis, (key, _, _) in zip(axes[1:], OBJECTIVES[1:], strict=True):
        axis |= {end: [row[f"{key}_{end}"] for row in good] for end in ("low", "high")}
    moved = [row["dram_read_bytes"] + row["dram_written_bytes"] for row in good]
    axes.append({"name": "DRAM bytes", "unit": "B", "values": moved})
    for key in summary["keys"]:
        values = [row[key] for row in good]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            axes.append({"name": key, "unit": "", "values": values})
    workloads = list(dict.fromkeys(_workload(row) for row in good))
    return {
        "axes": axes,
        "objectives": [OBJECTIVES[[key for key, _, _ in OBJECTIVES].index(key)][1] for key in summary["objectives"]],
        "points": [row["point"] for row in good],
        "front": [row["on_front"] for row in good],
        "workloads": workloads,
        "workload": [workloads.index(_workload(row)) for row in good],
        "keys": summary["keys"],
        "values": [[row[key] for key in summary["keys"]] for row in good],
        "busiest": [_busiest(row).text for row in good],
    }


def point_table(rows: Sequence[Row], summary: dict[str, Any]) -> Table:
    """Every point with its values and what was found; `marks` tell the front, the other good ones and the failed."""
    found = (
        "status", "step time", "energy", "low to high", "area, mm²", "DRAM bytes", "busiest engine", "busy",
    )  # fmt: skip
    return Table(
        "Points",
        ("point", *summary["keys"], *found),
        tuple((Number(str(row["point"]), row["point"]), *_values(row, summary), *_found(row)) for row in rows),
        marks=tuple(FRONT if row["on_front"] else row["status"] for row in rows),
    )


def _values(row: Row, summary: dict[str, Any]) -> list[Cell]:
    cells: list[Cell] = []
    for key in summary["keys"]:
        value = row[key]
        number = isinstance(value, int) and not isinstance(value, bool)
        cells.append(NONE if value is None else count(value) if number else str(value))
    return cells


def _found(row: Row) -> tuple[Cell, ...]:
    if row["status"] != GOOD:
        return FAILED, *[NONE] * 7
    busiest = _busiest(row)
    engine, _, share = busiest.text.rpartition(" ")
    return (
        "on the front" if row["on_front"] else GOOD,
        amount(row["time_s"], "s"),
        amount(row["energy_j"], "J"),
        f"{quantity(row['energy_j_low'], 'J')} to {quantity(row['energy_j_high'], 'J')}",
        figure(row["area_mm2"]),
        size(row["dram_read_bytes"] + row["dram_written_bytes"]),
        engine,
        Number(share, busiest.value),
    )


def _busiest(row: Row) -> Number:
    """The engine that is busy for most of the step, with its share."""
    best = max(row["busy"], key=lambda entry: float(entry["share"]))
    return Number(f"{words(best['engine'])} {best['share']:.0%}", best["share"])


def _workload(row: Row) -> str:
    images = "" if row["images"] in (None, row["batch"]) else f", {row['images']} of them"
    trace = f" of {row['trace']}" if row["trace"] else ""
    return f"{row['network']}{trace}, {row['timesteps']} timesteps, {row['batch']} images{images}"


def _facts(summary: dict[str, Any], rows: Sequence[Row]) -> list[Fact]:
    good = [row for row in rows if row["status"] == GOOD]
    failed = len(rows) - len(good)
    names = ", ".join(name for key, name, _ in OBJECTIVES if key in summary["objectives"])
    facts = [
        Fact("points", f"{len(rows):,}", f"{len(good):,} simulated"),
        Fact("on the front", f"{sum(row['on_front'] for row in rows):,}", f"of {names}"),
        Fact("failed", f"{failed:,}", "", "bad" if failed else ""),
    ]
    for key, name, unit in OBJECTIVES if good else ():
        best = min(good, key=lambda row: float(row[key]))
        text = quantity(best[key], unit) if unit != "mm²" else f"{short(best[key])} {unit}"
        facts.append(Fact(f"least {name}", text, f"point {best['point']}"))
    return facts


def _story(summary: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    """What was varied on what."""
    workloads = list(dict.fromkeys(_workload(row) for row in rows if row["status"] == GOOD))
    told = [f"Varied: {', '.join(summary['keys'])}."]
    if len(workloads) == 1:
        told.append(f"Simulated: a step of {workloads[0]}.")
    elif workloads:
        told.append(f"Simulated: {len(workloads)} workloads, each with a front of its own.")
    return told


def _error_table(summary: dict[str, Any]) -> Table:
    rows = tuple(
        (entry["error"], count(len(entry["points"])), ", ".join(map(str, entry["points"][:20])) + _more(entry))
        for entry in summary["errors"]
    )
    return Table("Errors", ("error", "points", "which"), rows)


def _more(entry: dict[str, Any]) -> str:
    return ", ..." if len(entry["points"]) > 20 else ""
