"""How busy engines and DRAM channels were over the step."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlm.analysis.bandwidth.occupancy import DRAM_CHANNEL
from tlm.analysis.bandwidth.plots.style import title_of
from tlm.analysis.bandwidth.summary import Row


def occupancy_figure(row: Row) -> Figure:
    """A line for each engine and DRAM channel, darker where it was busier."""
    parts = sorted(row["occupancy"], key=lambda part: part["part"].startswith(DRAM_CHANNEL))
    table = np.array([part["share"] for part in parts])
    end_us = table.shape[1] * row["occupancy_bin_ps"] / 1e6
    figure = Figure(figsize=(11, 1.9 + 0.22 * len(parts)), layout="constrained")
    axes: Axes = figure.subplots()
    image = axes.imshow(
        table,
        aspect="auto",
        cmap="Blues",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(0, end_us, len(parts) - 0.5, -0.5),
    )
    axes.set_xlim(0, row["step_ps"] / 1e6)
    axes.set_yticks(range(len(parts)), [part["part"].replace("_", " ") for part in parts])
    engines = sum(not part["part"].startswith(DRAM_CHANNEL) for part in parts)
    axes.axhline(engines - 0.5, color="black", linewidth=0.8)
    axes.set_xlabel("time in microseconds")
    axes.set_title(f"Occupancy over the step: {title_of(row)}", parse_math=False, fontsize=11)
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=30)
    bar.set_label("busy share; DRAM: share of its peak", fontsize=8)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.tick_params(axis="y", length=0)
    return figure
