"""Why engines stand still at each bandwidth."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tlm.analysis.bandwidth.plots.style import BLOCKED, BUSY, STARVED, bare
from tlm.analysis.bandwidth.summary import CurveKey, Row, curve_rows

ENGINES = ("forward", "backward", "weight_update", "neuron", "gradient", "optimiser")
KINDS = {
    "busy": BUSY,
    "waits for DRAM": BLOCKED[0],
    "blocked by its results": BLOCKED[1],
    "waits for work": STARVED[1],
}


def stalls_figure(rows: list[Row], curve: CurveKey) -> Figure:
    """One panel an engine: shares of the step against bandwidth, adding up to the whole."""
    points = curve_rows(rows, curve)
    figure = Figure(figsize=(13, 7.6), layout="constrained")
    panels = figure.subplots(2, 3, sharey=True, sharex=True).ravel()
    names = [f"{row['dram_peak_bytes_per_us'] / 1e3:,.3g}" for row in points]
    for panel, engine in zip(panels, ENGINES, strict=True):
        left = [0.0] * len(points)
        for kind, colour in KINDS.items():
            shares = [kind_shares(row, engine)[kind] for row in points]
            panel.bar(range(len(points)), shares, 0.86, bottom=left, color=colour, edgecolor="white", linewidth=0.5)
            if kind == "busy":
                for place, share in enumerate(shares):
                    if share > 0.06:
                        panel.text(
                            place, share / 2, f"{share:.0%}", ha="center", va="center", fontsize=7, color="white"
                        )
            left = [a + b for a, b in zip(left, shares, strict=True)]
        panel.set_xticks(range(len(points)), names)
        panel.set_xlabel("DRAM bandwidth in GB/s (peak)")
        panel.set_ylabel("share of the training step")
        panel.set_title(engine.replace("_", " "))
        panel.set_ylim(0, 1)
        panel.label_outer()
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        bare(panel)
    where = f"{rows[0]['network']}, T {curve[0]}, batch {curve[1]}, buffers x{curve[2]:g}, {curve[3]}"
    figure.suptitle(f"Busy and stalled engines: {where}", parse_math=False)
    handles = [Patch(color=colour, label=kind) for kind, colour in KINDS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def kind_shares(row: Row, engine: str) -> dict[str, float]:
    """Return the shares of the step by kind of state; they add up to 1."""
    shares = dict.fromkeys(KINDS, 0.0)
    for entry in row["engines"]:
        if entry["engine"] == engine:
            shares[_kind(entry["state"], entry["reason"])] += entry["time_ps"] / row["step_ps"]
    return shares


def _kind(state: str, reason: str) -> str:
    if state == "busy":
        return "busy"
    if reason.startswith("DRAM"):
        return "waits for DRAM"
    return "blocked by its results" if state == "blocked" else "waits for work"
