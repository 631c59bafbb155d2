"""Rooflines as drawings: operations a second over operations a DRAM byte, a panel an engine, a point a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from tlm.report.page.numbers import quantity, words

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 40
_ROOM = 3.0  # factor between the outermost point, or the roof's corner, and the edge
_LEAST_TICKS = 34  # pixels between two numbers


@dataclass(frozen=True)
class Point:
    """A layer in the drawing; `unbound` if it moves nothing to or from DRAM: it stands at the right edge."""

    x: float
    y: float
    title: str
    unbound: bool


@dataclass(frozen=True)
class Tick:
    """A number at an axis, in pixels."""

    at: float
    text: str


@dataclass(frozen=True)
class Panel:
    """One engine: its roof as a line in pixels, its layers, the axes' ticks."""

    engine: str
    unit: str
    roof: str
    roof_text: str
    points: tuple[Point, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


class _Axis:
    """A logarithmic axis from `low` to `high` over pixels."""

    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        self._low, self._high = log10(low), log10(high)
        self._first, self._last = first, last

    def at(self, value: float) -> float:
        share = (log10(value) - self._low) / (self._high - self._low)
        return round(self._first + share * (self._last - self._first), 1)

    def ticks(self) -> tuple[Tick, ...]:
        """Powers of ten, not too close together; 2 and 5 times them as well where there is room."""
        powers = range(floor(self._low), floor(self._high) + 1)
        pixels = abs(self._last - self._first) / (self._high - self._low)  # of a power of ten
        step = max(1, ceil(_LEAST_TICKS / pixels))
        factors = (1, 2, 5) if pixels >= 3 * _LEAST_TICKS else (1,)
        values = [factor * 10.0**power for power in powers if power % step == 0 for factor in factors]
        inside = [value for value in values if self._low <= log10(value) <= self._high]
        return tuple(Tick(self.at(value), quantity(value, "").rstrip()) for value in inside)


def panels(content: dict[str, Any]) -> list[Panel]:
    """Return the rooflines of `result.json`: the three large engines, then the vector units."""
    work = [entry for entry in content["layer_work"] if entry["operations"] and entry["time_ps"]]
    engines = [name for name in content["engines"] if any(entry["engine"] == name for entry in work)]
    streamed = {entry["engine"] for entry in content["streams"]}
    engines.sort(key=lambda name: name not in streamed)
    layers = [layer["name"] for layer in content["network"]["layers"]]
    bytes_per_s = content["dram"]["peak_bytes_per_us"] * 1e6
    return [
        _panel(
            name, [e for e in work if e["engine"] == name], layers, bytes_per_s, "op/s" if name in streamed else "el/s"
        )
        for name in engines
    ]


def _panel(engine: str, work: Sequence[dict[str, Any]], layers: Sequence[str], bytes_per_s: float, unit: str) -> Panel:
    peak = work[0]["peak_operations_per_us"] * 1e6
    reached = [entry["operations"] / entry["time_ps"] * 1e12 for entry in work]
    known = [entry["operations"] / entry["dram_bytes"] for entry in work if entry["dram_bytes"]]
    corner = peak / bytes_per_s
    low, high = min([corner, *known]) / _ROOM, max([corner, *known]) * _ROOM * _ROOM
    across = _Axis(low, high, LEFT, WIDTH - RIGHT)
    upwards = _Axis(min(reached) / _ROOM, peak * _ROOM, HEIGHT - BOTTOM, TOP)
    bottom = max(low, min(reached) / _ROOM / bytes_per_s)  # where the DRAM's slope enters the drawing
    corners = ((bottom, bottom * bytes_per_s), (corner, peak), (high, peak))
    points = []
    for entry, speed in zip(work, reached, strict=True):
        intensity = entry["operations"] / entry["dram_bytes"] if entry["dram_bytes"] else high
        where = f"{intensity:.3g} per DRAM byte" if entry["dram_bytes"] else "nothing to or from DRAM"
        title = f"{layers[entry['layer']]}: {quantity(speed, unit)} ({speed / peak:.0%} of the peak), {where}"
        points.append(Point(across.at(intensity), upwards.at(speed), title, not entry["dram_bytes"]))
    return Panel(
        words(engine),
        unit,
        " ".join(f"{across.at(x)},{upwards.at(y)}" for x, y in corners),
        f"DRAM {quantity(bytes_per_s, 'B/s')}, engine {quantity(peak, unit)}",
        tuple(points),
        across.ticks(),
        upwards.ticks(),
    )
