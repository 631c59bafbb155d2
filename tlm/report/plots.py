"""Plots of one run as PNG files: where time went, when streams ran, how full buffers were, DRAM bytes, sparsity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tlm.report.buffer_use import buffer_use
from tlm.report.steps import Steps, sampled
from tlm.simulation import SimulationResult
from workloads.atomic import replacing
from workloads.network import Network

# Okabe and Ito's palette, which people with any colour vision can tell apart.
BUSY = "#0072B2"
BLOCKED = ["#D55E00", "#E69F00", "#CC79A7"]
STARVED = ["#999999", "#BBBBBB", "#DDDDDD", "#CCCCCC", "#AAAAAA"]
LAYERS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"]
_LEAST_LABEL = 0.06  # share of the axis below which a bar has no room for a label


def write_plots(folder: Path, result: SimulationResult, content: dict[str, Any], network: Network) -> list[Path]:
    """Write all plots of a run into `folder` and return their paths; `content` is that of `result.json`.

    `buffers.png` is among them where the result has its occupancy.
    """
    title = f"{content['network']['name']}, step {content['network']['step']}, batch {content['network']['batch']}"
    figures = {
        "engines.png": engines_figure(result, title),
        "streams.png": streams_figure(result, network, title),
        "dram.png": dram_figure(result, title),
        "sparsity.png": sparsity_figure(content, title),
    }
    if result.occupancy is not None:
        used = buffer_use(result, result.occupancy, network)
        figures["buffers.png"] = buffers_figure(result, used, content["config"]["buffers"], title)
    for name, figure in figures.items():
        with replacing(folder / name) as temporary:
            figure.savefig(temporary, format="png", dpi=140)
    return [folder / name for name in figures]


def engines_figure(result: SimulationResult, title: str) -> Figure:
    """One bar per engine: busy, blocked by reason, starved by reason; the three add up to the whole step."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes: Axes = figure.subplots()
    names = list(result.engines)
    for row, name in enumerate(names):
        time = result.engines[name]
        pieces = [("busy", time.busy_ps, BUSY)]
        pieces += [(r, ps, BLOCKED[i % len(BLOCKED)]) for i, (r, ps) in enumerate(_largest_first(time.blocked_ps))]
        pieces += [(r, ps, STARVED[i % len(STARVED)]) for i, (r, ps) in enumerate(_largest_first(time.starved_ps))]
        left = 0.0
        for label, ps, colour in pieces:
            share = ps / result.time_ps
            axes.barh(row, share, left=left, color=colour, edgecolor="white", linewidth=0.6)
            if share >= _LEAST_LABEL:
                text = f"{share:.0%}" if label == "busy" else _fitting(label, share)
                ink = "black" if colour in STARVED else "white"
                axes.text(left + share / 2, row, text, ha="center", va="center", fontsize=8, color=ink)
            left += share
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel(f"share of the training step ({result.cycles:,} cycles)")
    axes.set_title(f"Where time went: {title}", parse_math=False)
    handles = [Patch(color=BUSY), Patch(color=BLOCKED[0]), Patch(color=STARVED[1])]
    labels = ["busy", "blocked: no room for results", "starved: waits for work"]
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    _bare(axes)
    return figure


