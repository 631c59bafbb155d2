"""Roofline: what each layer does on each engine for a byte of DRAM, against what engine and DRAM allow."""

from __future__ import annotations

from math import log10
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from tlm.analysis.bandwidth.plots.style import COLOURS, GREY, bare, title_of
from tlm.analysis.bandwidth.summary import Row

ENGINES = ("forward", "backward", "weight_update", "neuron", "gradient", "optimiser")
_COLUMNS = 3
_LINE, _LETTER, _DOT = 0.036, 0.0175, 0.012  # height and width of text, and half a marker, as shares of a panel
_ROOM = 4.0  # factor between the roof's corner, or the outermost point, and the edge of the plot

Place = tuple[float, float, str]
"""Operations per byte, operations a second, and the layer's name."""

Box = tuple[float, float, float, float]
"""Left, bottom, right and top of a piece of a panel, as shares of it."""


def roofline_figure(row: Row, layers: list[str]) -> Figure:
    """One panel an engine: operations a second over operations a DRAM byte, a point for each layer.

    Layers that move nothing to or from DRAM stand at the right edge, at infinite intensity.
    """
    figure = Figure(figsize=(13, 8.6), layout="constrained")
    panels = figure.subplots(len(ENGINES) // _COLUMNS, _COLUMNS, sharey="row").ravel()
    work = [entry for entry in row["work"] if entry["operations"] and entry["time_ps"]]
    speed = row["dram_peak_bytes_per_us"]
    drawn: list[tuple[Axes, float, list[Place]]] = []
    for panel, engine, colour in zip(panels, ENGINES, COLOURS, strict=False):
        own = [entry for entry in work if entry["engine"] == engine]
        if own:
            drawn.append((panel, *_panel(panel, own, layers, speed, colour)))
        panel.set_title(engine.replace("_", " "))
        panel.set_xlabel("operations per DRAM byte")
        bare(panel)
    for panel, peak, places in drawn:  # now that panels which share an axis are all there
        _label(panel, peak, places)
    panels[0].set_ylabel("synaptic operations a second")
    panels[_COLUMNS].set_ylabel("elements a second")
    figure.suptitle(f"Roofline of every layer on every engine: {title_of(row)}", parse_math=False)
    handles = [
        Line2D([], [], color=GREY, marker="o", linestyle="", label="a layer, at the speed reached while on the engine"),
        Line2D([], [], color=GREY, marker=">", linestyle="", label="moves nothing to or from DRAM on this engine"),
        Line2D([], [], color=GREY, label="peaks of DRAM and engine"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _panel(
    axes: Axes, work: list[dict[str, Any]], layers: list[str], bytes_per_us: int, colour: str
) -> tuple[float, list[Place]]:
    """Draw one engine's roofs and layers; return its peak and where the layers are."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(numticks=8))
        axis.set_minor_formatter(NullFormatter())
    peak = work[0]["peak_operations_per_us"] * 1e6
    slope = bytes_per_us * 1e6
    corner = peak / slope
    known = [entry["operations"] / entry["dram_bytes"] for entry in work if entry["dram_bytes"]]
    low = min([corner, *known]) / _ROOM
    high = max([corner * _ROOM, *known]) * _ROOM * 3  # room for what is at infinity, and for labels
    axes.plot([low, corner, high], [low * slope, peak, peak], color=GREY, linewidth=1.5, zorder=1)
    roofs = f"DRAM {bytes_per_us / 1e3:,.4g} GB/s, engine {_engineering(peak)}op/s"
    axes.text(high / 1.1, peak * 1.12, roofs, ha="right", fontsize=8, color=GREY)
    points: list[Place] = []
    for entry in work:
        reached = entry["operations"] / entry["time_ps"] * 1e12
        at = entry["operations"] / entry["dram_bytes"] if entry["dram_bytes"] else high / 1.6
        marker = "o" if entry["dram_bytes"] else ">"
        axes.plot(at, reached, marker=marker, color=colour, markersize=6, linestyle="", zorder=3)
        points.append((at, reached, layers[entry["layer"]]))
    axes.set_xlim(low, high)
    lowest = min(reached for _, reached, _ in points)
    axes.set_ylim(min(axes.get_ylim()[0], lowest / _ROOM), max(axes.get_ylim()[1], peak * 2))
    return peak, points


def _label(axes: Axes, peak: float, points: list[Place]) -> None:
    """Write each layer's name at the nearest free place beside its point, with a line where that is not next to it."""
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    at = [(log10(x / low) / log10(high / low), log10(y / bottom) / log10(top / bottom)) for x, y, _ in points]
    taken: list[Box] = [(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in at]
    roof = log10(peak / bottom) / log10(top / bottom)
    taken.append((0.0, roof - _DOT / 2, 1.0, 1.0))  # the roof, and what stands above it
    for (x, y), (_, _, name) in zip(at, points, strict=True):
        box, to_the_left = _free_place(x, y, len(name) * _LETTER, taken)
        taken.append(box)
        moved = abs((box[1] + box[3]) / 2 - y) > _LINE / 2
        axes.annotate(
            name,
            (x, y),
            xycoords="axes fraction",
            xytext=(box[2] if to_the_left else box[0], (box[1] + box[3]) / 2),
            textcoords="axes fraction",
            ha="right" if to_the_left else "left",
            va="center",
            fontsize=7.5,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": GREY, "shrinkA": 0, "shrinkB": 2} if moved else None,
        )


def _free_place(x: float, y: float, width: float, taken: list[Box]) -> tuple[Box, bool]:
    """Return a place for a name beside (x, y) that overlaps nothing, and whether it is to the left of the point."""
    sides = (True, False) if x > 0.5 else (False, True)
    for lines in range(2 * round(1 / _LINE)):
        gap = 1.5 * _DOT + 0.012 * min(lines, 4)
        for step in (-lines, lines):
            for to_the_left in sides:
                left = x - gap - width if to_the_left else x + gap
                middle = y + step * _LINE / 2
                box = (left, middle - _LINE / 2, left + width, middle + _LINE / 2)
                inside = box[0] > 0 and box[2] < 1 and box[1] > 0 and box[3] < 1
                if inside and not any(_overlap(box, other) for other in taken):
                    return box, to_the_left
    return (x, y, x + width, y + _LINE), False


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _engineering(value: float) -> str:
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}"
    return f"{value:.3g} "
