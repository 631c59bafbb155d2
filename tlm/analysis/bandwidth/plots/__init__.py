"""Plots of a bandwidth study as PNG files."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from tlm.analysis.bandwidth.plots.buffers import buffers_figure
from tlm.analysis.bandwidth.plots.occupancy import occupancy_figure
from tlm.analysis.bandwidth.plots.potentials import potentials_figure
from tlm.analysis.bandwidth.plots.roofline import roofline_figure
from tlm.analysis.bandwidth.plots.stalls import stalls_figure
from tlm.analysis.bandwidth.plots.step_time import step_time_figure
from tlm.analysis.bandwidth.plots.traffic import traffic_figure
from tlm.analysis.bandwidth.summary import Row, potentials_pair, shown_curve, shown_row
from workloads.atomic import replacing


def write_plots(folder: Path, rows: list[Row], layers: list[str]) -> list[Path]:
    """Write all plots of a study into `folder` and return their paths; `layers` are the layers' names.

    Roofline, traffic and occupancy are those of one point, the one at the knee (`summary.shown_row`). Storing and
    recomputing potentials are compared where both were simulated.
    """
    curve, row = shown_curve(rows), shown_row(rows)
    figures = {
        "step_time.png": step_time_figure(rows),
        "roofline.png": roofline_figure(row, layers),
        "traffic.png": traffic_figure(row, layers),
        "stalls.png": stalls_figure(rows, curve),
        "buffers.png": buffers_figure(rows, row),
        "occupancy.png": occupancy_figure(row),
    }
    pair = potentials_pair(rows)
    if pair is not None:
        figures["potentials.png"] = potentials_figure(rows, pair)
    for name, figure in figures.items():
        with replacing(folder / name) as temporary:
            figure.savefig(temporary, format="png", dpi=140)
    return [folder / name for name in figures]
