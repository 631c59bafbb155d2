"""Buffer size against DRAM traffic."""

from __future__ import annotations

from collections import Counter

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlm.analysis.bandwidth.plots.style import bare
from tlm.analysis.bandwidth.plots.traffic import STREAM_COLOURS, STREAMS
from tlm.analysis.bandwidth.summary import Row, failed


def buffers_figure(rows: list[Row], shown: Row) -> Figure:
    """One bar for each buffer size, by stream, and the step's time, all on the DRAM of the point shown."""
    same = ("timesteps", "batch_images", "potentials", "dram")
    column = sorted(
        (row for row in rows if all(row[key] == shown[key] for key in same)),
        key=lambda row: float(row["buffer_factor"]),
    )
    figure = Figure(figsize=(8.5, 5), layout="constrained")
    axes: Axes = figure.subplots()
    bottoms = [0.0] * len(column)
    for stream in STREAMS:
        heights = [_by_stream(row)[stream] / 2**20 for row in column]
        if any(heights):
            label = stream.replace("_", " ")
            axes.bar(range(len(column)), heights, 0.6, bottom=bottoms, color=STREAM_COLOURS[stream], label=label)
            bottoms = [a + b for a, b in zip(bottoms, heights, strict=True)]
    top = max(bottoms) or 1.0
    for place, (row, total) in enumerate(zip(column, bottoms, strict=True)):
        text = "cannot be\nsimulated" if failed(row) else f"{total:,.1f} MiB\n{row['step_ps'] / 1e6:,.1f} us"
        axes.text(place, total + top * 0.015, text, ha="center", va="bottom", fontsize=9)
    axes.set_ylim(0, top * 1.18)
    axes.set_xticks(range(len(column)), [_label(row) for row in column])
    axes.set_xlabel("size of the buffers that hold tensors")
    axes.set_ylabel("DRAM traffic of one training step in MiB")
    where = f"{shown['network']}, T {shown['timesteps']}, batch {shown['batch_images']}, {shown['dram']}"
    axes.set_title(f"Buffer size against DRAM traffic: {where}", parse_math=False, fontsize=11)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    bare(axes)
    return figure


def _label(row: Row) -> str:
    factor = f"x{row['buffer_factor']:g}"
    if failed(row):
        return factor
    return f"{factor}\n{sum(buffer['capacity_bytes'] for buffer in row['buffers']) / 2**20:,.3g} MiB"


def _by_stream(row: Row) -> Counter[str]:
    moved: Counter[str] = Counter()
    for entry in row.get("traffic") or ():
        moved[entry["stream"]] += entry["read_bytes"] + entry["written_bytes"]
    return moved
