"""A drawing of boxes, arrows and words as SVG, readable on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_STYLE = """
svg { font: 14px system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; --paper: #ffffff; --ink: #1f2933;
  --soft: #52606d; --frame: #9aa5b1; --fill: #f0f4f8; --plain: #52606d;
  --spikes: #1864ab; --masks: #862e9c; --gradients: #c2410c; --weights: #2b8a3e; --sums: #8f6400; }
@media (prefers-color-scheme: dark) { svg { --paper: #1b1f27; --ink: #e6e9ee; --soft: #aab4c2; --frame: #5b6675;
  --fill: #272d38; --plain: #aab4c2;
  --spikes: #74c0fc; --masks: #da9af0; --gradients: #ffa666; --weights: #8ce99a; --sums: #ffd43b; } }
.paper { fill: var(--paper); } text { fill: var(--ink); } .soft { fill: var(--soft); font-size: 12.5px; }
.title { font-weight: 600; } .frame { fill: none; stroke: var(--frame); stroke-dasharray: 6 4; }
"""
COLOURS = ("plain", "spikes", "masks", "gradients", "weights", "sums")
Point = tuple[float, float]


class Drawing:
    """Parts are added in pixels, y down; `svg` is the file."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._size = width, height
        self._title = title
        self._parts: list[str] = []

    def box(self, x: float, y: float, width: float, height: float, words: str, colour: str = "plain") -> None:
        """A rounded box; the first line of `words` is its name, further ones explain."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="7" '
            f'style="fill: var(--fill); stroke: var(--{colour}); stroke-width: 1.6"/>'
        )
        lines = words.split("\n") if words else []
        top = y + height / 2 - 8.5 * (len(lines) - 1) + 5
        for number, line in enumerate(lines):
            kind = "title" if number == 0 else "soft"
            self.text(x + width / 2, top + 17 * number, line, kind)

    def frame(self, x: float, y: float, width: float, height: float, name: str) -> None:
        """A dashed frame with its name in the upper left corner."""
        self._parts.append(f'<rect class="frame" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="10"/>')
        self.text(x + 12, y + 20, name, "soft", "start")

    def text(self, x: float, y: float, words: str, kind: str = "soft", anchor: str = "middle") -> None:
        """One line of words on the baseline `y`; `kind` is title, soft or plain."""
        self._parts.append(f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>')

    def bar(self, x: float, y: float, width: float, height: float, words: str, colour: str, strong: bool) -> None:
        """A bar of a chart over time; `strong` bars are filled more."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" style="fill: var(--{colour}); '
            f'fill-opacity: {0.45 if strong else 0.2}; stroke: var(--{colour})"/>'
        )
        self.text(x + width / 2, y + height / 2 + 5, words, "plain")

    def arrow(self, points: Sequence[Point], colour: str = "plain", both: bool = False) -> None:
        """A line through `points` that ends, or begins as well, in a head."""
        path = " ".join(f"{'L' if number else 'M'}{x:g} {y:g}" for number, (x, y) in enumerate(points))
        start = f' marker-start="url(#{colour})"' if both else ""
        self._parts.append(
            f'<path d="{path}" style="fill: none; stroke: var(--{colour}); stroke-width: 1.8" '
            f'marker-end="url(#{colour})"{start}/>'
        )

    def svg(self) -> str:
        """The whole file."""
        width, height = self._size
        heads = "".join(
            f'<marker id="{colour}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
            f'orient="auto-start-reverse"><path d="M0 0 L10 5 L0 10 z" style="fill: var(--{colour})"/></marker>'
            for colour in COLOURS
        )
        lines = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            f"<title>{escape(self._title)}</title><style>{_STYLE}</style><defs>{heads}</defs>",
            f'<rect class="paper" width="{width}" height="{height}" rx="10"/>',
            *self._parts,
            "</svg>",
        )
        return "\n".join(lines) + "\n"
