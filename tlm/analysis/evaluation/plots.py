"""Plots of an evaluation as PNG files: ratios beside the published ranges."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tlm.analysis.evaluation.tables import RATIOS, Content
from tlm.report.plots import BLOCKED, BUSY, LAYERS
from workloads.atomic import replacing


def write_plots(folder: Path, content: Content) -> list[str]:
    """Write all plots into `folder` and return their names."""
    figures = {"ratios.png": ratios_figure(content), "stages.png": stages_figure(content)}
    for number, network in enumerate(content["networks"], start=1):
        if network["ablations"]:
            figures[f"ablations_{number}.png"] = ablations_figure(network)
    for name, figure in figures.items():
        with replacing(folder / name) as temporary:
            figure.savefig(temporary, format="png", dpi=140)
    return list(figures)


def ratios_figure(content: Content) -> Figure:
    """One panel a ratio: a dot and a line a network (nominal, low to high) on the published range as a band."""
    networks = content["networks"]
    figure = Figure(figsize=(12, 3 + 0.45 * len(networks)), layout="constrained")
    panels = figure.subplots(1, len(RATIOS), sharey=True, squeeze=False)[0]
    for axes, (name, words) in zip(panels, RATIOS.items(), strict=True):
        published = networks[0][name]["published"]
        axes.axvspan(published["low"] / 1.01, published["high"] * 1.01, color=BLOCKED[1], alpha=0.35, linewidth=0)
        for row, network in enumerate(networks):
            ratio = network[name]
            axes.plot([ratio["low"], ratio["high"]], [row, row], color=BUSY, linewidth=2)
            axes.plot(ratio["nominal"], row, marker="o", markersize=7, color=BUSY)
            axes.annotate(
                f"{ratio['nominal']:.3g}",
                (ratio["nominal"], row),
                (0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
        axes.set_title(f"times {words}", fontsize=11)
        ends = [network[name][end] for network in networks for end in ("low", "high")]
        _log_axis(axes, max(*ends, published["high"]) / min(*ends, published["low"]))
    panels[0].set_yticks(range(len(networks)), [network["name"] for network in networks])
    panels[0].set_ylim(len(networks) - 0.4, -0.6)
    gpu = content["method"]["gpu"]
    figure.suptitle(
        f"{content['config']['name']} against an {gpu['name']}, {gpu['precision']}: mean over the stages of training"
    )
    handles = [
        Line2D([], [], color=BUSY, marker="o", label="ours: nominal, low to high"),
        Patch(color=BLOCKED[1], alpha=0.35, label="published"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def stages_figure(content: Content) -> Figure:
    """Speedup and energy ratio against the percentage of the training, a line a network."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    panels = figure.subplots(1, 2, squeeze=False)[0]
    for axes, name in zip(panels, ("speedup", "energy_ratio"), strict=True):
        for number, network in enumerate(content["networks"]):
            colour = LAYERS[number % len(LAYERS)]
            percents = [stage["percent"] for stage in network["stages"]]
            values = [stage[name] for stage in network["stages"]]
            axes.plot(percents, [value["nominal"] for value in values], marker="o", color=colour, label=network["name"])
            low, high = ([value[end] for value in values] for end in ("low", "high"))
            axes.fill_between(percents, low, high, color=colour, alpha=0.12, linewidth=0)
        published = content["networks"][0][name]["published"]
        axes.axhspan(published["low"], published["high"], color=BLOCKED[1], alpha=0.35, linewidth=0)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("percent of the training")
        axes.set_title(f"times {RATIOS[name]} (band: published)", fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    return figure


def ablations_figure(network: Content) -> Figure:
    """Bars of time and energy of each variant against the full machine, a colour a group."""
    variants = [variant for variant in network["ablations"] if variant["error"] is None]
    groups = list(dict.fromkeys(variant["group"] for variant in variants))
    colours = [LAYERS[groups.index(variant["group"]) % len(LAYERS)] for variant in variants]
    figure = Figure(figsize=(12, 2 + 0.27 * len(variants)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True, squeeze=False)[0]
    for axes, (key, words) in zip(panels, (("times_time", "time"), ("times_energy", "energy")), strict=True):
        values = [variant[key] for variant in variants]
        axes.barh(range(len(variants)), values, color=colours)
        for row, value in enumerate(values):
            axes.text(value, row, f" {value:.2f}", va="center", fontsize=8)
        axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
        axes.set_title(f"times the {words} of the full machine", fontsize=11)
        axes.margins(x=0.12, y=0.01)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(variants)), [variant["name"] for variant in variants], fontsize=9)
    panels[0].invert_yaxis()
    figure.suptitle(f"{network['name']}: what each idea contributes, {variants[0]['stage']} % of the training")
    return figure


def _log_axis(axes: Axes, span: float) -> None:
    """A logarithmic axis with as many ticks as `span`, its highest over its lowest value, leaves room for."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 50 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
