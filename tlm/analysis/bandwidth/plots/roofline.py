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
_LINE, _WORD = 0.034, 0.12  # size of a label, as shares of a panel
_ROOM = 4.0  # factor between the roof's corner, or the outermost point, and the edge of the plot

Place = tuple[float, float, str]
"""Operations per byte, operations a second, and the layer's name."""


def roofline_figure(row: Row, layers: list[str]) -> Figure:
    """One panel an engine: operations a second over operations a DRAM byte, a point for each layer.

    Layers that move nothing to or from DRAM stand at the right edge, at infinite intensity.
    """
    figure = Figure(figsize=(13, 8.6), layout="constrained")
    panels = figure.subplots(len(ENGINES) // _COLUMNS, _COLUMNS, sharey="row").ravel()
    work = [entry for entry in row["work"] if entry["operations"] and entry["time_ps"]]
    speed = row["dram_peak_bytes_per_us"]
    drawn: list[tuple[Axes, list[Place]]] = []
    for panel, engine, colour in zip(panels, ENGINES, COLOURS, strict=False):
        own = [entry for entry in work if entry["engine"] == engine]
        drawn.append((panel, _panel(panel, own, layers, speed, colour)))
        panel.set_title(engine.replace("_", " "))
        panel.set_xlabel("operations per DRAM byte")
        bare(panel)
    for panel, places in drawn:  # now that panels which share an axis are all there
        _label(panel, places)
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


def _panel(axes: Axes, work: list[dict[str, Any]], layers: list[str], bytes_per_us: int, colour: str) -> list[Place]:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(numticks=8))
        axis.set_minor_formatter(NullFormatter())
    if not work:
        axes.text(0.5, 0.5, "no work", transform=axes.transAxes, ha="center")
        return []
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
    return points


def _label(axes: Axes, points: list[Place]) -> None:
    """Write the layers' names beside their points, pushed down where two would touch."""
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    height, width = log10(top / bottom), log10(high / low)
    placed: list[tuple[float, float]] = []
    for at, reached, name in sorted(points, key=lambda point: (-point[1], point[2])):
        x, y = log10(at / low) / width, log10(reached / bottom) / height
        to_the_left = x > 0.5
        label_y = y
        while any(abs(label_y - other) < _LINE and abs(x - where) < _WORD for where, other in placed):
            label_y -= _LINE / 8
        placed.append((x, label_y))
        axes.annotate(
            name,
            (x, label_y),
            xycoords="axes fraction",
            xytext=(-7 if to_the_left else 7, 0),
            textcoords="offset points",
            ha="right" if to_the_left else "left",
            va="center",
            fontsize=7.5,
        )


def _engineering(value: float) -> str:
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}"
    return f"{value:.3g} "
