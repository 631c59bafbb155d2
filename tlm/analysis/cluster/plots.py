"""The picture of a scaling study: speedup, efficiency and the time of a step against the number of chips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from tlm.analysis.bandwidth.plots.style import COLOURS, GREY, bare, log_ticks
from workloads.atomic import replacing

Row = dict[str, Any]
PLOT = "scaling.png"
_MARKERS = "os^D"
_BATCH = {"strong": "batch {} in all", "weak": "batch {} a chip"}


def write_plot(folder: Path, content: dict[str, Any]) -> Path:
    """Write the picture of a study's content (`tlm.analysis.cluster.study.run_scaling`) and return its path."""
    with replacing(folder / PLOT) as temporary:
        scaling_figure(content).savefig(temporary, format="png", dpi=140)
    return folder / PLOT


def scaling_figure(content: dict[str, Any]) -> Figure:
    """A line of three panels for each scaling, a colour for each topology."""
    rows: list[Row] = content["rows"]
    scalings = list(dict.fromkeys(row["scaling"] for row in rows))
    topologies = list(dict.fromkeys(row["topology"] for row in rows))
    figure = Figure(figsize=(13.5, 4.0 * len(scalings) + 0.8), layout="constrained")
    panels = figure.subplots(len(scalings), 3, squeeze=False)
    for scaling, (speedup, efficiency, time) in zip(scalings, panels, strict=True):
        mine = [row for row in rows if row["scaling"] == scaling]
        for number, topology in enumerate(topologies):
            points = [row for row in mine if row["topology"] == topology]
            _lines(speedup, efficiency, time, points, COLOURS[number], _MARKERS[number])
        images = mine[0]["batch_images" if scaling == "strong" else "chip_images"]
        speedup.set_title(f"{scaling} scaling, {_BATCH[scaling].format(f'{images:,}')}", fontsize=10)
        _finish(speedup, efficiency, time, mine)
    asked = content["asked"]
    links = f"links of {asked['link_gb_per_s']:g} GB/s, {asked['link_latency_us']:g} us"
    figure.suptitle(f"Data-parallel training of {content['network']}: {links}", parse_math=False)
    handles, labels = panels[0][2].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    return figure


def _lines(speedup: Axes, efficiency: Axes, time: Axes, points: list[Row], colour: str, marker: str) -> None:
    name = points[0]["topology"]
    chips = [row["chips"] for row in points]
    style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4, "linewidth": 1.6}
    speedup.plot(chips, [row["speedup"] for row in points], **style)
    efficiency.plot(chips, [row["efficiency"] for row in points], **style)
    time.plot(chips, [row["step_ps"] / 1e6 for row in points], label=f"{name}: step", **style)
    exposed = [(row["chips"], row["exposed_ps"] / 1e6) for row in points if row["exposed_ps"] > 0]
    dashed = style | {"linestyle": "--", "mfc": "white", "linewidth": 1.1}
    time.plot([n for n, _ in exposed], [us for _, us in exposed], label=f"{name}: exposed all-reduce", **dashed)


def _finish(speedup: Axes, efficiency: Axes, time: Axes, rows: list[Row]) -> None:
    """Axes and ideals of the panels of one scaling."""
    chips = sorted({row["chips"] for row in rows})
    speedup.plot(chips, chips, color=GREY, linewidth=0.8, zorder=0)
    efficiency.plot(chips, [1.0] * len(chips), color=GREY, linewidth=0.8, zorder=0)
    for axes in (speedup, efficiency, time):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(LogLocator(base=2, numticks=7))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("chips")
        bare(axes)
    speedup.set_yscale("log", base=2)
    speedup.yaxis.set_major_locator(LogLocator(base=2, numticks=7))
    speedup.yaxis.set_minor_formatter(NullFormatter())
    speedup.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    speedup.set_ylabel("speedup over one chip (grey: ideal)")
    efficiency.set_ylim(0, 1.05)
    efficiency.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    efficiency.set_ylabel("efficiency (speedup a chip)")
    times = [row["step_ps"] / 1e6 for row in rows]
    times += [row["exposed_ps"] / 1e6 for row in rows if row["exposed_ps"] > 0]
    log_ticks(time, min(times), max(times))
    time.set_ylabel("us")
