"""The pictures of the study: engines under each account of sparsity, and why the layers differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from tlm.analysis.bandwidth.plots.style import COLOURS, GREY, bare
from tlm.analysis.sparsity.measure import ENGINES
from tlm.analysis.sparsity.summary import ACCOUNTS, REAL_CYCLES, summarise
from tlm.analysis.sparsity.table import rows_of
from tlm.engines.streams import BACKWARD
from workloads.atomic import replacing

_NAMES = {
    "spread_by_timestep_cycles": "spread at random, each timestep its density",
    "spread_by_layer_cycles": "spread at random over the layer",
    "scaled_cycles": "dense cycles x density",
    "ideal_cycles": "dense operations x density / peak",
}
_WIDTH = 0.2


def write_plots(folder: Path, content: dict[str, Any]) -> tuple[Path, ...]:
    """Write the pictures of a study's content into `folder` and return their paths."""
    figures = {"sparsity_engines.png": engines_figure(content), "sparsity_layers.png": layers_figure(content)}
    for name, figure in figures.items():
        with replacing(folder / name) as temporary:
            figure.savefig(temporary, format="png", dpi=140)
    return tuple(folder / name for name in figures)


def engines_figure(content: dict[str, Any]) -> Figure:
    """A panel a design: busy cycles of each engine that each account tells, over those of the real trace."""
    summary = summarise(content)
    figure = Figure(figsize=(13.5, 4.4), layout="constrained")
    panels = figure.subplots(1, len(summary), sharey=True)
    for axes, design in zip(panels, summary, strict=True):
        for number, account in enumerate(ACCOUNTS):
            ratios = [engine[account] / engine[REAL_CYCLES] for engine in design["engines"]]
            _bars(axes, number, ratios, account)
        axes.set_xticks(range(len(ENGINES)), [engine["engine"].replace("_", " ") for engine in design["engines"]])
        axes.set_title(design["design"], fontsize=10)
        _ratio_axis(axes)
    panels[0].set_ylabel("busy cycles told / real")
    _finish(figure, panels[0], content)
    return figure


def layers_figure(content: dict[str, Any]) -> Figure:
    """Backward cycles over the real ones, and zero index groups, layer by layer."""
    rows = [row for row in rows_of(content) if row["engine"] == BACKWARD]
    rows = [row for row in rows if row["design"] == rows[0]["design"]]
    figure = Figure(figsize=(13.5, 7.4), layout="constrained")
    above, below = figure.subplots(2, 1)
    for number, account in enumerate(ACCOUNTS):
        _bars(above, number, [row[account] / max(1, row[REAL_CYCLES]) for row in rows], account)
    above.set_xticks(range(len(rows)), [row["name"] for row in rows])
    above.set_ylabel("backward engine: busy cycles told / real")
    _ratio_axis(above)
    structure = content["structure"]
    k = content["config"]["lut"]["k"]
    layers = range(len(structure["real"]))
    formula = [(1 - layer["input_bits"]) ** k for layer in structure["real"]]
    real = [layer["zero_index_groups"] for layer in structure["real"]]
    below.bar([x - _WIDTH for x in layers], real, _WIDTH, color="#000000", label="real")
    for number, spread in enumerate(("timestep", "layer")):
        told = [layer["zero_index_groups"] for layer in structure[spread]]
        below.bar([x + number * _WIDTH for x in layers], told, _WIDTH, color=COLOURS[number])
    below.plot(layers, formula, "_", color=COLOURS[3], markersize=30, label=f"(1 - density)^{k}")
    below.set_xticks(list(layers), [layer["name"] for layer in structure["real"]])
    below.set_ylabel("index groups without a spike")
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    below.legend(frameon=False, fontsize=9)
    bare(below)
    _finish(figure, above, content)
    return figure


def _bars(axes: Axes, number: int, ratios: list[float], account: str) -> None:
    places = [x + (number - 1.5) * _WIDTH for x in range(len(ratios))]
    axes.bar(places, ratios, _WIDTH, color=COLOURS[number], label=_NAMES[account])


def _ratio_axis(axes: Axes) -> None:
    axes.axhline(1.0, color=GREY, linewidth=0.8)
    bare(axes)


def _finish(figure: Figure, axes: Axes, content: dict[str, Any]) -> None:
    training = content["training"] or f"step {content['step']}"
    title = f"{content['network']} on {content['dataset']}, {training}, images simulated: {content['images']}"
    figure.suptitle(title, parse_math=False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
