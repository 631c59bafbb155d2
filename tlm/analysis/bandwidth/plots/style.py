"""What the plots of a study share: colours, titles, axes of bandwidth."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from tlm.analysis.bandwidth.summary import Row
from tlm.report.plots import BLOCKED, BUSY, LAYERS, STARVED

__all__ = ["BLOCKED", "BUSY", "COLOURS", "GREY", "LAYERS", "STARVED", "bandwidth_axis", "bare", "log_ticks", "title_of"]

COLOURS = [*LAYERS[:6], "#000000"]  # without the palette's yellow, which a thin line on white does not show
GREY = "#777777"
_STEPS = (1, 2, 5)


def bare(axes: Axes) -> None:
    """Leave out the two spines that carry nothing."""
    axes.spines[["top", "right"]].set_visible(False)


def title_of(row: Row) -> str:
    """Name the point: network, timesteps, batch, DRAM and buffers."""
    work = f"{row['network']}, T {row['timesteps']}, batch {row['batch_images']}"
    return f"{work}, {row['dram']}, buffers x{row['buffer_factor']:g}"


def bandwidth_axis(axes: Axes, gb_per_s: Iterable[float]) -> None:
    """Make x a logarithmic axis of GB/s with a tick at (nearly) every simulated bandwidth."""
    values = sorted(set(gb_per_s))
    axes.set_xscale("log")
    ticks = [values[0]]
    for value in values[1:]:
        if value >= 1.22 * ticks[-1]:  # nearer labels would run into each other
            ticks.append(value)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"))
    axes.set_xlabel("DRAM bandwidth in GB/s (peak)")


def log_ticks(axes: Axes, lowest: float, highest: float) -> None:
    """Make y a logarithmic axis with plain numbers at 1, 2 and 5 times the powers of ten."""
    axes.set_yscale("log")
    exponents = range(-6, 16)
    ticks = [step * 10.0**exponent for exponent in exponents for step in _STEPS]
    if highest / lowest > 100:
        ticks = [10.0**exponent for exponent in exponents]
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if lowest / 2 <= tick <= highest * 2]))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
