"""Storing potentials against recomputing them: step time by bandwidth, DRAM bytes by stream, room in the buffer."""

from __future__ import annotations

from collections import Counter

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlm.analysis.bandwidth.plots.style import COLOURS, bandwidth_axis, bare, log_ticks
from tlm.analysis.bandwidth.plots.traffic import STREAM_COLOURS, STREAMS
from tlm.analysis.bandwidth.summary import CurveKey, Row, curve_rows, unlimited_row

WAYS = ("stored", "recomputed")
_SHAPES = ("o", "s")


def potentials_figure(rows: list[Row], pair: tuple[CurveKey, CurveKey]) -> Figure:
    """Three panels of the curves that store and that recompute; bytes and room are those of the slowest DRAM."""
    figure = Figure(figsize=(13, 5), layout="constrained")
    time, traffic, room = figure.subplots(1, 3, width_ratios=(2.2, 1.5, 1))
    curves = [curve_rows(rows, key) for key in pair]
    _times(time, rows, pair, curves)
    _traffic(traffic, [curve[0] for curve in curves])
    _room(room, [curve[0] for curve in curves])
    timesteps, batch, factor, _, _ = pair[0]
    where = f"{rows[0]['network']}, T {timesteps}, batch {batch}, buffers x{factor:g}"
    figure.suptitle(f"Potentials stored and recomputed: {where}", parse_math=False)
    return figure


def _times(axes: Axes, rows: list[Row], pair: tuple[CurveKey, CurveKey], curves: list[list[Row]]) -> None:
    bandwidths, times = [], []
    for way, key, curve, colour, shape in zip(WAYS, pair, curves, COLOURS, _SHAPES, strict=False):
        gb_per_s = [row["dram_peak_bytes_per_us"] / 1e3 for row in curve]
        step_us = [row["step_ps"] / 1e6 for row in curve]
        axes.plot(gb_per_s, step_us, color=colour, marker=shape, label=way)
        best = unlimited_row(rows, key)
        if best is not None:
            step_us.append(best["step_ps"] / 1e6)
            axes.axhline(step_us[-1], color=colour, linewidth=0.8, linestyle=":", label=f"{way}, unlimited bandwidth")
        bandwidths += gb_per_s
        times += step_us
    bandwidth_axis(axes, bandwidths)
    log_ticks(axes, min(times), max(times))
    axes.set_ylim(min(times) / 1.15, max(times) * 1.15)
    axes.set_ylabel("time of one training step in us")
    axes.legend(frameon=False)
    bare(axes)


def _traffic(axes: Axes, points: list[Row]) -> None:
    moved = [_by_stream(row) for row in points]
    bottoms = [0.0] * len(points)
    for stream in STREAMS:
        heights = [found[stream] / 2**20 for found in moved]
        if any(heights):
            label = stream.replace("_", " ")
            axes.bar(WAYS, heights, 0.6, bottom=bottoms, color=STREAM_COLOURS[stream], label=label)
            bottoms = [a + b for a, b in zip(bottoms, heights, strict=True)]
    _totals(axes, bottoms)
    axes.set_ylabel("DRAM traffic of one training step in MiB")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
    bare(axes)


def _room(axes: Axes, points: list[Row]) -> None:
    uses = [next(b for b in row["buffers"] if b["buffer"] == "potentials") for row in points]
    heights = [use["used_bytes"] / 2**20 for use in uses]
    axes.bar(WAYS, heights, 0.6, color=COLOURS[:2])
    _totals(axes, heights)
    axes.set_ylabel(f"filled of the potentials buffer's {uses[0]['capacity_bytes'] / 2**20:,.3g} MiB, in MiB")
    bare(axes)


def _totals(axes: Axes, heights: list[float]) -> None:
    """Write the total above each bar."""
    top = max(heights) or 1.0
    for place, height in enumerate(heights):
        text = f"{height:,.3g}" if height < 1000 else f"{height:,.0f}"
        axes.text(place, height + top * 0.01, text, ha="center", va="bottom", fontsize=9)
    axes.set_ylim(0, top * 1.1)


def _by_stream(row: Row) -> Counter[str]:
    moved: Counter[str] = Counter()
    for entry in row["traffic"]:
        moved[entry["stream"]] += entry["read_bytes"] + entry["written_bytes"]
    return moved
