"""Step time against bandwidth, with the knee of every curve marked."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tlm.analysis.bandwidth.plots.style import COLOURS, GREY, bandwidth_axis, bare, log_ticks
from tlm.analysis.bandwidth.summary import CurveKey, Row, curve_keys, curve_rows, summarise_curve, unlimited_row

MOST_PANELS = 6
MARKERS = {"store": "o", "recompute": "x"}
_DASHES = ["-", "--", ":", "-."]
_COLUMNS = 3


def step_time_figure(rows: list[Row]) -> Figure:
    """One panel for each timesteps and batch; a colour for each buffer size, a dash for each DRAM family.

    Crosses mark points whose potentials are recomputed.
    """
    keys = [key for key in curve_keys(rows) if curve_rows(rows, key)]
    workloads = list(dict.fromkeys(key[:2] for key in keys))[:MOST_PANELS]
    factors, families = sorted({key[2] for key in keys}), list(dict.fromkeys(key[4] for key in keys))
    columns = min(_COLUMNS, len(workloads))
    lines = -(-len(workloads) // columns)
    figure = Figure(figsize=(max(8.5, 5 * columns), 5.2 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, workload in zip(panels, workloads, strict=False):
        for key in (key for key in keys if key[:2] == workload):
            style = (COLOURS[factors.index(key[2]) % len(COLOURS)], _DASHES[families.index(key[4]) % len(_DASHES)])
            _curve(panel, rows, key, style, width=1.5 + 5.0 * (1 - (factors.index(key[2]) + 1) / len(factors)))
        _finish(panel, rows, [key for key in keys if key[:2] == workload])
        panel.set_title(f"T {workload[0]}, batch {workload[1]}", fontsize=10)
    for panel in panels[len(workloads) :]:
        panel.set_axis_off()
    figure.suptitle(f"Step time against DRAM bandwidth: {rows[0]['network']}", parse_math=False)
    handles = [Line2D([], [], color=COLOURS[i % len(COLOURS)], label=f"buffers x{f:g}") for i, f in enumerate(factors)]
    handles += [Line2D([], [], color=GREY, ls=_DASHES[i % len(_DASHES)], label=f) for i, f in enumerate(families)]
    if any(key[3] == "recompute" for key in keys):
        handles.append(Line2D([], [], color=GREY, marker=MARKERS["recompute"], ls="", label="potentials recomputed"))
    handles.append(
        Line2D([], [], color=GREY, marker="o", ls="", mfc="white", ms=10, label="knee: within 5 % of unlimited")
    )
    handles.append(Line2D([], [], color=GREY, lw=0.8, label="limits: no DRAM in the way; bytes at full DRAM speed"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(3, columns + 1), frameon=False, fontsize=9)
    return figure


def _curve(axes: Axes, rows: list[Row], key: CurveKey, style: tuple[str, str], width: float) -> None:
    """One curve and its knee; curves that coincide show as rings of colour, the smallest buffers outside."""
    points = curve_rows(rows, key)
    gb_per_s = [row["dram_peak_bytes_per_us"] / 1e3 for row in points]
    axes.plot(
        gb_per_s,
        [row["step_ps"] / 1e6 for row in points],
        color=style[0],
        linestyle=style[1],
        marker=MARKERS[key[3]],
        markersize=width + 2,
        linewidth=width,
    )
    knee = summarise_curve(rows, key)["knee_bytes_per_us"]
    for row in points:
        if row["dram_peak_bytes_per_us"] == knee:
            at = (knee / 1e3, row["step_ps"] / 1e6)
            axes.plot(*at, marker="o", markersize=13 + width, mfc="none", mec=style[0], mew=1.6)


def _finish(axes: Axes, rows: list[Row], keys: list[CurveKey]) -> None:
    """Draw the two limits of the last curve (largest buffers), and set the axes."""
    points = [row for key in keys for row in curve_rows(rows, key)]
    gb_per_s = [row["dram_peak_bytes_per_us"] / 1e3 for row in points]
    times = [row["step_ps"] / 1e6 for row in points]
    best = unlimited_row(rows, keys[-1])
    if best is not None:
        low, high = min(gb_per_s), max(gb_per_s)
        least = best["step_ps"] / 1e6
        moved = (best["dram_read_bytes"] + best["dram_written_bytes"]) / 1e3  # bytes over GB/s = 1e-9 s
        axes.plot([low, high], [least, least], color=GREY, linewidth=0.8, zorder=0)
        reach = max(low, min(high, moved / (least / 1.6)))
        axes.plot([low, reach], [moved / low, moved / reach], color=GREY, linewidth=0.8, zorder=0)
        times += [least, moved / reach]
    bandwidth_axis(axes, gb_per_s)
    log_ticks(axes, min(times), max(times))
    axes.set_ylim(min(times) / 1.15, max(times) * 1.15)
    axes.set_ylabel("time of one training step in us")
    bare(axes)