def streams_figure(result: SimulationResult, network: Network, title: str) -> Figure:
    """When each layer of each micro-batch ran on each engine."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    axes: Axes = figure.subplots()
    engines = ["forward", "backward", "weight_update"]
    for span in result.spans:
        start, length = span.start_ps / 1e6, (span.end_ps - span.start_ps) / 1e6
        # layers take turns between two lanes, because streams of neighbours may overlap
        row = engines.index(span.stream.engine) + 0.2 * (2 * (span.stream.layer % 2) - 1)
        colour = LAYERS[span.stream.layer % len(LAYERS)]
        axes.barh(row, length, left=start, height=0.36, color=colour, edgecolor="white", linewidth=0.5)
        if length > 0.018 * result.time_ps / 1e6:
            number = str(span.stream.micro_batch.index)
            axes.text(start + length / 2, row, number, ha="center", va="center", fontsize=7, color="white")
    axes.set_yticks(range(len(engines)), [name.replace("_", " ") for name in engines])
    axes.invert_yaxis()
    axes.set_xlim(0, result.time_ps / 1e6)
    axes.set_xlabel("time in microseconds")
    axes.set_title(f"When the streams ran (numbers: micro-batch): {title}", parse_math=False)
    handles = [Patch(color=LAYERS[i % len(LAYERS)]) for i in range(len(network.layers))]
    labels = [layer.name for layer in network.layers]
    figure.legend(handles, labels, loc="outside lower center", ncols=min(8, len(labels)), frameon=False)
    _bare(axes)
    return figure


def buffers_figure(
    result: SimulationResult, used: dict[str, dict[str, Steps]], capacities: dict[str, int], title: str
) -> Figure:
    """How full each buffer was over time, by what lay in it; `used` is that of `buffer_use`."""
    height = 1.3 + 0.8 * len(used)
    figure = Figure(figsize=(11, height))
    edges = {"left": 0.15, "right": 0.98, "bottom": 0.9 / height, "top": 1 - 0.35 / height}
    rows = figure.subplots(len(used), sharex=True, squeeze=False, gridspec_kw=edges)[:, 0]
    colours: dict[str, str] = {}
    for axes, (buffer, kinds) in zip(rows, used.items(), strict=True):
        capacity = capacities[f"{buffer}_bytes"]
        times, values = sampled(kinds.values(), result.time_ps)
        times_us, below = np.append(times, result.time_ps) / 1e6, np.zeros(len(times) + 1)
        for kind, column in zip(kinds, values, strict=True):
            above = below + np.append(column, column[-1]) / capacity
            colour = colours.setdefault(kind, LAYERS[len(colours)])
            axes.fill_between(times_us, below, above, step="post", color=colour, linewidth=0)
            below = above
        axes.set_ylabel(f"{buffer.replace('_', ' ')}\n{capacity / 2**10:,.0f} KiB", rotation=0, ha="right", va="center")
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 1], ["", "full"])
        _bare(axes)
    rows[-1].set_xlim(0, result.time_ps / 1e6)
    rows[-1].set_xlabel("time in microseconds")
    rows[0].set_title(f"How full the buffers were: {title}", parse_math=False)
    handles = [Patch(color=colour) for colour in colours.values()]
    figure.legend(handles, list(colours), loc="lower center", ncols=len(colours), frameon=False)
    return figure


def dram_figure(result: SimulationResult, title: str) -> Figure:
    """Bytes read and written, by stream."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes: Axes = figure.subplots()
    streams = sorted(result.dram_read_bytes, key=lambda s: -result.dram_read_bytes[s] - result.dram_written_bytes[s])
    read = [result.dram_read_bytes[stream] / 2**10 for stream in streams]
    written = [result.dram_written_bytes[stream] / 2**10 for stream in streams]
    axes.barh(streams, read, color=BUSY, label="read")
    axes.barh(streams, written, left=read, color=BLOCKED[1], label="written")
    for row, total in enumerate(r + w for r, w in zip(read, written, strict=True)):
        axes.text(total, row, f" {total:,.1f}", va="center", fontsize=8)
    axes.set_yticks(range(len(streams)), [stream.replace("_", " ") for stream in streams])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("KiB in one training step")
    axes.set_title(f"DRAM traffic: {title}", parse_math=False)
    axes.legend(frameon=False, loc="lower right")
    _bare(axes)
    return figure


def sparsity_figure(content: dict[str, Any], title: str) -> Figure:
    """What the engines exploit: firing rates, zero index groups, active masks, non-zero gradients."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes: Axes = figure.subplots()
    shares = {
        "firing_rate": "neurons that fire",
        "zero_index_groups": "index groups without a spike",
        "active_masks": "active firing masks",
        "nonzero_gradients": "non-zero gradients",
    }
    names = [layer["name"] for layer in content["network"]["layers"]]
    width = 0.8 / len(shares)
    for column, (key, label) in enumerate(shares.items()):
        places = [row + (column - 1.5) * width for row in range(len(names))]
        heights = [layer[key] for layer in content["sparsity"]]
        known = [(x, h) for x, h in zip(places, heights, strict=True) if h is not None]
        axes.bar([x for x, _ in known], [h for _, h in known], width, color=LAYERS[column], label=label)
        for x, height in known:
            axes.text(x, height + 0.01, f"{height:.2f}", ha="center", fontsize=7)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(0, 1.1)
    axes.set_ylabel("share")
    axes.set_title(f"Sparsity that this step really had: {title}", parse_math=False)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    _bare(axes)
    return figure


def _largest_first(totals: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(totals.items(), key=lambda item: -item[1])


def _fitting(label: str, share: float) -> str:
    """The label, in lines that fit a bar of this share of the axis."""
    room = int(share * 110)
    if len(label) <= room:
        return label
    words = label.split()
    return "\n".join(words) if max(map(len, words)) <= room and len(words) <= 3 else ""


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
