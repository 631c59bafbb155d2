"""Small drawings for the web page as SVG, coloured by its style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

WIDTH, ROW, BAR, TOP, LABELS, RIGHT = 760, 26, 20, 12, 170, 70
_TICKS = (1, 2, 5)


def ratio_drawing(rows: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Draw ratios on a logarithmic axis: a dot at nominal, a line from low to high; the published range is a band."""
    ends = [ratio[end] for _, ratio in rows for end in ("low", "high")]
    ends += [ratio["published"][end] for _, ratio in rows for end in ("low", "high")]
    low, high = math.log10(min(ends)) - 0.1, math.log10(max(ends)) + 0.1

    def x(value: float) -> float:
        return LABELS + (math.log10(value) - low) / (high - low) * (WIDTH - LABELS - RIGHT)

    bottom = TOP + ROW * len(rows)
    parts = list(_axis(low, high, x, bottom))
    for number, (name, ratio) in enumerate(rows):
        y = TOP + ROW * number + ROW / 2
        left, right = x(ratio["published"]["low"]), x(ratio["published"]["high"])
        ends_at = f'x1="{x(ratio["low"]):.1f}" x2="{x(ratio["high"]):.1f}" y1="{y}" y2="{y}"'
        parts += [
            f'<rect class="band" x="{left - 1.5:.1f}" y="{y - 11:.1f}" width="{right - left + 3:.1f}" height="22"/>',
            f'<text x="{LABELS - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>',
            f'<line class="ours" stroke-width="2" {ends_at}/>',
            f'<circle class="ours" cx="{x(ratio["nominal"]):.1f}" cy="{y}" r="4.5"/>',
            f'<text x="{WIDTH - RIGHT + 8}" y="{y + 4:.1f}">{ratio["nominal"]:.3g}</text>',
        ]
    head = f'<svg viewBox="0 0 {WIDTH} {bottom + 26}" width="{WIDTH}" role="img">'
    return head + "".join(parts) + "</svg>"


def bar_drawing(rows: Sequence[tuple[str, float]]) -> str:
    """Draw one bar a row from 0 on a linear axis, with its number behind it; a line marks 1."""
    most = max(value for _, value in rows)
    bottom = TOP + BAR * len(rows)
    left, room = LABELS + 80, WIDTH - LABELS - 80 - RIGHT
    parts = []
    for number, (name, value) in enumerate(rows):
        y = TOP + BAR * number
        width = room * value / most
        parts += [
            f'<text x="{left - 10}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="bar" x="{left}" y="{y + 3}" width="{width:.1f}" height="{BAR - 6}"/>',
            f'<text x="{left + width + 6:.1f}" y="{y + 14}">{value:.2f}</text>',
        ]
    one = f"{left + room / most:.1f}"
    parts.append(f'<line class="one" x1="{one}" x2="{one}" y1="{TOP - 4}" y2="{bottom}"/>')
    head = f'<svg viewBox="0 0 {WIDTH} {bottom + 8}" width="{WIDTH}" role="img">'
    return head + "".join(parts) + "</svg>"


def _axis(low: float, high: float, x: Any, bottom: float) -> Iterator[str]:
    for exponent in range(math.floor(low), math.ceil(high)):
        for step in _TICKS:
            value = step * 10.0**exponent
            if low <= math.log10(value) <= high:
                at = f"{x(value):.1f}"
                yield f'<line class="axis" x1="{at}" x2="{at}" y1="{TOP - 6}" y2="{bottom}"/>'
                yield f'<text class="soft" x="{at}" y="{bottom + 16}" text-anchor="middle">{value:g}</text>'
