"""Which stream of which layer moves how many bytes to and from DRAM."""

from __future__ import annotations

from collections import Counter

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tlm.analysis.bandwidth.plots.style import LAYERS, bare, title_of
from tlm.analysis.bandwidth.summary import Row

STREAMS = (
    "inputs",
    "weights",
    "spikes",
    "masks",
    "potentials",
    "gradients",
    "weight_gradients",
    "optimiser_state",
)
STREAM_COLOURS = dict(zip(STREAMS, [*LAYERS, "#999999"], strict=True))


def traffic_figure(row: Row, layers: list[str]) -> Figure:
    """One bar a layer, read and written, by stream."""
    figure = Figure(figsize=(10, max(3.2, 1.6 + 0.62 * len(layers))), layout="constrained")
    axes: Axes = figure.subplots()
    streams = [s for s in STREAMS if any(entry["stream"] == s for entry in row["traffic"])]
    for way, offset, hatch in (("read_bytes", -0.2, ""), ("written_bytes", 0.2, "////")):
        left: Counter[int] = Counter()
        for stream in streams:
            moved: Counter[int] = Counter()
            for entry in row["traffic"]:
                if entry["stream"] == stream:
                    moved[entry["layer"]] += entry[way] / 2**20
            places = [layer + offset for layer in range(len(layers))]
            widths = [moved[layer] for layer in range(len(layers))]
            starts = [left[layer] for layer in range(len(layers))]
            colour = STREAM_COLOURS[stream]
            axes.barh(places, widths, 0.36, left=starts, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
            left.update(moved)
        for layer in range(len(layers)):
            word = "read" if way == "read_bytes" else "written"
            axes.text(left[layer], layer + offset, f" {left[layer]:.3g} {word}", va="center", fontsize=7.5)
    axes.set_yticks(range(len(layers)), layers)
    axes.invert_yaxis()
    axes.margins(x=0.14)
    axes.set_xlabel("MiB in one training step")
    axes.set_title(f"DRAM traffic by layer and stream: {title_of(row)}", parse_math=False, fontsize=11)
    handles = [Patch(color=STREAM_COLOURS[stream]) for stream in streams]
    names = [stream.replace("_", " ") for stream in streams]
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
    bare(axes)
    return figure
